//! Progress of a start: the node's current step, and the share of the log that it has read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use housecount_core::time::UnixMs;
use parking_lot::Mutex;

/// Step of a start, in the order in which a node passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStep {
    /// The start has just begun.
    Starting,
    /// The node checks the cold tier's table.
    CheckingColdTier,
    /// The node reads the log to its end.
    ReadingLog,
    /// The node reads the last snapshot's roster, which bridges counts after a loss.
    ReadingRoster,
    /// The node restores proofs of watch time from the ledger, after a loss.
    RestoringProofs,
}

impl StartStep {
    /// Stable name of the step, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StartStep::Starting => "starting",
            StartStep::CheckingColdTier => "checkingColdTier",
            StartStep::ReadingLog => "readingLog",
            StartStep::ReadingRoster => "readingRoster",
            StartStep::RestoringProofs => "restoringProofs",
        }
    }
}

impl fmt::Display for StartStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartStep::Starting => "starting",
            StartStep::CheckingColdTier => "checking the cold tier",
            StartStep::ReadingLog => "reading the log",
            StartStep::ReadingRoster => "reading the roster of the last snapshot",
            StartStep::RestoringProofs => "restoring watch time from the ledger",
        })
    }
}

/// Share of the log that a starting node has read. It is measured by the times of records, because
/// their number is not known before.
#[derive(Debug, Default)]
pub struct ReadProgress {
    partitions: Mutex<BTreeMap<u16, ReadPart>>,
    /// Whether the start is over, so that reads are not recorded any more.
    is_over: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct ReadPart {
    first: UnixMs,
    /// Share that is read, from 0 to 1.
    read: f64,
}

impl ReadProgress {
    /// Records one read of a partition: the times of its first and last record, at `clock` of the
    /// log. `is_end` means that there are no more records.
    pub fn record(
        &self,
        partition: u16,
        read: Option<(UnixMs, UnixMs)>,
        clock: UnixMs,
        is_end: bool,
    ) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let (first, last) = read.unwrap_or((clock, clock));
        let mut partitions = self.partitions.lock();
        let part = partitions.entry(partition).or_insert(ReadPart { first, read: 0.0 });
        let (done, all) = (last.since(part.first), clock.since(part.first));
        part.read = if is_end { 1.0 } else { done as f64 / all.max(1) as f64 };
    }

    /// Records that the start is over.
    pub fn finish(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.partitions.lock().clear();
    }

    /// Share of the log that is read, in whole percent, over this number of partitions. It is never
    /// 100, because the node is ready then.
    #[must_use]
    pub fn percent(&self, partitions: u16) -> u8 {
        let read: f64 = self.partitions.lock().values().map(|part| part.read).sum();
        ((read / f64::from(partitions.max(1)) * 100.0) as u8).min(99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_by_time_and_over_all_partitions() {
        let progress = ReadProgress::default();
        let at = |s: u64| UnixMs(1_790_000_000_000 + s * 1_000);
        assert_eq!(progress.percent(2), 0);
        progress.record(0, Some((at(0), at(50))), at(200), false);
        assert_eq!(progress.percent(2), 12);
        progress.record(0, Some((at(51), at(100))), at(200), false);
        assert_eq!(progress.percent(2), 25, "progress counts from the first record");
        progress.record(0, Some((at(101), at(180))), at(200), true);
        assert_eq!(progress.percent(2), 50);
        progress.record(1, None, at(200), true);
        assert_eq!(
            progress.percent(2),
            99,
            "an empty partition counts as read, but the start is not over"
        );
        progress.finish();
        progress.record(0, Some((at(0), at(50))), at(200), false);
        assert!(progress.partitions.lock().is_empty());
    }
}
