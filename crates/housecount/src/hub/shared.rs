//! The fold behind its lock, and how long each place in the code holds it.
//!
//! Heartbeats wait for this lock, so no hold may take long, whatever the audience's size: work on many seats goes slice by slice, and
//! what a hold looks at is asserted in builds for tests ([`SEATS_PER_HOLD_MAX`]).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use housecount_core::fold::{Fold, touched};
use housecount_core::limits::SEATS_PER_HOLD_MAX;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::Stopwatch;

/// Why the lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hold {
    /// One look-up or one change that takes as long whatever the audience's size. Not timed: the clock would take longer.
    Look,
    /// Events are taken in, or told to the log.
    Events,
    /// Time advances.
    Time,
    /// A slice of a list is copied.
    List,
    /// A slice of what is proven is gone through.
    Proof,
    /// A slice of what is over is forgotten.
    Forget,
    /// A slice of what the log lost is told to it again.
    Rebuild,
    /// All handles of a partition are made with another key: at start, and if the log was replaced by another one.
    Rekey,
}

impl Hold {
    const ALL: [Hold; 8] = [
        Hold::Look,
        Hold::Events,
        Hold::Time,
        Hold::List,
        Hold::Proof,
        Hold::Forget,
        Hold::Rebuild,
        Hold::Rekey,
    ];

    /// The label of its metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Hold::Look => "look",
            Hold::Events => "events",
            Hold::Time => "time",
            Hold::List => "list",
            Hold::Proof => "proof",
            Hold::Forget => "forget",
            Hold::Rebuild => "rebuild",
            Hold::Rekey => "rekey",
        }
    }
}

/// Upper bounds of the histogram's buckets, in microseconds.
pub const BUCKETS_US: [u64; 13] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 100_000, 1_000_000];

/// How long one place has held the lock: a histogram.
#[derive(Clone, Copy, Debug, Default)]
pub struct HoldTimes {
    /// Holds by the first of [`BUCKETS_US`] that they fit into; the last of all by none.
    pub buckets: [u64; BUCKETS_US.len() + 1],
    /// Their sum.
    pub sum_ns: u64,
}

impl HoldTimes {
    fn observe(&mut self, held: Duration) {
        let us = held.as_micros();
        let bucket = BUCKETS_US.partition_point(|bound| u128::from(*bound) < us);
        self.buckets[bucket] += 1;
        self.sum_ns = self.sum_ns.saturating_add(u64::try_from(held.as_nanos()).unwrap_or(u64::MAX));
    }
}

#[derive(Debug)]
struct Inner {
    fold: Fold,
    /// Under the same lock, so that counting takes no other one.
    times: [HoldTimes; Hold::ALL.len()],
}

/// The fold, shared by all that read and change it.
#[derive(Clone, Debug)]
pub struct SharedFold(Arc<Mutex<Inner>>);

impl SharedFold {
    /// Puts a fold behind a lock of its own.
    #[must_use]
    pub fn new(fold: Fold) -> SharedFold {
        SharedFold(Arc::new(Mutex::new(Inner { fold, times: Default::default() })))
    }

    /// Waits for the lock.
    #[must_use]
    pub fn lock(&self, hold: Hold) -> FoldGuard<'_> {
        let inner = self.0.lock();
        FoldGuard {
            inner,
            hold,
            watch: (hold != Hold::Look).then(Stopwatch::start),
            touched: if cfg!(debug_assertions) { touched::so_far() } else { 0 },
        }
    }

    /// How long the lock was held so far, by place.
    #[must_use]
    pub fn hold_times(&self) -> Vec<(Hold, HoldTimes)> {
        Hold::ALL.into_iter().zip(self.0.lock().times).filter(|(hold, _)| *hold != Hold::Look).collect()
    }
}

/// The fold, while it is held.
#[derive(Debug)]
pub struct FoldGuard<'a> {
    inner: MutexGuard<'a, Inner>,
    hold: Hold,
    watch: Option<Stopwatch>,
    /// What the thread had looked at when it got the lock.
    touched: usize,
}

impl Deref for FoldGuard<'_> {
    type Target = Fold;

    fn deref(&self) -> &Fold {
        &self.inner.fold
    }
}

impl DerefMut for FoldGuard<'_> {
    fn deref_mut(&mut self) -> &mut Fold {
        &mut self.inner.fold
    }
}

impl Drop for FoldGuard<'_> {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            let held = watch.elapsed();
            self.inner.times[self.hold as usize].observe(held);
        }
        if cfg!(debug_assertions) && self.hold != Hold::Rekey && !std::thread::panicking() {
            let touched = touched::so_far() - self.touched;
            assert!(touched <= SEATS_PER_HOLD_MAX, "{touched} seats under one hold ({:?})", self.hold);
        }
        if !matches!(self.hold, Hold::Look | Hold::Events) {
            // A slice of many: the task that waits for the lock comes first.
            MutexGuard::bump(&mut self.inner);
        }
    }
}
