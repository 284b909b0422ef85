//! The fold behind its lock, and how long each place in the code holds the lock.
//!
//! Heartbeats wait for this lock, so every hold must be short, whatever the audience's size. Work
//! on many seats is done slice by slice. Builds for tests assert the number of seats that a hold
//! reads ([`SEATS_PER_HOLD_MAX`]).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use housecount_backend::clock::Stopwatch;
use housecount_core::fold::{Fold, touched};
use housecount_core::limits::SEATS_PER_HOLD_MAX;
pub use housecount_metrics::holds::{Hold, HoldTimes};
use parking_lot::{Mutex, MutexGuard};

#[derive(Debug)]
struct Inner {
    fold: Fold,
    /// Under the same lock, so that counting takes no other one.
    times: [HoldTimes; Hold::ALL.len()],
}

/// The fold, shared by all its readers and writers.
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

    /// Returns how long the lock has been held so far, by place.
    #[must_use]
    pub fn hold_times(&self) -> Vec<(Hold, HoldTimes)> {
        Hold::ALL
            .into_iter()
            .zip(self.0.lock().times)
            .filter(|(hold, _)| *hold != Hold::Look)
            .collect()
    }
}

/// The fold, while its lock is held.
#[derive(Debug)]
pub struct FoldGuard<'a> {
    inner: MutexGuard<'a, Inner>,
    hold: Hold,
    watch: Option<Stopwatch>,
    /// Number of seats that the thread had read when it got the lock.
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
            assert!(
                touched <= SEATS_PER_HOLD_MAX,
                "{touched} seats in one hold of the lock ({:?})",
                self.hold
            );
        }
        if !matches!(self.hold, Hold::Look | Hold::Events) {
            // The hold is one slice of many, so the next waiter gets the lock first.
            MutexGuard::bump(&mut self.inner);
        }
    }
}
