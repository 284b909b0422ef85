//! The times of a DynamoDB log: its clock, and how far apart its steps are.
//!
//! Where its items lie is decided by their writers, before they are there. So that nobody reads
//! past an item that is still on its way, a writer says until when it will be there (its
//! *deadline*), by the latest that DynamoDB's clock may be now; takes it as appended only if the
//! answer comes before that, by the same reckoning; and readers read up to a moment that is over by
//! the earliest that DynamoDB's clock may be. Nodes' own clocks are not read at all.

use housecount_core::cost::units::WRITE_BYTES;
use housecount_core::limits::RECORD_EVENTS_MAX;
use housecount_core::time::UnixMs;

use crate::dynamo::clock::DateClock;

/// Bytes of a large item that certainly come to lie within a millisecond.
const LAND_BYTES_PER_MS: u64 = 512;

/// What an item's keys and names take beside its bytes.
const ITEM_BYTES: u64 = 70;
/// Nothing more is gathered for an item than what certainly fits one record: an event takes more
/// than a byte.
const GATHERED_BYTES_MAX: u64 = RECORD_EVENTS_MAX as u64;

/// How many flushes to wait for the next item, `most` at most, after one of so many `bytes` that
/// gathered in `gathered` flushes: as few as make it cheapest, if what is said goes on like that.
/// Items are billed by the kilobyte.
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
    /// By how much the log's clock is behind DynamoDB's: what is said may wait a flush for the
    /// append before its own, and has come to lie everywhere within another one. So `asOf` is the
    /// time up to which all that was said is counted.
    fn behind_ms(&self) -> u64 {
        2 * self.flush_ms
    }

    /// What the clocks of two of DynamoDB's servers may differ by.
    fn skew_ms(&self) -> u64 {
        self.flush_ms / 10
    }

    /// How well the clock must be known.
    fn uncertainty_ms_max(&self) -> u64 {
        (self.flush_ms / 4).max(8)
    }

    /// How long an item may take to come to lie: a large one, a checkpoint's, has many parts.
    fn write_ms_max(&self, bytes: usize) -> u64 {
        self.flush_ms / 2 + bytes as u64 / LAND_BYTES_PER_MS
    }

    /// Between two reads: by then two writers' items of a kilobyte each are three, so that the
    /// read, consistent, costs one unit.
    pub(super) fn read_every_ms(&self) -> u64 {
        self.flush_ms * 3 / 2
    }

    /// Whether DynamoDB's clock is known well enough.
    pub(super) fn is_precise(&self) -> bool {
        self.clock.bounds().is_some_and(|(low, high)| high.since(low) <= self.uncertainty_ms_max())
    }

    /// The log's clock: all with positions up to it is there.
    pub(super) fn now(&self) -> UnixMs {
        let low = self.clock.bounds().map_or(UnixMs::ZERO, |(low, _)| low);
        low.minus(self.skew_ms() + self.behind_ms())
    }

    /// The position of so many bytes that are put now.
    pub(super) fn position(&self, bytes: usize) -> UnixMs {
        let high = self.clock.bounds().map_or(UnixMs::ZERO, |(_, high)| high);
        high.plus(self.write_ms_max(bytes)).minus(self.behind_ms())
    }

    /// For how long an item at `position` may still come to lie, in ms; zero if the time is over.
    pub(super) fn left_ms(&self, position: UnixMs) -> u64 {
        let high = self.clock.bounds().map_or(UnixMs::MAX, |(_, high)| high);
        position.plus(self.behind_ms()).since(high)
    }

    /// How long until every reader whose clock is sharp reads an item at `position`, in ms.
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
            // Two flushes' are more than a kilobyte: nothing is saved.
            (500, 1, FLUSH_STRETCH_MAX, 1),
            (950, 2, FLUSH_STRETCH_MAX, 2),
            (960, 2, FLUSH_STRETCH_MAX, 1),
            // Two units, and three for two flushes.
            (1_000, 1, FLUSH_STRETCH_MAX, 2),
            // RECORD_EVENTS_MAX: it might be more than a record holds.
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
