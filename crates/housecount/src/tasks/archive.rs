//! Keeps the archive: one node a partition writes what the log took; the others watch how far it
//! is.
//!
//! A lease says which node, and is renewed while the node lives: another writer would begin with a
//! keyframe, which is most of an archive's cost. If two write all the same, the one that comes
//! second notices, and finds out anew how far the archive is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_core::archive::ArchiveParams;
use housecount_core::item::Item;
use housecount_core::keys::{Chain, Key, Series};
use housecount_core::time::UnixMs;

use super::lease::{self, Taken};
use super::{Progress, Tick};
use crate::archive::feed::Feed;
use crate::archive::items::{self, Items};
use crate::archive::packed::{self, Packed};
use crate::archive::{Archived, Form, Kept, Reached};
use crate::cold::{Cold, Condition, Record};
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::log::Log;
use crate::metrics::Metrics;

/// How long the lease is taken for, at most. Renewed after half of it.
const LEASE_MS_MAX: u64 = 5 * 60 * 1000;
/// Looks a flush at whether one is due.
const TICKS_A_FLUSH: u64 = 30;

/// Task that writes the archive of the partitions whose leases this node holds.
#[derive(Debug)]
pub struct Archive {
    log: Arc<dyn Log>,
    cold: Arc<dyn Cold>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    archived: Arc<Archived>,
    node: String,
    kept: Kept,
    terms: ArchiveParams,
    lease_ms: u64,
    lanes: Vec<Lane>,
}

/// A partition's archive, as this node sees it.
#[derive(Debug)]
struct Lane {
    chain: Chain,
    /// Until when this node has the lease, or another one.
    held_until: UnixMs,
    others_until: UnixMs,
    keeper: Option<Keeper>,
    watched: UnixMs,
}

/// This node's writer of a partition.
#[derive(Debug)]
struct Keeper {
    feed: Feed,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Packed(Box<Packed>),
    Items(Items),
}

impl Archive {
    /// The task.
    #[must_use]
    #[allow(clippy::too_many_arguments)] // what it shares, once
    pub fn new(
        log: Arc<dyn Log>,
        cold: Arc<dyn Cold>,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        archived: Arc<Archived>,
        node: String,
        kept: Kept,
        settings: &crate::config::Settings,
    ) -> Archive {
        let lane = |chain| Lane {
            chain,
            held_until: UnixMs::ZERO,
            others_until: UnixMs::ZERO,
            keeper: None,
            watched: UnixMs::ZERO,
        };
        let lanes = Series::Archive.chains(log.partitions()).map(lane).collect();
        let terms = ArchiveParams {
            interval_ms: settings.interval_ms,
            slot_ms: kept.flush_ms,
            ttl_ms: settings.rules.ttl_ms,
        };
        let lease_ms = LEASE_MS_MAX.min(10 * kept.flush_ms);
        Archive { log, cold, hub, metrics, archived, node, kept, terms, lease_ms, lanes }
    }

    fn lease_name(chain: Chain) -> String {
        format!("archive-{}-{}", chain.partitions, chain.partition)
    }

    /// Writes what is due of a partition, if that is this node's business.
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
            Writer::Packed(packed) => packed.go_on(cold, &mut keeper.feed, now).await,
            Writer::Items(items) => items.go_on(cold, &mut keeper.feed, now, is_last).await,
        };
        match reached {
            Ok(Reached::Overtaken) => {
                tracing::warn!(
                    partition,
                    "another node writes the archive as well; this one begins anew"
                );
                self.lanes[partition].held_until = UnixMs::ZERO;
                return Ok(());
            }
            Ok(Reached::To(to)) => self.note(partition, to),
            Err(_) => {}
        }
        self.lanes[partition].keeper = Some(keeper);
        reached.map(drop)
    }

    fn note(&self, partition: usize, to: UnixMs) {
        self.archived.note(partition as u16, to);
        self.metrics.archived.set(self.archived.to_all().0 as f64 / 1_000.0);
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
            Taken::Until(until) => lane.held_until = until,
            Taken::Elsewhere(until) => {
                (lane.held_until, lane.others_until) = (UnixMs::ZERO, until);
                lane.keeper = None;
            }
        }
        Ok(matches!(taken, Taken::Until(_)))
    }

    /// Finds out how far the archive is, and makes it known to readers.
    async fn open(&self, partition: usize, now: UnixMs) -> StoreResult<Keeper> {
        let (chain, cold) = (self.lanes[partition].chain, &*self.cold);
        let key = Key::Series { series: Series::Archive, partitions: chain.partitions };
        cold.put_if(Record { key, item: Item::new() }, Condition::Absent).await?;
        let metrics = self.metrics.clone();
        let (read, writer) = match self.kept.form {
            Form::Packed => {
                let end = packed::end(cold, chain, self.terms.slot_ms).await?;
                let packed = Packed::new(chain, self.terms, self.kept.retention_ms, metrics);
                (Packed::position(end), Writer::Packed(Box::new(packed)))
            }
            Form::Items => {
                let noted = items::end(cold, chain).await?;
                (noted, Writer::Items(Items::new(chain, self.kept, metrics, noted, now)))
            }
        };
        let feed = Feed::new(
            self.log.clone(),
            self.hub.clone(),
            self.metrics.clone(),
            chain.partition,
            read,
        );
        Ok(Keeper { feed, writer })
    }

    /// Looks how far another node is, now and then: what it hasn't written must stay in the log.
    async fn watch(&mut self, partition: usize, now: UnixMs) -> StoreResult<()> {
        let lane = &mut self.lanes[partition];
        if now.since(lane.watched) < 2 * self.kept.flush_ms {
            return Ok(());
        }
        lane.watched = now;
        let chain = lane.chain;
        let end = match self.kept.form {
            Form::Packed => packed::end(&*self.cold, chain, self.terms.slot_ms).await?,
            Form::Items => items::end(&*self.cold, chain).await?.at,
        };
        self.note(partition, end);
        Ok(())
    }

    async fn step_all(&mut self, is_last: bool) -> StoreResult<Progress> {
        // What isn't known yet has no names either.
        if !self.hub.knows_all() {
            return Ok(Progress::Done);
        }
        let now = self.hub.now();
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.lanes.len() {
            // One that fails must not keep the others from being written.
            if let Err(error) = self.step(partition, now, is_last).await {
                self.metrics.archive_failures.inc();
                outcome = Err(error);
            }
        }
        outcome
    }
}

#[async_trait]
impl Tick for Archive {
    const NAME: &'static str = "archive";

    fn period(&self) -> Duration {
        Duration::from_millis((self.kept.flush_ms / TICKS_A_FLUSH).clamp(20, 1_000))
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        self.step_all(false).await
    }

    async fn last(&mut self) -> StoreResult<()> {
        self.step_all(true).await?;
        let now = self.hub.now();
        for lane in &mut self.lanes {
            if now < std::mem::take(&mut lane.held_until) {
                // So that the next one need not wait.
                lease::give_back(&*self.cold, &Self::lease_name(lane.chain), &self.node, now)
                    .await?;
            }
        }
        Ok(())
    }
}
