//! Looking ahead: what is asked for next is on its way from memory meanwhile.
//!
//! To read it and go on would be no help: a processor takes up some hundred instructions more, and
//! then waits for it. To prefetch needs `unsafe` code, which is in a library that is used only
//! here; on processors that it doesn't know this does nothing.

use prefetch_index::prefetch_index;

/// The cache line in which an element of a list begins will be asked for next. One that isn't there
/// is not looked for.
#[inline]
pub fn prefetch<T>(list: &[T], at: usize) {
    if at < list.len() {
        prefetch_index(list, at);
    }
}
