//! Placement of connections: each goes to the worker that serves the fewest, and stays there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;

/// One worker: its runtime, and the number of its connections.
#[derive(Debug)]
struct Post {
    runtime: Handle,
    open: Arc<AtomicUsize>,
}

/// The workers, by the number of their connections.
#[derive(Debug)]
pub struct Spread(Box<[Post]>);

/// A connection at its worker, counted there until it is dropped.
#[derive(Debug)]
pub struct Place(Option<Arc<AtomicUsize>>);

impl Spread {
    /// Spreads connections over these runtimes, each with the number of its connections.
    #[must_use]
    pub fn over(workers: impl IntoIterator<Item = (Handle, Arc<AtomicUsize>)>) -> Spread {
        Spread(workers.into_iter().map(|(runtime, open)| Post { runtime, open }).collect())
    }

    /// A place at the worker with the fewest connections, and its runtime: the caller's if there
    /// are no workers.
    #[must_use]
    pub fn place(&self) -> (Handle, Place) {
        match self.0.iter().min_by_key(|post| post.open.load(Ordering::Relaxed)) {
            Some(post) => {
                post.open.fetch_add(1, Ordering::Relaxed);
                (post.runtime.clone(), Place(Some(post.open.clone())))
            }
            None => (Handle::current(), Place(None)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_evenly_and_places_given_back() {
        let spread = Spread::over((0..3).map(|_| (Handle::current(), Arc::default())));
        let open =
            || spread.0.iter().map(|post| post.open.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let mut places: Vec<_> = (0..30).map(|_| spread.place()).collect();
        assert_eq!(open(), [10, 10, 10]);
        places.truncate(1);
        let _next = spread.place();
        assert_eq!(open().iter().sum::<usize>(), 2);
        assert_eq!(open().iter().max(), Some(&1), "beside the one that is left");
        drop((places, _next));
        assert_eq!(open(), [0, 0, 0]);
    }
}
