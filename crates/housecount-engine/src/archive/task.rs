//! Writes the archive: one node per partition writes the log's records, and the others watch its
//! progress.
//!
//! A lease decides which node writes, and is renewed while that node lives. A change of the writer
//! is expensive, because a new writer begins with a keyframe, which is most of an archive's cost.
//! If two nodes write all the same, the second one notices, and reads again how far the archive is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_archive::ArchiveParams;
use housecount_backend::cold::lease::{self, LeaseState};
use housecount_backend::cold::{Cold, Condition, KeyedItem};
use housecount_backend::error::StoreResult;
use housecount_backend::log::Log;
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_core::item::Item;
use housecount_core::keys::{Chain, Key, Series};
use housecount_core::time::UnixMs;
use housecount_metrics::Metrics;

use crate::archive::items::{self, ItemArchiveWriter};
use crate::archive::log_cursor::LogCursor;
use crate::archive::packed::{self, PackedArchiveWriter};
use crate::archive::{ArchiveFormat, ArchiveProgress, ArchiveSettings, WriteProgress};
use crate::hub::Hub;

/// Longest duration of the lease. It is renewed after half of it.
const LEASE_MS_MAX: u64 = 5 * 60 * 1000;
/// Number of checks per flush whether a flush is due.
const TICKS_A_FLUSH: u64 = 30;

/// Task that writes the archive of the partitions whose leases this node holds.
#[derive(Debug)]
pub struct ArchiveTask {
    log: Arc<dyn Log>,
    cold: Arc<dyn Cold>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    archived: Arc<ArchiveProgress>,
    node: String,
    kept: ArchiveSettings,
    params: ArchiveParams,
    lease_ms: u64,
    lanes: Vec<PartitionArchive>,
}

/// Archive of a partition, as this node sees it.
#[derive(Debug)]
struct PartitionArchive {
    chain: Chain,
    /// Ends of this node's lease, and of another node's.
    held_until: UnixMs,
    others_until: UnixMs,
    keeper: Option<ArchiveWriter>,
    watched: UnixMs,
}

/// This node's writer of a partition.
#[derive(Debug)]
struct ArchiveWriter {
    feed: LogCursor,
    writer: FormatWriter,
}

#[derive(Debug)]
enum FormatWriter {
    Packed(Box<PackedArchiveWriter>),
    Items(ItemArchiveWriter),
}

impl ArchiveTask {
    /// Creates the task.
    #[must_use]
    #[allow(clippy::too_many_arguments)] // the stores and services that it shares
    pub fn new(
        log: Arc<dyn Log>,
        cold: Arc<dyn Cold>,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        archived: Arc<ArchiveProgress>,
        node: String,
        kept: ArchiveSettings,
        params: ArchiveParams,
    ) -> ArchiveTask {
        let lane = |chain| PartitionArchive {
            chain,
            held_until: UnixMs::ZERO,
            others_until: UnixMs::ZERO,
            keeper: None,
            watched: UnixMs::ZERO,
        };
        let lanes = Series::Archive.chains(log.partitions()).map(lane).collect();
        let lease_ms = LEASE_MS_MAX.min(10 * kept.flush_ms);
        ArchiveTask { log, cold, hub, metrics, archived, node, kept, params, lease_ms, lanes }
    }

    fn lease_name(chain: Chain) -> String {
        format!("archive-{}-{}", chain.partitions, chain.partition)
    }

    /// Writes the records of a partition that are due, if this node holds its lease.
    async fn step(&mut self, partition: usize, now: UnixMs, is_last: bool) -> StoreResult<()> {
        if !self.hold_lease(partition, now, is_last).await? {
            return self.watch(partition, now).await;
        }
        let mut keeper = match self.lanes[partition].keeper.take() {
            Some(keeper) => keeper,
            None => self.open(partition, now).await?,
        };
        let cold = &*self.cold;
        if is_last {
            keeper.feed.end();
        }
        let reached = match &mut keeper.writer {
            FormatWriter::Packed(packed) => packed.write_due(cold, &mut keeper.feed, now).await,
            FormatWriter::Items(items) => {
                items.write_due(cold, &mut keeper.feed, now, is_last).await
            }
        };
        match reached {
            Ok(WriteProgress::Overtaken) => {
                tracing::warn!(
                    partition,
                    "another node also writes the archive; restarting this writer"
                );
                self.lanes[partition].held_until = UnixMs::ZERO;
                return Ok(());
            }
            Ok(WriteProgress::To(to)) => self.note(partition, to),
            Err(_) => {}
        }
        self.lanes[partition].keeper = Some(keeper);
        reached.map(drop)
    }

