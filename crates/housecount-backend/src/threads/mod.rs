//! The thread that code runs on: which worker it is, and threads beside the workers.

pub mod blocking;

use std::cell::Cell;

thread_local! {
    /// Number of this thread, as in [`current_worker`].
    static HERE: Cell<usize> = const { Cell::new(MAIN_THREAD) };
}

/// Number of every thread that is not a worker.
pub const MAIN_THREAD: usize = 0;

/// Number of this thread's worker, from 1, or [`MAIN_THREAD`].
#[must_use]
pub fn current_worker() -> usize {
    HERE.get()
}

/// Makes this thread the worker of a number.
pub fn become_worker(number: usize) {
    HERE.set(number);
}
