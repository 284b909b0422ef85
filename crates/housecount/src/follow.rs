//! Follow: the log into the hub, on every node, all of it, for ever.
//!
//! Time goes on here and nowhere else: the hub's clock is moved to the log's only after everything appended
//! before has been read. So while the log is away time stands still, and nobody times out because of it.
//!
//! # After an outage
//! Nodes hold what players said meanwhile and append it with its true times, which takes them a moment. Until
//! then time is held back (`SETTLE_MS`) and counts are not called complete. When nobody can have listened to
//! players for more than an interval (all nodes were down, or this one was asleep), the counts from before
//! stand in for one ttl.
//!
//! # When the log has lost everything
//! Its partitions are born again. A node that still knows everything writes it into the new log, as ordinary
//! events with their old times, so that a node which starts later finds it there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use housecount_core::event::{EventRef, partition_of};
use housecount_core::limits::{RECORD_EVENTS_MAX, SILENCE_MS_MAX, STAMP_AHEAD_MS_MAX};
use housecount_core::record;
use housecount_core::time::UnixMs;
use tokio::sync::watch;

use crate::clock::{SharedClock, mono_ms};
use crate::config::Settings;
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::log::{Log, Origin, Position};
use crate::metrics::Metrics;

/// Between two reads. Two nodes' counts differ by this and two round trips at most.
const POLL: Duration = Duration::from_millis(25);
/// The longest wait after a failed read.
const RETRY_MAX: Duration = Duration::from_millis(500);
/// A round takes no longer than this, whatever the log does: after a longer one this process was asleep.
const ASLEEP_MS_MIN: u64 = 10_000;
/// How long time is held back after an outage, for all nodes to append what they hold.
const SETTLE_MS: u64 = 2_000;

/// Where a partition has been read to.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    after: Position,
    origin: Origin,
}

/// See the module's text.
#[derive(Debug)]
pub struct Follower {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    interval_ms: u64,
    ttl_ms: u64,
    places: Vec<Place>,
    /// Partitions that have lost everything, and that this node has not told it again yet.
    untold: BTreeSet<u16>,
}

/// What the log's past says about a node that has just read all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// All that matters is in the log.
    Whole,
    /// The log came to be at this time and nobody has told it what was before.
    Lost {
        /// When.
        born: UnixMs,
    },
    /// Nobody has listened to players since this time.
    Unattended {
        /// Since when.
        since: UnixMs,
    },
}

