//! Placement of connections: each goes to the worker that serves the fewest, and stays there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;

/// One worker: its runtime, and the number of its connections.
#[derive(Debug)]
struct WorkerSlot {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

/// The workers, by the number of their connections.
#[derive(Debug)]
pub struct ConnectionBalancer(Box<[WorkerSlot]>);

/// A connection at its worker, counted there until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot(Option<Arc<AtomicUsize>>);

impl ConnectionBalancer {
    /// Spreads connections over these runtimes, each with the number of its connections.
    #[must_use]
    pub fn new(
        workers: impl IntoIterator<Item = (Handle, Arc<AtomicUsize>)>,
    ) -> ConnectionBalancer {
        ConnectionBalancer(
            workers
                .into_iter()
                .map(|(runtime, open)| WorkerSlot { runtime, connections: open })
                .collect(),
        )
    }

    /// Assigns a slot at the worker with the fewest connections. Returns its runtime, which is the
    /// caller's if there are no workers.
    #[must_use]
    pub fn assign(&self) -> (Handle, ConnectionSlot) {
        match self.0.iter().min_by_key(|slot| slot.connections.load(Ordering::Relaxed)) {
            Some(slot) => {
                slot.connections.fetch_add(1, Ordering::Relaxed);
                (slot.runtime.clone(), ConnectionSlot(Some(slot.connections.clone())))
            }
            None => (Handle::current(), ConnectionSlot(None)),
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use housecount_test::timed_test;

    #[timed_test]
    async fn connections_are_spread_evenly_and_places_given_back() {
        let balancer = ConnectionBalancer::new((0..3).map(|_| (Handle::current(), Arc::default())));
        let open = || {
            balancer
                .0
                .iter()
                .map(|slot| slot.connections.load(Ordering::Relaxed))
                .collect::<Vec<_>>()
        };
        let mut slots: Vec<_> = (0..30).map(|_| balancer.assign()).collect();
        assert_eq!(open(), [10, 10, 10]);
        slots.truncate(1);
        let _next = balancer.assign();
        assert_eq!(open().iter().sum::<usize>(), 2);
        assert_eq!(open().iter().max(), Some(&1), "each connection gets its own worker");
        drop((slots, _next));
        assert_eq!(open(), [0, 0, 0]);
    }
}
