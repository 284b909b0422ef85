//! A hash table of cache lines, which grows with its content and has no locks.
//!
//! The table is as small as possible, since a lookup waits for its line to come from memory. The
//! table doubles after too many early evictions, up to a bound. A doubling moves no entry. Half of
//! the entries are then not in the line of their hash but in an earlier one, until other entries
//! replace them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use housecount_core::prefetch::prefetch;

/// Lock-free hash table of cache lines, which doubles after too many evictions.
#[derive(Debug)]
pub struct CacheLineTable<L> {
    /// Number of lines at first; a power of two.
    lines_min: usize,
    doublings: AtomicUsize,
    /// Number of early evictions since the last doubling.
    forgotten: AtomicUsize,
    /// The first lines, and after each doubling as many again as there were.
    pieces: Box<[OnceLock<Box<[L]>>]>,
}

impl<L: Default> CacheLineTable<L> {
    /// A table with `lines_min` lines at first and `lines_max` lines at most. Both are powers of
    /// two.
    #[must_use]
    pub fn new(lines_min: usize, lines_max: usize) -> CacheLineTable<L> {
        debug_assert!(
            lines_min.is_power_of_two() && lines_max.is_power_of_two() && lines_min <= lines_max
        );
        let doublings_max = (lines_max / lines_min).ilog2();
        CacheLineTable {
            lines_min,
            doublings: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            pieces: (0..=doublings_max).map(|_| OnceLock::new()).collect(),
        }
    }

    fn lines(&self) -> usize {
        self.lines_min << self.doublings.load(Ordering::Relaxed)
    }

    /// Whether two hashes have the same line now.
    pub fn same_line(&self, one: u64, other: u64) -> bool {
        ((one ^ other) as usize).is_multiple_of(self.lines())
    }

    /// Current line of a hash.
    pub fn of(&self, hash: u64) -> &L {
        self.at(hash as usize % self.lines())
    }

    /// Earlier lines of a hash, the latest first.
    pub fn previous_lines(&self, hash: u64) -> impl Iterator<Item = &L> {
        let lines_min = self.lines_min;
        let at = move |doublings: usize| hash as usize % (lines_min << doublings);
        let doublings = self.doublings.load(Ordering::Relaxed);
        (0..doublings).rev().filter(move |n| at(*n) != at(n + 1)).map(move |n| self.at(at(n)))
    }

    fn at(&self, at: usize) -> &L {
        let (piece, at) = self.place(at);
        &piece[at]
    }

    /// The piece that contains a line, and the line's index within it.
    fn place(&self, at: usize) -> (&[L], usize) {
        // Number of the doubling that added the line.
        let piece =
            (at / self.lines_min).checked_ilog2().map_or(0, |doubling| 1 + doubling as usize);
        let lines = self.lines_min << piece.saturating_sub(1);
        let piece = self.pieces[piece].get_or_init(|| (0..lines).map(|_| L::default()).collect());
        (piece, at % lines)
    }

    /// Prefetches the line of a hash from memory, before a lookup.
    pub fn prefetch(&self, hash: u64) {
        let (piece, at) = self.place(hash as usize % self.lines());
        prefetch(piece, at);
    }

    /// Records an early eviction. The table doubles when their number reaches an eighth of the
    /// number of lines.
    pub fn note_eviction(&self) {
        let forgotten = self.forgotten.fetch_add(1, Ordering::Relaxed) + 1;
        let doublings = self.doublings.load(Ordering::Relaxed);
        if forgotten >= (self.lines_min << doublings) / 8 && doublings + 1 < self.pieces.len() {
            self.forgotten.store(0, Ordering::Relaxed);
            // Only one of several threads that reach this point doubles the table.
            let (before, after) = (doublings, doublings + 1);
            let _ = self.doublings.compare_exchange(
                before,
                after,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// Size of the allocated lines in memory.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.pieces.iter().filter_map(OnceLock::get).map(|lines| size_of_val(&**lines)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_doubles_up_to_its_bound_and_every_line_is_found() {
        let table: CacheLineTable<[u64; 2]> = CacheLineTable::new(8, 64);
        let addresses = || -> HashSet<_> {
            (0..1_000).map(|hash| std::ptr::from_ref(table.of(hash))).collect()
        };
        let mut before = HashSet::new();
        for lines in [8, 16, 32, 64, 64, 64] {
            let found = addresses();
            assert_eq!((found.len(), table.bytes()), (lines, lines * 16));
            assert!(
                table.same_line(5, 5 + lines as u64) && !table.same_line(5, 5 + lines as u64 / 2)
            );
            assert!(found.is_superset(&before), "growth keeps every line in its place");
            // Twice in the lower half: added by the last doubling, or by an earlier one.
            let had_others = (0..lines as u64)
                .filter(|hash| table.previous_lines(*hash).next().is_some())
                .count();
            assert_eq!(had_others, lines - 8);
            assert!((0..lines as u64).all(|hash| {
                table.previous_lines(hash).all(|line| found.contains(&std::ptr::from_ref(line)))
            }));
            before = found;
            (0..lines / 8).for_each(|_| table.note_eviction());
        }
    }
}