impl Follower {
    /// A follower that has read nothing.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        hub: Arc<Hub>,
        clock: Arc<SharedClock>,
        metrics: Arc<Metrics>,
        settings: &Settings,
    ) -> Follower {
        let places = vec![Place::default(); usize::from(log.partitions())];
        let (interval_ms, ttl_ms) = (settings.interval_ms, settings.rules.ttl_ms);
        Follower { log, hub, clock, metrics, interval_ms, ttl_ms, places, untold: BTreeSet::new() }
    }

    /// Reads every partition to its end. The time up to which everything has been read.
    ///
    /// # Errors
    /// The first failure; the other partitions have been read all the same.
    pub async fn read_on(&mut self) -> StoreResult<UnixMs> {
        let (mut clock, mut failure) = (UnixMs::MAX, None);
        for partition in 0..self.log.partitions() {
            match self.read_partition(partition).await {
                Ok(at) => clock = clock.min(at),
                Err(error) => {
                    self.metrics.read_failures.inc();
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(clock),
        }
    }

    async fn read_partition(&mut self, partition: u16) -> StoreResult<UnixMs> {
        loop {
            let place = &mut self.places[usize::from(partition)];
            let sent_ms = mono_ms();
            let tail = self.log.read(partition, place.after).await?;
            self.clock.observe(sent_ms, tail.clock);
            if place.origin.born != UnixMs::ZERO && place.origin.born != tail.origin.born {
                self.untold.insert(partition);
            }
            place.origin = tail.origin;
            if let Some((last, _)) = tail.records.last() {
                place.after = *last;
            }
            for (position, record) in &tail.records {
                self.fold(partition, *position, record);
            }
            if !tail.more {
                return Ok(tail.clock);
            }
        }
    }

    fn fold(&self, partition: u16, position: Position, record: &Bytes) {
        self.metrics.records_read.inc();
        match record::decode(record) {
            Ok(events) => {
                // A stamp from a broken clock must not keep a session online for ever.
                let latest = position.at.plus(STAMP_AHEAD_MS_MAX);
                let sane = |event: EventRef<'_>| if event.at > latest { position.at } else { event.at };
                let events = events.into_iter().map(|event| EventRef { at: sane(event), ..event });
                self.hub.apply(events, position.at);
            }
            Err(error) => {
                self.metrics.records_corrupt.inc();
                tracing::error!(%error, partition, %position, "a log record can't be read; it is passed over");
            }
        }
    }

    /// What the log's past says, once it has been read to its end, at `now`.
    #[must_use]
    pub fn past(&self, now: UnixMs) -> Past {
        let young = |place: &&Place| !place.origin.whole && now < place.origin.born.plus(self.ttl_ms);
        if let Some(place) = self.places.iter().filter(young).max_by_key(|place| place.origin.born) {
            return Past::Lost { born: place.origin.born };
        }
        let signs = self.places.iter().flat_map(|place| [place.after.at, place.origin.attended]);
        match signs.max() {
            Some(since) if since != UnixMs::ZERO && now.since(since) > self.interval_ms => {
                Past::Unattended { since }
            }
            _ => Past::Whole,
        }
    }

    /// Tells every partition that it holds all that matters.
    ///
    /// # Errors
    /// The log's.
    pub async fn mark_whole(&self) -> StoreResult<()> {
        for (partition, place) in (0..).zip(&self.places) {
            self.log.mark_whole(partition, place.origin.born).await?;
        }
        Ok(())
    }

    /// Follows until `stop`.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let mut outage = Outage::default();
        let mut last_ms = mono_ms();
        loop {
            let asleep_ms = mono_ms().saturating_sub(last_ms);
            last_ms = mono_ms();
            let wait = match self.read_on().await {
                Ok(now) => {
                    if let Some(away_ms) = outage.over() {
                        tracing::info!(away_ms, "the log is back");
                    }
                    if asleep_ms > self.interval_ms.max(ASLEEP_MS_MIN) {
                        self.bridge_from_here(now);
                    }
                    self.retell().await;
                    if !outage.is_settling() {
                        self.hub.advance(now);
                    }
                    POLL
                }
                Err(error) => {
                    if outage.begins() {
                        tracing::warn!(%error, "the log can't be read; counts stand still until it can");
                    }
                    RETRY_MAX.min(POLL * 4)
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Lets today's counts stand in for one ttl from `now`: nobody has listened for a while.
    fn bridge_from_here(&self, now: UnixMs) {
        let roster = self.hub.roster().of;
        tracing::warn!(
            viewers = roster.total.viewers,
            "this node was asleep; bridging its counts for one ttl"
        );
        self.hub.open_bridge(roster, now.plus(self.ttl_ms));
    }

    /// Writes what this node knows into partitions that have lost everything, unless another node has.
    async fn retell(&mut self) {
        for partition in std::mem::take(&mut self.untold) {
            if self.places[usize::from(partition)].origin.whole {
                continue;
            }
            if !self.hub.knows_all() {
                tracing::warn!(
                    partition,
                    "the log has lost everything, and this node doesn't know all of it"
                );
                continue;
            }
            match self.checkpoint(partition).await {
                Ok(events) => tracing::warn!(partition, events, "the log had lost everything; told it again"),
                Err(error) => {
                    tracing::warn!(%error, partition, "the log has lost everything; telling it again failed");
                    self.untold.insert(partition);
                }
            }
        }
    }

    async fn checkpoint(&self, partition: u16) -> StoreResult<usize> {
        let records = self.hub.with_events(|events| {
            let mine = |event: &EventRef<'_>| partition_of(event.viewer, self.log.partitions()) == partition;
            encode_all(events.filter(mine))
        });
        let count = records.iter().map(|(count, _)| count).sum();
        for (_, record) in records {
            self.log.append(partition, record).await?;
        }
        let born = self.places[usize::from(partition)].origin.born;
        self.log.mark_whole(partition, born).await?;
        Ok(count)
    }
}

/// Events as full records, with the number of events in each.
fn encode_all<'a>(events: impl Iterator<Item = EventRef<'a>>) -> Vec<(usize, Bytes)> {
    let (mut records, mut batch) = (Vec::new(), Vec::new());
    for event in events {
        batch.push(event);
        if batch.len() == RECORD_EVENTS_MAX {
            records.push((batch.len(), Bytes::from(record::encode(&batch))));
            batch.clear();
        }
    }
    if !batch.is_empty() {
        records.push((batch.len(), Bytes::from(record::encode(&batch))));
    }
    records
}

/// Whether the log can be read, and how long time is held back once it can again.
#[derive(Debug, Default)]
struct Outage {
    since_ms: Option<u64>,
    settled_ms: u64,
}

impl Outage {
    /// A read has failed. True for the first one.
    fn begins(&mut self) -> bool {
        let is_first = self.since_ms.is_none();
        self.since_ms.get_or_insert_with(mono_ms);
        is_first
    }

    /// A read has worked. How long none had, if that was long enough for players to have been turned away.
    fn over(&mut self) -> Option<u64> {
        let away_ms = mono_ms().saturating_sub(self.since_ms.take()?);
        if away_ms < SILENCE_MS_MAX {
            return None;
        }
        self.settled_ms = mono_ms() + SETTLE_MS;
        Some(away_ms)
    }

    fn is_settling(&self) -> bool {
        mono_ms() < self.settled_ms
    }
}
