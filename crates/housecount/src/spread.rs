//! Few workers while little is to be done, and all once there is more.
//!
//! To be woken is most of what a heartbeat costs where few come at once, and each worker that has some of the connections is woken
//! for them, and for each batch that they are told of. So connections lie with as few workers as have the time for them. Main looks
//! five times a second how busy workers were: if one of them is for a fifth of its time, all of them serve from then on; if fewer
//! would do with half as much each, three times in a row, fewer do. A batch that many wait for has all of them serve at once.
//!
//! Who has more connections than its share has a *surplus*: so many of them move on, each when it is next heard, to the one with the
//! fewest. Nobody need ever move: a connection is served wherever it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The share of its time that one may be busy while others rest. Then it answers for 2 ms of the 10 that a batch lingers by default, which
/// is how much later the last of them has its answer.
const BUSY_MAX: f64 = 0.2;
/// So many may wait for a batch on one worker while others rest: they are answered within a millisecond, at about 10 us each.
const CROWD_MAX: usize = 100;
/// So many looks in a row must find that fewer would do.
const CALM_LOOKS: u32 = 3;

/// One worker.
#[derive(Debug)]
struct Post {
    runtime: Handle,
    open: Arc<AtomicUsize>,
    surplus: AtomicIsize,
}

/// See the module's text.
#[derive(Debug)]
pub struct Spread {
    posts: Box<[Post]>,
    /// So many of them serve, from the first on.
    serving: AtomicUsize,
    /// Whether more waited for a batch than should, since the last look.
    is_crowded: AtomicBool,
}

/// What was seen at the last look.
#[derive(Debug)]
struct Seen {
    at: Instant,
    /// By worker, for how long it has been busy, all in all.
    busy: Vec<Duration>,
    calm_looks: u32,
}

/// A connection's place at a worker, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    spread: Arc<Spread>,
    at: AtomicUsize,
}

impl Spread {
    /// Over these runtimes, each with the number of its connections. All of them serve until fewer are known to do.
    #[must_use]
    pub fn over(workers: impl IntoIterator<Item = (Handle, Arc<AtomicUsize>)>) -> Spread {
        let post = |(runtime, open)| Post { runtime, open, surplus: AtomicIsize::new(0) };
        let posts: Box<[Post]> = workers.into_iter().map(post).collect();
        Spread { serving: AtomicUsize::new(posts.len()), posts, is_crowded: AtomicBool::new(false) }
    }

    /// How many serve now.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.serving.load(Ordering::Relaxed)
    }

    /// The one with the fewest connections of those that serve; none if there are no workers.
    fn least(&self) -> Option<(usize, &Post)> {
        let serving = self.posts.iter().enumerate().take(self.serving());
        serving.min_by_key(|(_, post)| post.open.load(Ordering::Relaxed))
    }

    /// A place where the fewest connections are, and its runtime: the caller's if there are no workers.
    #[must_use]
    pub fn place(self: &Arc<Spread>) -> (Handle, Place) {
        let (at, runtime) = match self.least() {
            Some((at, post)) => {
                post.open.fetch_add(1, Ordering::Relaxed);
                (at, post.runtime.clone())
            }
            None => (usize::MAX, Handle::current()),
        };
        (runtime, Place { spread: self.clone(), at: AtomicUsize::new(at) })
    }

    /// So many wait for a batch.
    pub fn crowd(&self, requests: usize) {
        let serving = self.serving();
        if requests <= CROWD_MAX * serving {
            return;
        }
        self.is_crowded.store(true, Ordering::Relaxed);
        if serving < self.posts.len() {
            self.settle(self.posts.len());
        }
    }

    /// Looks for ever; `told` is told how many serve. Where there is one worker, or none, there is nothing to see.
    pub async fn watch(self: Arc<Spread>, told: impl Fn(usize)) {
        told(self.serving());
        if self.posts.len() < 2 {
            return;
        }
        let mut seen = Seen { at: Instant::now(), busy: self.busy(), calm_looks: 0 };
        loop {
            sleep(LOOK_EVERY).await;
            let (at, busy) = (Instant::now(), self.busy());
            let passed = at - seen.at;
            let share =
                |(now, before): (&Duration, &Duration)| now.saturating_sub(*before).div_duration_f64(passed);
            let shares: Vec<f64> = busy.iter().zip(&seen.busy).map(share).collect();
            let is_crowded = self.is_crowded.swap(false, Ordering::Relaxed);
            let serving = enough(&shares, is_crowded, self.serving(), &mut seen.calm_looks);
            (seen.at, seen.busy) = (at, busy);
            self.settle(serving);
            told(serving);
        }
    }

    /// For how long each has been busy since it began.
    fn busy(&self) -> Vec<Duration> {
        self.posts.iter().map(|post| post.runtime.metrics().worker_total_busy_duration(0)).collect()
    }

    /// So many serve from now on, each as many connections as the others.
    fn settle(&self, serving: usize) {
        self.serving.store(serving, Ordering::Relaxed);
        let open: Vec<usize> = self.posts.iter().map(|post| post.open.load(Ordering::Relaxed)).collect();
        let share = open.iter().sum::<usize>().div_ceil(serving.max(1));
        for (at, (post, open)) in self.posts.iter().zip(open).enumerate() {
            let kept = if at < serving { share } else { 0 };
            post.surplus.store(open.saturating_sub(kept) as isize, Ordering::Relaxed);
        }
    }
}

