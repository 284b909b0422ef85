//! Seats looked at by a thread: what a call costs, whatever the machine does besides. Counted in
//! debug builds only.

use std::cell::Cell;

thread_local! {
    static TOUCHED: Cell<usize> = const { Cell::new(0) };
}

/// A seat is looked at.
#[cfg(debug_assertions)]
pub(super) fn note() {
    TOUCHED.set(TOUCHED.get() + 1);
}

/// Seats that this thread has looked at so far.
#[must_use]
pub fn so_far() -> usize {
    TOUCHED.get()
}