    fn note(&self, partition: usize, to: UnixMs) {
        self.archived.note(partition as u16, to);
        self.metrics.archived.set(self.archived.complete_to().0 as f64 / 1_000.0);
    }

    async fn hold_lease(
        &mut self,
        partition: usize,
        now: UnixMs,
        is_last: bool,
    ) -> StoreResult<bool> {
        let lane = &mut self.lanes[partition];
        if now.plus(self.lease_ms / 2) < lane.held_until || is_last && now < lane.held_until {
            return Ok(true);
        }
        if now < lane.others_until || is_last {
            return Ok(false);
        }
        let name = Self::lease_name(lane.chain);
        let taken =
            lease::renew(&*self.cold, &name, &self.node, lane.held_until, now, self.lease_ms)
                .await?;
        match taken {
            LeaseState::Until(until) => lane.held_until = until,
            LeaseState::HeldByOther(until) => {
                (lane.held_until, lane.others_until) = (UnixMs::ZERO, until);
                lane.keeper = None;
            }
        }
        Ok(matches!(taken, LeaseState::Until(_)))
    }

    /// Reads how far the archive is, and registers the archive so that readers find it.
    async fn open(&self, partition: usize, now: UnixMs) -> StoreResult<ArchiveWriter> {
        let (chain, cold) = (self.lanes[partition].chain, &*self.cold);
        let key = Key::Series { series: Series::Archive, partitions: chain.partitions };
        cold.put_if(KeyedItem { key, item: Item::new() }, Condition::Absent).await?;
        let metrics = self.metrics.clone();
        let (read, writer) = match self.kept.form {
            ArchiveFormat::Packed => {
                let end = packed::archived_to(cold, chain, self.params.slot_ms).await?;
                let packed =
                    PackedArchiveWriter::new(chain, self.params, self.kept.retention_ms, metrics);
                (PackedArchiveWriter::position(end), FormatWriter::Packed(Box::new(packed)))
            }
            ArchiveFormat::Items => {
                let noted = items::archived_to(cold, chain).await?;
                (
                    noted,
                    FormatWriter::Items(ItemArchiveWriter::new(
                        chain, self.kept, metrics, noted, now,
                    )),
                )
            }
        };
        let feed = LogCursor::new(
            self.log.clone(),
            self.hub.clone(),
            self.metrics.clone(),
            chain.partition,
            read,
        );
        Ok(ArchiveWriter { feed, writer })
    }

    /// Reads from time to time how far another node is. Records that it hasn't written must stay in
    /// the log.
    async fn watch(&mut self, partition: usize, now: UnixMs) -> StoreResult<()> {
        let lane = &mut self.lanes[partition];
        if now.since(lane.watched) < 2 * self.kept.flush_ms {
            return Ok(());
        }
        lane.watched = now;
        let chain = lane.chain;
        let end = match self.kept.form {
            ArchiveFormat::Packed => {
                packed::archived_to(&*self.cold, chain, self.params.slot_ms).await?
            }
            ArchiveFormat::Items => items::archived_to(&*self.cold, chain).await?.at,
        };
        self.note(partition, end);
        Ok(())
    }

    async fn step_all(&mut self, is_last: bool) -> StoreResult<Progress> {
        // An incomplete node may lack ids that the records need.
        if !self.hub.is_complete() {
            return Ok(Progress::Done);
        }
        let now = self.hub.now();
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.lanes.len() {
            // A partition that fails must not keep the others from being written.
            if let Err(error) = self.step(partition, now, is_last).await {
                self.metrics.archive_failures.inc();
                outcome = Err(error);
            }
        }
        outcome
    }
}

#[async_trait]
impl PeriodicTask for ArchiveTask {
    const NAME: &'static str = "archive";

    fn period(&self) -> Duration {
        Duration::from_millis((self.kept.flush_ms / TICKS_A_FLUSH).clamp(20, 1_000))
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        self.step_all(false).await
    }

    async fn on_shutdown(&mut self) -> StoreResult<()> {
        self.step_all(true).await?;
        let now = self.hub.now();
        for lane in &mut self.lanes {
            if now < std::mem::take(&mut lane.held_until) {
                // The lease is released, so that the next node need not wait.
                lease::release(&*self.cold, &Self::lease_name(lane.chain), &self.node, now).await?;
            }
        }
        Ok(())
    }
}
