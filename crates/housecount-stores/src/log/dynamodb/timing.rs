//! Timing of a DynamoDB log: its clock, and the interval of its steps.
//!
//! A writer chooses the position of an item before the item is stored. No reader may read past an
//! item that is still on its way. Therefore:
//! - A writer gives each item a *deadline*, computed from the latest time that DynamoDB's clock may
//!   show now.
//! - It counts the item as appended only if the answer comes before the deadline, by the same
//!   clock.
//! - Readers read up to a time that has passed by the earliest time that DynamoDB's clock may show.
//!
//! Clocks of nodes are not read at all.

use housecount_core::limits::RECORD_EVENTS_MAX;
use housecount_core::time::UnixMs;
use housecount_core::units::WRITE_BYTES;

use crate::dynamo::clock::DateClock;

/// Bytes of a large item that DynamoDB certainly stores within one millisecond.
const LAND_BYTES_PER_MS: u64 = 512;

/// Bytes of an item's keys and names.
const ITEM_BYTES: u64 = 70;
/// Greatest number of bytes that an item gathers over several flushes. It fits one record for
/// certain, because an event takes more than one byte.
const GATHERED_BYTES_MAX: u64 = RECORD_EVENTS_MAX as u64;

/// Number of flushes to wait for the next item, at most `most`.
///
/// The last item has `bytes` that gathered in `gathered` flushes. The number is the smallest one
/// that makes the next item cheapest, if events continue at that rate. Items are billed by the
/// kilobyte.
pub(super) fn flushes_until_next(bytes: usize, gathered: u64, most: u64) -> u64 {
    let per_flush = (bytes as u64).div_ceil(gathered.max(1));
    let units = |flushes: u64| (ITEM_BYTES + flushes * per_flush).div_ceil(WRITE_BYTES);
    let mut best = 1;
    for flushes in (2..=most).take_while(|flushes| flushes * per_flush <= GATHERED_BYTES_MAX) {
        if units(flushes) * best < units(best) * flushes {
            best = flushes;
        }
    }
    best
}

/// Clock of a DynamoDB log, and the interval of its flushes.
#[derive(Clone, Debug)]
pub(super) struct FlushTiming {
    pub(super) flush_ms: u64,
    pub(super) clock: DateClock,
}

impl FlushTiming {
    /// Delay of the log's clock behind DynamoDB's, in ms.
    ///
    /// An event may wait one flush for the append before its own, and every node can read it within
    /// another one. So `asOf` is the time up to which all events are counted.
    fn behind_ms(&self) -> u64 {
        2 * self.flush_ms
    }

    /// Assumed difference between the clocks of two of DynamoDB's servers.
    fn skew_ms(&self) -> u64 {
        self.flush_ms / 10
    }

    /// Greatest uncertainty at which the clock counts as precise.
    fn uncertainty_ms_max(&self) -> u64 {
        (self.flush_ms / 4).max(8)
    }

    /// Longest time that a put of an item may take. A large item, such as a checkpoint's, has many
    /// parts.
    fn write_ms_max(&self, bytes: usize) -> u64 {
        self.flush_ms / 2 + bytes as u64 / LAND_BYTES_PER_MS
    }

    /// Interval between two reads. By then two writers have put three items of one kilobyte each,
    /// so that a consistent read costs one unit.
    pub(super) fn read_every_ms(&self) -> u64 {
        self.flush_ms * 3 / 2
    }

    /// Whether DynamoDB's clock is known precisely enough.
    pub(super) fn is_precise(&self) -> bool {
        self.clock.bounds().is_some_and(|(low, high)| high.since(low) <= self.uncertainty_ms_max())
    }

    /// The log's clock. All items with positions up to it are stored.
    pub(super) fn now(&self) -> UnixMs {
        let low = self.clock.bounds().map_or(UnixMs::ZERO, |(low, _)| low);
        low.minus(self.skew_ms() + self.behind_ms())
    }

    /// Position of an item of `bytes` that is put now.
    pub(super) fn position(&self, bytes: usize) -> UnixMs {
        let high = self.clock.bounds().map_or(UnixMs::ZERO, |(_, high)| high);
        high.plus(self.write_ms_max(bytes)).minus(self.behind_ms())
    }

    /// Time in which the item at `position` may still be stored, in ms; zero after its deadline.
    pub(super) fn left_ms(&self, position: UnixMs) -> u64 {
        let high = self.clock.bounds().map_or(UnixMs::MAX, |(_, high)| high);
        position.plus(self.behind_ms()).since(high)
    }

    /// Time until every reader with a precise clock reads an item at `position`, in ms.
    pub(super) fn settles_in_ms(&self, position: UnixMs) -> u64 {
        position.plus(self.uncertainty_ms_max()).since(self.now())
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::limits::FLUSH_STRETCH_MAX;

    use super::*;

    #[test]
    fn flushes_are_left_out_where_that_is_cheaper() {
        for (bytes, gathered, most, flushes) in [
            (20, 0, 1, 1),
            (20, 0, FLUSH_STRETCH_MAX, 2),
            (400, 1, FLUSH_STRETCH_MAX, 2),
            // The items of two flushes have more than a kilobyte, so nothing is saved.
            (500, 1, FLUSH_STRETCH_MAX, 1),
            (950, 2, FLUSH_STRETCH_MAX, 2),
            (960, 2, FLUSH_STRETCH_MAX, 1),
            // Two units for one flush, and three for two flushes.
            (1_000, 1, FLUSH_STRETCH_MAX, 2),
            // The item might have more events than a record holds (RECORD_EVENTS_MAX).
            (1_025, 1, FLUSH_STRETCH_MAX, 1),
            (300_000, 1, FLUSH_STRETCH_MAX, 1),
        ] {
            assert_eq!(
                flushes_until_next(bytes, gathered, most),
                flushes,
                "{bytes} {gathered} {most}"
            );
        }
    }
}
