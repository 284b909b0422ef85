//! Rate limit of many keys: a table with eight bytes for each key, found by keyed hashes.
//!
//! The rule is the generic cell rate algorithm (GCRA, ITU-T I.371). An entry is the time at which
//! its key's bucket is full again. A request moves that time forward by the time in which its
//! tokens come back. A request is refused if the bucket would take longer to fill than an empty
//! one. A refused request changes nothing.
//!
//! Eight entries share a cache line. The table doubles when it is too small (see
//! [`CacheLineTable`]). Half of the keys then begin with a full bucket. At its bound, a line evicts
//! its fullest bucket. Both errors are in the key's favour. An entry that is 12 days old to the
//! second may look new, and hold its key back once. No lock is needed.

use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;

use crate::cache_table::CacheLineTable;

/// Entries of a line.
const WAYS: usize = 8;
/// Lines of the table at first: 16 KiB, for 2,000 keys.
const LINES_MIN: usize = 1 << 8;
/// Bits of an entry for the time when its bucket is full again, in microseconds: 12 days. The other
/// bits are a tag of its key.
const FULL_AT_BITS: u32 = 40;
const FULL_AT_MASK: u64 = (1 << FULL_AT_BITS) - 1;
const US_PER_S: u64 = 1_000_000;

/// Largest rate in tokens per second that the clock's microseconds can tell apart.
pub const PER_SECOND_MAX: u32 = US_PER_S as u32;
/// Longest time in which an empty bucket may fill: half of the time that an entry can hold.
pub const FULL_WITHIN_S_MAX: u64 = (FULL_AT_MASK / 2) / US_PER_S;

/// A request that exceeds its key's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRate {
    /// Time until the bucket has enough tokens.
    pub retry_us: u64,
}

/// Buckets of many keys with one rate.
#[derive(Debug)]
pub struct RateTable {
    per_second: u64,
    burst: u64,
    /// Time in which an empty bucket is full again.
    full_within_us: u64,
    hasher: RandomState,
    lines: CacheLineTable<Line>,
}

impl RateTable {
    /// Creates a table for at most `keys_max` keys, a power of two. The rate and the burst are
    /// within [`PER_SECOND_MAX`] and [`FULL_WITHIN_S_MAX`].
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32, keys_max: usize) -> RateTable {
        let (per_second, burst) = (u64::from(per_second.get()), u64::from(burst.get()));
        RateTable {
            per_second,
            burst,
            full_within_us: (burst * US_PER_S / per_second).min(FULL_AT_MASK / 2),
            hasher: RandomState::default(),
            lines: CacheLineTable::new(LINES_MIN, keys_max / WAYS),
        }
    }

    /// Takes tokens of a key at `now_us` of a clock that never steps back. A request for more than
    /// a whole bucket takes a whole one.
    ///
    /// # Errors
    /// Returns [`OverRate`], and changes nothing.
    pub fn take(&self, key: impl Hash, tokens: u64, now_us: u64) -> Result<(), OverRate> {
        let hash = self.hasher.hash_one(key);
        let (tag, line) = (hash & !FULL_AT_MASK, self.lines.of(hash));
        let cost_us = tokens.min(self.burst) * US_PER_S / self.per_second;
        loop {
            let entries = line.entries();
            let own = entries.iter().position(|entry| *entry != 0 && *entry & !FULL_AT_MASK == tag);
            // Free places have nothing missing, and are taken first.
            let missing_us = |at: usize| self.missing_us(entries[at], now_us);
            let at = own.unwrap_or_else(|| {
                (0..WAYS).min_by_key(|at| (missing_us(*at), entries[*at])).unwrap_or(0)
            });
            let missing_before_us = own.map_or(0, missing_us);
            let missing_after_us = missing_before_us + cost_us;
            if missing_after_us > self.full_within_us {
                return Err(OverRate { retry_us: missing_after_us - self.full_within_us });
            }
            let entry = tag | (now_us + missing_after_us) & FULL_AT_MASK;
            if line.change(at, entries[at], entry) {
                if own.is_none() && missing_us(at) > 0 {
                    self.lines.note_eviction();
                }
                return Ok(());
            }
        }
    }

    /// Returns the time until an entry's bucket is full again.
    fn missing_us(&self, entry: u64, now_us: u64) -> u64 {
        let ahead_us = entry.wrapping_sub(now_us) & FULL_AT_MASK;
        // A time further ahead than possible has passed.
        if entry == 0 || ahead_us > self.full_within_us { 0 } else { ahead_us }
    }

    /// Returns the bytes of the table.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.lines.bytes()
    }
}

