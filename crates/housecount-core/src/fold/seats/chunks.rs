//! A list in chunks of a fixed number. Growth moves no element. A million seats are 64 MB, and a
//! copy of them would hold the fold's lock for too long.

use std::ops::{Index, IndexMut};

use crate::prefetch::prefetch;

/// Number of elements in a chunk.
const CHUNK: usize = 1_024;

/// List in chunks of a fixed number of elements, which never move.
#[derive(Debug)]
pub(in crate::fold) struct ChunkedVec<T> {
    chunks: Vec<Box<[T]>>,
    len: usize,
}

impl<T> Default for ChunkedVec<T> {
    fn default() -> ChunkedVec<T> {
        ChunkedVec { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Copy> ChunkedVec<T> {
    pub(in crate::fold) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::fold) fn get(&self, at: usize) -> Option<&T> {
        (at < self.len).then(|| &self[at])
    }

    /// Prefetches an element that is read next.
    pub(super) fn prefetch(&self, at: usize) {
        prefetch(&self.chunks[at / CHUNK], at % CHUNK);
    }

    pub(in crate::fold) fn push(&mut self, value: T) {
        if self.len == self.chunks.len() * CHUNK {
            self.chunks.push(vec![value; CHUNK].into_boxed_slice());
        }
        let at = self.len;
        self.len += 1;
        self[at] = value;
    }
}

impl<T> Index<usize> for ChunkedVec<T> {
    type Output = T;
    fn index(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }
}

impl<T> IndexMut<usize> for ChunkedVec<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_stays_where_it_is() {
        let mut list = ChunkedVec::default();
        list.push(0);
        let first = std::ptr::from_ref(&list[0]);
        (1..3 * CHUNK).for_each(|n| list.push(n));
        list[CHUNK] = 7;
        assert_eq!(
            (list.len(), list[CHUNK - 1], list[CHUNK], list[3 * CHUNK - 1]),
            (3 * CHUNK, CHUNK - 1, 7, 3 * CHUNK - 1)
        );
        assert_eq!((list.get(3 * CHUNK - 1), list.get(3 * CHUNK)), (Some(&(3 * CHUNK - 1)), None));
        assert_eq!(std::ptr::from_ref(&list[0]), first);
    }
}
