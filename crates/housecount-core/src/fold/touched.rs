//! Number of seats that a thread has read, as a measure of cost that does not depend on the
//! machine's load. It counts in debug builds only.

use std::cell::Cell;

thread_local! {
    static TOUCHED: Cell<usize> = const { Cell::new(0) };
}

/// Counts a read of a seat.
#[cfg(debug_assertions)]
pub(super) fn note() {
    TOUCHED.set(TOUCHED.get() + 1);
}

/// Returns the number of seats that this thread has read so far.
#[must_use]
pub fn so_far() -> usize {
    TOUCHED.get()
}