/// A line of the table.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

impl Line {
    fn entries(&self) -> [u64; WAYS] {
        std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
    }

    /// Replaces an entry. Returns false if it is not `old` any more.
    fn change(&self, at: usize, old: u64, new: u64) -> bool {
        // No other memory depends on an entry.
        self.0[at].compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(per_second: u32, burst: u32, keys_max: usize) -> RateTable {
        RateTable::new(
            NonZeroU32::new(per_second).unwrap(),
            NonZeroU32::new(burst).unwrap(),
            keys_max,
        )
    }

    proptest! {
        /// Compares the table with a bucket that fills continuously and counts in millionths of
        /// tokens. The same requests pass.
        #[test]
        fn a_key_has_a_bucket_that_refills(
            per_second in 1..20_000_u32,
            burst in 1..50_000_u32,
            start_us in 0..1_u64 << 42,
            requests in proptest::collection::vec((0..300_000_u64, 1..200_u64), 1..200),
        ) {
            // Rates that divide a second without a remainder leave no rounding to differ by.
            let per_second = [1, 2, 5, 10, 100, 1_000, 10_000][per_second as usize % 7];
            let table = table(per_second, burst, 1 << 12);
            let whole = u128::from(burst) * 1_000_000;
            let (mut tokens, mut now_us) = (whole, start_us);
            for (gap_us, wanted) in requests {
                now_us += gap_us;
                tokens = (tokens + u128::from(gap_us) * u128::from(per_second)).min(whole);
                let cost = u128::from(wanted.min(u64::from(burst))) * 1_000_000;
                match table.take("a key", wanted, now_us) {
                    Ok(()) => {
                        prop_assert!(cost <= tokens);
                        tokens -= cost;
                    }
                    Err(OverRate { retry_us }) => {
                        let needed = (cost.saturating_sub(tokens)).div_ceil(u128::from(per_second));
                        prop_assert!(cost > tokens);
                        prop_assert_eq!(u128::from(retry_us), needed);
                    }
                }
            }
        }
    }

    #[test]
    fn keys_do_not_share_buckets_and_an_old_entry_is_full() {
        let table = table(1, 3, 1 << 12);
        for now_us in [0, 1 << 22, (1 << 40) - 1, (1 << 50) + (1 << 30)] {
            for key in 0..100 {
                assert_eq!(table.take(key, 3, now_us), Ok(()), "{key} at {now_us}");
                assert_eq!(table.take(key, 1, now_us), Err(OverRate { retry_us: 1_000_000 }));
            }
        }
    }

    #[test]
    fn the_largest_bucket_refills_in_time() {
        let burst = u32::try_from(FULL_WITHIN_S_MAX).unwrap();
        let table = table(1, burst, 1 << 12);
        assert_eq!(table.take("a", u64::from(burst), 7), Ok(()));
        assert_eq!(table.take("a", 1, 7), Err(OverRate { retry_us: 1_000_000 }));
        assert_eq!(table.take("a", 1, 7 + 1_000_000), Ok(()));
    }

    #[test]
    fn a_loud_key_is_remembered_among_more_keys_than_there_is_room_for() {
        const KEYS_MAX: usize = 1 << 12;
        let table = table(10, 100, KEYS_MAX);
        let crowd = |from: usize| {
            (from..from + 20 * KEYS_MAX).for_each(|key| table.take(key, 1, 0).unwrap())
        };
        // First the table grows. Half of the keys begin with a full bucket whenever it doubles.
        crowd(0);
        (0..100).for_each(|_| assert_eq!(table.take("loud", 1, 0), Ok(())));
        crowd(100 * KEYS_MAX);
        assert!(table.take("loud", 1, 0).is_err());
        assert_eq!(table.bytes(), KEYS_MAX * 8);
    }
}
