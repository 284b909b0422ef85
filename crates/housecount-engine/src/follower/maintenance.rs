//! Maintains the log: trims records that no node needs, and records that a node is tending it.
//!
//! A node without players also learns here, within 5 s, that the log refuses writes, and when it
//! accepts them again ([`WriteHealth`](crate::log::health::WriteHealth)). If nothing was appended
//! just before, a tick appends a record without events. The probe is needed because a node that
//! isn't ready gets no players whose beats would show it. Where maintenance itself writes, it shows
//! most refusals, and probes are an interval apart. On a DynamoDB log it costs one write unit
//! per tick and such a node. That is $0.54 a month by default ($0.625 a million, us-east-1,
//! 2026-10).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::clock::SharedClock;
use housecount_backend::error::StoreResult;
use housecount_backend::log::Log;
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_backend::threads::blocking::run_blocking;
use housecount_core::fold::Rules;
use housecount_core::limits::{TEND_EVERY_MS_MAX, UNCOMMITTED_RETENTION_MS_MAX};
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::record;
use housecount_core::time::UnixMs;

use crate::archive::ArchiveProgress;
use crate::hub::Hub;
use crate::ledger::Proofs;

/// Interval between two probes of a log that refuses writes.
const PROBE_EVERY_MS: u64 = 500;

/// Task that maintains the log.
#[derive(Debug)]
pub struct LogMaintenance {
    /// The log to maintain.
    pub log: Arc<dyn Log>,
    /// Clock of the log.
    pub clock: Arc<SharedClock>,
    /// Source of counts, which knows whether this node is complete.
    pub hub: Arc<Hub>,
    /// Proof; `None` where nothing is kept for good. Records that the ledger doesn't have yet are
    /// kept.
    pub proofs: Option<Arc<Proofs>>,
    /// Progress of the archive; `None` without an archive.
    pub archived: Option<Arc<ArchiveProgress>>,
    /// Latest commit after which this node has pruned its proof.
    pub pruned_at: Option<UnixMs>,
    /// Time for which records are kept in any case.
    pub kept_ms: u64,
    /// Settings of presence. They bound how far back the ledger needs records.
    pub rules: Rules,
    /// Setting of the heartbeat interval. The time of the last tending is compared with it, so it
    /// must be recorded several times as often.
    pub interval_ms: u64,
}

impl LogMaintenance {
    fn every_ms(&self) -> u64 {
        (self.interval_ms / 6).clamp(50, TEND_EVERY_MS_MAX)
    }

    /// Prunes proof that is written and can't change any more, once after each window. A thread of
    /// its own does it.
    async fn forget(&mut self) {
        let Some(proofs) = self.proofs.clone() else { return };
        let committed = (0..proofs.partitions()).map(|partition| proofs.committed(partition)).max();
        if committed == std::mem::replace(&mut self.pruned_at, committed) {
            return;
        }
        let forgets =
            move || (0..proofs.partitions()).for_each(|partition| proofs.prune(partition));
        // If no thread is available, the next window prunes it.
        let _ = run_blocking(forgets).await;
    }

    /// Returns the time before which records may be trimmed. The ledger must have them, or they
    /// have waited for it for too long.
    fn before(&self, partition: u16, now: UnixMs) -> UnixMs {
        let unneeded = now.minus(self.kept_ms);
        if is_on(Mutant::TrimEarly) {
            return unneeded;
        }
        let Some(proofs) = &self.proofs else { return unneeded };
        let written =
            proofs.committed(partition).minus(2 * self.rules.ttl_ms + self.rules.handle_valid_ms());
        // The archive's next writer may be a node that has just started, and must find the ids in
        // the log, too.
        let archived = |archived: &Arc<ArchiveProgress>| {
            archived.to(partition).minus(self.rules.handle_valid_ms())
        };
        let archived = self.archived.as_ref().map_or(UnixMs::MAX, archived);
        unneeded
            .min(written)
            .min(archived)
            .max(now.minus(UNCOMMITTED_RETENTION_MS_MAX.max(self.kept_ms)))
    }

    /// Returns the time without appends after which a partition needs a probe.
    ///
    /// Where `maintain` writes too, only a refusal of appends alone is left to detect, such as a
    /// revoked permission. For that an interval is enough: a viewer times out two intervals after
    /// its first refused beat at the earliest. Each probe wakes all idle nodes.
    fn probe_after_ms(&self, is_maintenance_refused: bool) -> u64 {
        if is_maintenance_refused || self.hub.writes().is_refused() {
            0
        } else if self.log.maintain_writes() {
            self.interval_ms
        } else {
            self.every_ms() / 6
        }
    }

    /// Converts that time to positions of records, since stamps may be ahead of them.
    fn position_before(&self, partition: u16, now: UnixMs) -> UnixMs {
        self.before(partition, now).minus(self.clock.ahead_ms())
    }
}

#[async_trait]
impl PeriodicTask for LogMaintenance {
    const NAME: &'static str = "tend";

    fn period(&self) -> Duration {
        let every_ms = self.every_ms();
        let is_refused = self.hub.writes().is_refused();
        Duration::from_millis(if is_refused { every_ms.min(PROBE_EVERY_MS) } else { every_ms })
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        let Some(now) = self.clock.now() else { return Ok(Progress::Done) };
        // Trimming is always harmless. The time of tending claims that nothing is missing. So it is
        // not recorded while this node lacks events, or while a part of the log is unavailable. Nor
        // is it recorded before all nodes have appended what they held meanwhile.
        let is_attended = self.hub.is_complete() && !self.hub.is_stalled();
        let attended = if is_attended { now } else { UnixMs::ZERO };
        self.forget().await;
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.log.partitions() {
            // A partition that fails must not keep the others from being trimmed.
            let maintained =
                self.log.maintain(partition, self.position_before(partition, now), attended).await;
            let idle_ms = self.probe_after_ms(maintained.is_err());
            outcome = maintained.map(|()| Progress::Done).and(outcome);
            if self.hub.writes().needs_probe(partition, idle_ms) {
                let probe = self.log.append(partition, Bytes::from(record::encode(&[]))).await;
                outcome = outcome.and(probe.map(|_| Progress::Done));
            }
        }
        outcome
    }
}
