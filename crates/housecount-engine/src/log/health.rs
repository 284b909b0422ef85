//! Write health: whether the log takes this node's writes, by partition.
//!
//! Reads and appends of a store fail independently. A Redis without enough replicas, a full disk or
//! a revoked permission refuses appends and answers reads. A node that trusts reads alone would
//! advance time, and every viewer would time out. So a refused append counts until one succeeds. A
//! node without players appends records without events, to learn it as well.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_backend::clock::mono_ms;
use housecount_core::limits::ACK_TIMEOUT_MS;
use housecount_core::mutants::{Mutant, is_on};
use parking_lot::Mutex;

/// Reason why the log does not take this node's writes, and the duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// An append was refused or not answered, and none has succeeded since.
    Refused {
        /// Time since the first refused append.
        ms: u64,
    },
    /// An event has waited too long for its append.
    Late {
        /// Time since the event arrived.
        ms: u64,
    },
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stall::Refused { ms } => {
                write!(f, "the log has accepted no writes for {} s", ms.div_ceil(1_000))
            }
            Stall::Late { ms } => {
                write!(f, "a heartbeat has waited {} s for the log", ms.div_ceil(1_000))
            }
        }
    }
}

/// Known state of one partition's writes. Times are `mono_ms`.
#[derive(Clone, Copy, Debug, Default)]
struct PartitionHealth {
    /// Time of the first refused append since the last successful one.
    refused_since_ms: Option<u64>,
    /// Time of the last append, successful or refused.
    tried_ms: u64,
    /// Arrival of the oldest event that waits for its append.
    waiting_since_ms: Option<u64>,
}

/// Health of the writes to every partition. All writers share it, and every count reads it.
#[derive(Debug)]
pub struct WriteHealth {
    partitions: Mutex<Vec<PartitionHealth>>,
    /// Longest time that an event may wait for its append.
    wait_ms_max: AtomicU64,
    /// Whether any partition refuses writes. Counts read it without the lock.
    is_refused: AtomicBool,
}

impl WriteHealth {
    /// The health of a log that has not been written to yet. An event may wait for a third of the
    /// ttl. The viewer's previous beat is an interval older, which is also at most a third. So no
    /// viewer with a waiting beat times out. After [`ACK_TIMEOUT_MS`], requests get an error
    /// because the log has not taken them.
    #[must_use]
    pub fn new(partitions: u16, ttl_ms: u64) -> WriteHealth {
        WriteHealth {
            partitions: Mutex::new(vec![PartitionHealth::default(); usize::from(partitions)]),
            wait_ms_max: AtomicU64::new((ttl_ms / 3).min(ACK_TIMEOUT_MS)),
            is_refused: AtomicBool::new(false),
        }
    }

    /// Sets the usual duration of an append, so that a shorter wait is not a stall.
    pub fn expect(&self, append_ms: u64) {
        self.wait_ms_max.fetch_max(append_ms.min(ACK_TIMEOUT_MS), Ordering::Relaxed);
    }

    /// Records that an append succeeded.
    pub fn accept(&self, partition: u16) {
        self.change(partition, |of| (of.refused_since_ms, of.tried_ms) = (None, mono_ms()));
    }

    /// Records that an append failed.
    pub fn refuse(&self, partition: u16) {
        self.change(partition, |of| {
            of.tried_ms = mono_ms();
            of.refused_since_ms.get_or_insert(of.tried_ms);
        });
    }

    /// Records since when the oldest event of a partition has waited for its append. `None` while
    /// no event waits.
    pub fn set_waiting(&self, partition: u16, since_ms: Option<u64>) {
        self.change(partition, |of| of.waiting_since_ms = since_ms);
    }

    fn change(&self, partition: u16, change: impl FnOnce(&mut PartitionHealth)) {
        let mut partitions = self.partitions.lock();
        if let Some(of) = partitions.get_mut(usize::from(partition)) {
            change(of);
        }
        let is_refused = partitions.iter().any(|of| of.refused_since_ms.is_some());
        // Stored under the lock, so that the last change wins.
        self.is_refused.store(is_refused, Ordering::Relaxed);
    }