/// How many are to serve, by the shares of its time that each was busy, if so many did until now.
fn enough(shares: &[f64], is_crowded: bool, serving: usize, calm_looks: &mut u32) -> usize {
    if is_crowded || shares.iter().any(|share| *share >= BUSY_MAX) {
        *calm_looks = 0;
        return shares.len();
    }
    let few = ((shares.iter().sum::<f64>() / (BUSY_MAX / 2.0)).ceil() as usize).max(1);
    *calm_looks = if few < serving { *calm_looks + 1 } else { 0 };
    if *calm_looks < CALM_LOOKS {
        return serving;
    }
    *calm_looks = 0;
    few
}

impl Place {
    fn post(&self) -> Option<&Post> {
        self.spread.posts.get(self.at.load(Ordering::Relaxed))
    }

    /// Where its connection is to be served from now on, if it is to move. One connection asks for itself, and then moves.
    #[must_use]
    pub fn moved(&self) -> Option<Handle> {
        let here = self.post()?;
        if here.surplus.load(Ordering::Relaxed) <= 0 || here.surplus.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return None;
        }
        let (at, there) = self.spread.least()?;
        if at == self.at.swap(at, Ordering::Relaxed) {
            return None;
        }
        there.open.fetch_add(1, Ordering::Relaxed);
        here.open.fetch_sub(1, Ordering::Relaxed);
        Some(there.runtime.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(post) = self.post() {
            post.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(workers: usize) -> Arc<Spread> {
        Arc::new(Spread::over((0..workers).map(|_| (Handle::current(), Arc::default()))))
    }

    fn open(spread: &Spread) -> Vec<usize> {
        spread.posts.iter().map(|post| post.open.load(Ordering::Relaxed)).collect()
    }

    #[tokio::test]
    async fn connections_are_spread_evenly_and_places_given_back() {
        let spread = spread(3);
        let places: Vec<_> = (0..30).map(|_| spread.place()).collect();
        assert_eq!(open(&spread), [10, 10, 10]);
        assert!(places.iter().all(|(_, place)| place.moved().is_none()));
        drop(places);
        assert_eq!(open(&spread), [0, 0, 0]);
    }

    #[tokio::test]
    async fn the_surplus_moves_on_when_fewer_serve_and_when_more_do() {
        let spread = spread(4);
        let mut places: Vec<_> = (0..40).map(|_| spread.place()).collect();
        let move_on = |places: &[(Handle, Place)]| {
            for _ in 0..2 {
                places.iter().for_each(|(_, place)| drop(place.moved()));
            }
            open(&spread)
        };
        spread.settle(1);
        assert_eq!(open(&spread), [10, 10, 10, 10], "each moves by itself");
        assert_eq!(move_on(&places), [40, 0, 0, 0]);
        places.extend((0..2).map(|_| spread.place()));
        assert_eq!(open(&spread), [42, 0, 0, 0]);
        spread.settle(4);
        assert_eq!(move_on(&places), [11, 11, 10, 10]);
        spread.settle(2);
        assert_eq!(move_on(&places), [21, 21, 0, 0]);
        // Those that a surplus was counted of are gone.
        spread.settle(4);
        places.truncate(1);
        let _ = move_on(&places);
        assert_eq!(open(&spread).iter().sum::<usize>(), 1);
    }

    #[test]
    fn all_serve_once_one_is_busy_and_fewer_after_a_while() {
        let mut calm = 0;
        assert_eq!(enough(&[0.19, 0.0, 0.0, 0.0], false, 1, &mut calm), 1);
        assert_eq!(enough(&[0.0; 4], true, 1, &mut calm), 4);
        assert_eq!(enough(&[BUSY_MAX, 0.0, 0.0, 0.0], false, 1, &mut calm), 4);
        let mut after = |shares: &[f64], looks| {
            (0..looks).fold(4, |serving, _| enough(shares, false, serving, &mut calm))
        };
        assert_eq!(after(&[0.15; 4], 100), 4, "six would be as busy as is calm");
        assert_eq!(after(&[0.06; 4], CALM_LOOKS - 1), 4, "not yet");
        assert_eq!(after(&[0.15; 4], 1), 4);
        assert_eq!(after(&[0.06; 4], CALM_LOOKS - 1), 4, "not in a row");
        assert_eq!(after(&[0.06; 4], 1), 3);
        assert_eq!(after(&[0.0; 4], CALM_LOOKS), 1);
    }

    #[tokio::test]
    async fn all_serve_at_once_where_many_wait_for_a_batch() {
        let spread = spread(2);
        spread.settle(1);
        spread.crowd(CROWD_MAX);
        assert_eq!(spread.serving(), 1);
        let places: Vec<_> = (0..2).map(|_| spread.place()).collect();
        spread.crowd(CROWD_MAX + 1);
        assert_eq!(spread.serving(), 2);
        assert!(places.iter().any(|(_, place)| place.moved().is_some()));
        assert_eq!(open(&spread), [1, 1]);
    }

    /// A runtime says how busy it is.
    #[tokio::test]
    async fn a_busy_worker_has_others_serve_and_an_idle_one_sends_them_to_rest() {
        let workers = crate::workers::Workers::start(2, crate::moderation::Moderation::default());
        let (serving, mut told) = tokio::sync::watch::channel(0);
        let watch = tokio::spawn(workers.spread().watch(move |now| {
            serving.send_replace(now);
        }));
        assert_eq!(*told.wait_for(|serving| *serving > 0).await.unwrap(), 2);
        let (runtime, place) = workers.spread().place();
        told.wait_for(|serving| *serving == 1).await.unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy = runtime.spawn({
            let stop = stop.clone();
            async move {
                while !stop.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            }
        });
        told.wait_for(|serving| *serving == 2).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        busy.await.unwrap();
        told.wait_for(|serving| *serving == 1).await.unwrap();
        watch.abort();
        drop((place, runtime));
        workers.stop().await;
    }
}
