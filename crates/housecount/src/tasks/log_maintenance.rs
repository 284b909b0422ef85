//! Tends the log: trims records that no node needs, and notes that a node is there to listen.
//!
//! This is also how a node without players learns within 5 s that the log refuses appends, and when
//! it takes them again ([`WriteHealth`](crate::health::WriteHealth)): where nothing was appended
//! just before, a tick appends a record without events. A node that isn't ready is sent no players
//! whose beats would show it. On a DynamoDB log that is a write unit per tick and such a node,
//! $0.54 a month by default ($0.625 a million, us-east-1, 2026-10).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::Rules;
use housecount_core::limits::{TEND_EVERY_MS_MAX, UNCOMMITTED_RETENTION_MS_MAX};
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::record;
use housecount_core::time::UnixMs;

use super::{PeriodicTask, Progress};
use crate::archive::ArchiveProgress;
use crate::blocking::run_blocking;
use crate::clock::SharedClock;
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::ledger::Proofs;
use crate::log::Log;

/// The wait between two probes of a log that refuses writes.
const PROBE_EVERY_MS: u64 = 500;

/// The task that tends the log.
#[derive(Debug)]
pub struct LogMaintenance {
    /// The log to tend.
    pub log: Arc<dyn Log>,
    /// Its clock.
    pub clock: Arc<SharedClock>,
    /// Who is online.
    pub hub: Arc<Hub>,
    /// What the ledger doesn't have yet is kept; none where nothing is kept for good.
    pub proofs: Option<Arc<Proofs>>,
    /// How far the archive is; none where there is none.
    pub archived: Option<Arc<ArchiveProgress>>,
    /// The latest window after which this node has forgotten.
    pub pruned_at: Option<UnixMs>,
    /// How much of it is kept in any case.
    pub kept_ms: u64,
    /// The setting: what the ledger needs reaches this far back.
    pub rules: Rules,
    /// The setting: the note is compared with it, so it must be made several times as often.
    pub interval_ms: u64,
}

impl LogMaintenance {
    fn every_ms(&self) -> u64 {
        (self.interval_ms / 6).clamp(50, TEND_EVERY_MS_MAX)
    }

    /// Proof that is written and can't change any more goes, once after each window, on a thread of
    /// its own.
    async fn forget(&mut self) {
        let Some(proofs) = self.proofs.clone() else { return };
        let committed = (0..proofs.partitions()).map(|partition| proofs.committed(partition)).max();
        if committed == std::mem::replace(&mut self.pruned_at, committed) {
            return;
        }
        let forgets =
            move || (0..proofs.partitions()).for_each(|partition| proofs.prune(partition));
        // It comes again with the next window if the thread can't be had.
        let _ = run_blocking(forgets).await;
    }

    /// What may go: only what the ledger has, and what has waited for it for too long.
    fn before(&self, partition: u16, now: UnixMs) -> UnixMs {
        let unneeded = now.minus(self.kept_ms);
        if is_on(Mutant::TrimEarly) {
            return unneeded;
        }
        let Some(proofs) = &self.proofs else { return unneeded };
        let written =
            proofs.committed(partition).minus(2 * self.rules.ttl_ms + self.rules.handle_valid_ms());
        // Its writer may be a node that has just started, which has to find the ids in the log,
        // too.
        let archived = |archived: &Arc<ArchiveProgress>| {
            archived.to(partition).minus(self.rules.handle_valid_ms())
        };
        let archived = self.archived.as_ref().map_or(UnixMs::MAX, archived);
        unneeded
            .min(written)
            .min(archived)
            .max(now.minus(UNCOMMITTED_RETENTION_MS_MAX.max(self.kept_ms)))
    }

    /// The same, by the positions of records: stamps may be ahead of them.
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
        // Trimming is harmless. The note says that nothing is missing: not while this node misses
        // something, nor while some of the log is away, nor before all nodes have appended what
        // they held meanwhile.
        let is_attended = self.hub.is_complete() && !self.hub.is_stalled();
        let attended = if is_attended { now } else { UnixMs::ZERO };
        self.forget().await;
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.log.partitions() {
            // One that fails must not keep the others from being trimmed.
            if let Err(error) =
                self.log.maintain(partition, self.position_before(partition, now), attended).await
            {
                outcome = Err(error);
            }
            let idle_ms = if self.hub.writes().is_refused() { 0 } else { self.every_ms() / 6 };
            if self.hub.writes().needs_probe(partition, idle_ms) {
                let probe = self.log.append(partition, Bytes::from(record::encode(&[]))).await;
                outcome = outcome.and(probe.map(|_| Progress::Done));
            }
        }
        outcome
    }
}