    /// Whether an append was refused and none has succeeded since. Every count calls it, so it is
    /// one load.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed) && !is_on(Mutant::AdvanceUnwritten)
    }

    /// Whether a partition's last append was refused. The lock is not taken while no partition
    /// refuses.
    #[must_use]
    pub fn refuses(&self, partition: u16) -> bool {
        let of =
            |partitions: &Vec<PartitionHealth>| partitions.get(usize::from(partition)).copied();
        self.is_refused()
            && of(&self.partitions.lock()).is_some_and(|of| of.refused_since_ms.is_some())
    }

    /// Whether the partition has had no append for `idle_ms`, and no event waits. The append of a
    /// waiting event would be a probe itself.
    #[must_use]
    pub fn needs_probe(&self, partition: u16, idle_ms: u64) -> bool {
        let now_ms = mono_ms();
        let is_idle = |of: &PartitionHealth| now_ms.saturating_sub(of.tried_ms) >= idle_ms;
        let partitions = self.partitions.lock();
        let of = partitions.get(usize::from(partition));
        of.is_some_and(|of| of.waiting_since_ms.is_none() && is_idle(of))
    }

    /// Returns the longest stall of any partition, if the log does not take this node's writes.
    #[must_use]
    pub fn stall(&self) -> Option<Stall> {
        self.stall_at(mono_ms()).filter(|_| !is_on(Mutant::AdvanceUnwritten))
    }

    fn stall_at(&self, now_ms: u64) -> Option<Stall> {
        let partitions = self.partitions.lock();
        let longest = |since: fn(&PartitionHealth) -> Option<u64>| {
            partitions
                .iter()
                .filter_map(since)
                .min()
                .map(|since_ms| now_ms.saturating_sub(since_ms))
        };
        let refused = longest(|of| of.refused_since_ms).map(|ms| Stall::Refused { ms });
        let wait_ms_max = self.wait_ms_max.load(Ordering::Relaxed);
        let late = longest(|of| of.waiting_since_ms).filter(|ms| *ms > wait_ms_max);
        refused.or(late.map(|ms| Stall::Late { ms }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_append_counts_until_one_works_on_its_partition() {
        let health = WriteHealth::new(2, 120_000);
        assert_eq!((health.is_refused(), health.stall()), (false, None));
        health.refuse(1);
        assert!(health.is_refused() && matches!(health.stall(), Some(Stall::Refused { .. })));
        health.accept(0);
        assert!(health.is_refused(), "an append to another partition does not end the stall");
        assert!(health.refuses(1) && !health.refuses(0) && !health.refuses(2));
        assert!(
            health.needs_probe(1, 0) && !health.needs_probe(1, 3_600_000),
            "the last append is too recent for a probe"
        );
        health.set_waiting(1, Some(mono_ms()));
        assert!(!health.needs_probe(1, 0), "the waiting event's append is the probe");
        health.accept(1);
        assert_eq!((health.is_refused(), health.stall()), (false, None));
    }

    #[test]
    fn a_third_of_the_ttl_and_ack_timeout_ms_are_how_long_an_event_may_wait() {
        let health = WriteHealth::new(2, 9_000);
        health.set_waiting(0, Some(7_000));
        assert_eq!(health.stall_at(7_000 + 3_000), None);
        assert_eq!(health.stall_at(7_000 + 3_001), Some(Stall::Late { ms: 3_001 }));
        health.expect(4_000);
        assert_eq!(
            health.stall_at(7_000 + 4_000),
            None,
            "no stall while an append usually takes this long"
        );
        let health = WriteHealth::new(2, 120_000);
        health.set_waiting(0, Some(7_000));
        health.set_waiting(1, Some(5_000));
        assert_eq!(health.stall_at(5_000 + ACK_TIMEOUT_MS), None);
        let late_ms = ACK_TIMEOUT_MS + 1;
        assert_eq!(health.stall_at(5_000 + late_ms), Some(Stall::Late { ms: late_ms }));
        health.set_waiting(1, None);
        assert_eq!(health.stall_at(5_000 + late_ms), None);
    }
}
