//! Write health: whether the log takes what this node writes, by partition.
//!
//! Reads and appends of a store fail apart: a Redis without enough replicas, a full disk or a
//! revoked permission refuses appends and answers reads. A node that goes by reads alone then lets
//! time advance, and every viewer times out. So a refused append counts until one works. A node
//! without players appends records without events, to know as well.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_core::limits::ACK_TIMEOUT_MS;
use housecount_core::mutants::{Mutant, is_on};
use parking_lot::Mutex;

use crate::clock::mono_ms;

/// Why the log doesn't take this node's writes, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// An append was refused or not answered, and none has worked since.
    Refused {
        /// Time since the first refused append.
        ms: u64,
    },
    /// An event has waited for its append for too long.
    Late {
        /// Time since the event came.
        ms: u64,
    },
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stall::Refused { ms } => {
                write!(f, "the log has taken no writes for {} s", ms.div_ceil(1_000))
            }
            Stall::Late { ms } => {
                write!(f, "a heartbeat has waited {} s for the log", ms.div_ceil(1_000))
            }
        }
    }
}

/// What is known of one partition's writes. Times are `mono_ms`.
#[derive(Clone, Copy, Debug, Default)]
struct PartitionHealth {
    /// When the first append was refused after which none has worked.
    refused_since_ms: Option<u64>,
    /// When an append last worked, or was refused.
    tried_ms: u64,
    /// When the oldest event came that waits for its append.
    waiting_since_ms: Option<u64>,
}

/// Health of the writes to every partition. Shared by all that write, and read with every count.
#[derive(Debug)]
pub struct WriteHealth {
    partitions: Mutex<Vec<PartitionHealth>>,
    /// How long an event may wait for its append.
    wait_ms_max: AtomicU64,
    /// Whether any partition refuses writes: what a count asks, without the lock.
    is_refused: AtomicBool,
}

impl WriteHealth {
    /// The health of a log that has not been written to yet. Within a third of the ttl, an interval
    /// or less, no viewer times out whose beats wait; after [`ACK_TIMEOUT_MS`] requests are told
    /// that the log has not taken them.
    #[must_use]
    pub fn new(partitions: u16, ttl_ms: u64) -> WriteHealth {
        WriteHealth {
            partitions: Mutex::new(vec![PartitionHealth::default(); usize::from(partitions)]),
            wait_ms_max: AtomicU64::new((ttl_ms / 3).min(ACK_TIMEOUT_MS)),
            is_refused: AtomicBool::new(false),
        }
    }

    /// An append takes so long where all is well: waiting for it says nothing.
    pub fn expect(&self, append_ms: u64) {
        self.wait_ms_max.fetch_max(append_ms.min(ACK_TIMEOUT_MS), Ordering::Relaxed);
    }

    /// Records that an append worked.
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

    /// Records since when the oldest event of a partition has waited for its append; `None` while
    /// none waits.
    pub fn set_waiting(&self, partition: u16, since_ms: Option<u64>) {
        self.change(partition, |of| of.waiting_since_ms = since_ms);
    }

    fn change(&self, partition: u16, change: impl FnOnce(&mut PartitionHealth)) {
        let mut partitions = self.partitions.lock();
        if let Some(of) = partitions.get_mut(usize::from(partition)) {
            change(of);
        }
        let is_refused = partitions.iter().any(|of| of.refused_since_ms.is_some());
        // Under the lock, so that the last change has the last word.
        self.is_refused.store(is_refused, Ordering::Relaxed);
    }

    /// Whether an append was refused after which none has worked. One load: every count asks.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed) && !is_on(Mutant::AdvanceUnwritten)
    }

    /// Whether a partition's last append was refused. Without the lock while no partition's was.
    #[must_use]
    pub fn refuses(&self, partition: u16) -> bool {
        let of =
            |partitions: &Vec<PartitionHealth>| partitions.get(usize::from(partition)).copied();
        self.is_refused()
            && of(&self.partitions.lock()).is_some_and(|of| of.refused_since_ms.is_some())
    }

    /// Whether nothing has been appended to a partition for `idle_ms`, and no event waits whose
    /// append would show whether the log takes it.
    #[must_use]
    pub fn needs_probe(&self, partition: u16, idle_ms: u64) -> bool {
        let now_ms = mono_ms();
        let is_idle = |of: &PartitionHealth| now_ms.saturating_sub(of.tried_ms) >= idle_ms;
        let partitions = self.partitions.lock();
        let of = partitions.get(usize::from(partition));
        of.is_some_and(|of| of.waiting_since_ms.is_none() && is_idle(of))
    }

    /// Why the log doesn't take this node's writes, if it doesn't: the longest stall of any
    /// partition.
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
        assert!(health.is_refused(), "another partition's append shows nothing");
        assert!(health.refuses(1) && !health.refuses(0) && !health.refuses(2));
        assert!(
            health.needs_probe(1, 0) && !health.needs_probe(1, 3_600_000),
            "it was tried just now"
        );
        health.set_waiting(1, Some(mono_ms()));
        assert!(!health.needs_probe(1, 0), "the append of what waits will show it");
        health.accept(1);
        assert_eq!((health.is_refused(), health.stall()), (false, None));
    }

    #[test]
    fn a_third_of_the_ttl_and_ack_wait_ms_max_are_how_long_an_event_may_wait() {
        let health = WriteHealth::new(2, 9_000);
        health.set_waiting(0, Some(7_000));
        assert_eq!(health.stall_at(7_000 + 3_000), None);
        assert_eq!(health.stall_at(7_000 + 3_001), Some(Stall::Late { ms: 3_001 }));
        health.expect(4_000);
        assert_eq!(health.stall_at(7_000 + 4_000), None, "where an append takes as long");
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
