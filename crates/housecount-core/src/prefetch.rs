//! Prefetch of memory that is read next.
//!
//! An early read would not help. A processor continues for some hundred instructions at most, and
//! then waits for the memory. A prefetch needs `unsafe` code, which is in a library that only this
//! module uses. On processors that the library doesn't know this does nothing.

use prefetch_index::prefetch_index;

/// Prefetches the cache line in which an element of a list begins. Does nothing if the list has no
/// such element.
#[inline]
pub fn prefetch<T>(list: &[T], at: usize) {
    if at < list.len() {
        prefetch_index(list, at);
    }
}
