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
//! # When the log has lost something
//! Its partitions are born again, or have gone back to an earlier state. Every node that still knows everything
//! writes it into the log again, as ordinary events with their old times, so that a node which starts later finds
//! it there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use housecount_core::event::EventRef;
use housecount_core::fold::HandleKey;
use housecount_core::limits::{RECORD_EVENTS_MAX, SILENCE_MS_MAX, STAMP_AHEAD_MS_MAX};
use housecount_core::record::{self, Told};
use housecount_core::time::UnixMs;
use tokio::sync::watch;

use crate::clock::{SharedClock, mono_ms};
use crate::config::Settings;
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::ingest::Acknowledged;
use crate::ledger::Proofs;
use crate::log::{Log, Origin, Position, Tail};
use crate::metrics::Metrics;

/// Between two reads. Two nodes' counts differ by this and two round trips at most: less than the 100 ms within which nodes are
/// to agree.
const POLL: Duration = Duration::from_millis(50);
/// The longest wait after a failed read.
const RETRY_MAX: Duration = Duration::from_millis(500);
/// Shorter breaks are a busy machine's, and matter to nobody: a session is online for three intervals at least.
const ASLEEP_MS_MIN: u64 = 1_000;
/// How long time is held back after an outage, for all nodes to append what they hold: at least this, a tenth of the
/// outage if that is longer, and until this node's own backlog is nearly gone; but no longer than the last.
const SETTLE_MS: u64 = 2_000;
const SETTLE_MS_MAX: u64 = 60_000;

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
    acknowledged: Arc<Acknowledged>,
    /// None where nothing is kept for good.
    proofs: Option<Arc<Proofs>>,
    /// What a partition's handles are made with, as last heard; at first, what this node would have them made with.
    keys: Vec<HandleKey>,
    interval_ms: u64,
    ttl_ms: u64,
    kept_ms: u64,
    places: Vec<Place>,
    /// Partitions that have lost everything, and that this node has not told it again yet.
    untold: BTreeSet<u16>,
    /// The longest that one read of this round took. A log gives up long before an interval: this process was asleep.
    slowest_read_ms: u64,
}

/// What the log's past says about a node that has just read all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// All that matters is in the log.
    Whole,
    /// The log came to be a short while ago, and nobody has told it what was before.
    Lost {
        /// Until when those who still watch have beaten again.
        until: UnixMs,
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
        acknowledged: Arc<Acknowledged>,
        proofs: Option<Arc<Proofs>>,
        settings: &Settings,
    ) -> Follower {
        let places = vec![Place::default(); usize::from(log.partitions())];
        // Never zero: that stands for none.
        let keys = places.iter().map(|_| HandleKey(rand::random::<u64>() | 1)).collect();
        let (interval_ms, ttl_ms, kept_ms) =
            (settings.interval_ms, settings.rules.ttl_ms, settings.log_kept_ms());
        Follower {
            log,
            hub,
            clock,
            metrics,
            acknowledged,
            proofs,
            keys,
            interval_ms,
            ttl_ms,
            kept_ms,
            places,
            untold: BTreeSet::new(),
            slowest_read_ms: 0,
        }
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
        // Asked before reading: whatever was acknowledged until now must be found.
        let acknowledged = self.acknowledged.last(partition);
        loop {
            let place = self.places[usize::from(partition)];
            let sent_ms = mono_ms();
            let tail = self.log.read(partition, place.after, self.keys[usize::from(partition)]).await?;
            self.clock.observe(sent_ms, tail.clock);
            self.slowest_read_ms = self.slowest_read_ms.max(mono_ms().saturating_sub(sent_ms));
            self.keys[usize::from(partition)] = tail.origin.key;
            self.hub.set_key(partition, tail.origin.key);
            if self.has_lost(place, acknowledged, &tail) {
                // Everything in it is read again: its positions may have begun anew.
                self.places[usize::from(partition)] = Place { after: Position::START, origin: tail.origin };
                self.acknowledged.forget(partition);
                self.hub.tell_again_from(tail.clock);
                self.untold.insert(partition);
                return Box::pin(self.read_partition(partition)).await;
            }
            let place = &mut self.places[usize::from(partition)];
            place.origin = tail.origin;
            if let Some(proofs) = &self.proofs {
                proofs.note_committed(partition, tail.origin.committed);
                self.metrics.committed.set(proofs.committed_to().0 as f64 / 1000.0);
            }
            if let Some((last, _)) = tail.records.last() {
                place.after = *last;
            }
            for (position, record) in &tail.records {
                let found = self.acknowledged.find(partition, *position);
                if found.is_lost {
                    // The log went back, and on again before anybody read it.
                    self.hub.tell_again_from(tail.clock);
                    self.untold.insert(partition);
                }
                self.metrics.records_read.inc();
                if !found.is_own {
                    self.fold(partition, *position, record);
                }
            }
            if !tail.more {
                return Ok(tail.clock);
            }
        }
    }

    /// Whether a partition has lost something that this node knows it had: it was born again, or the last record that
    /// was read from it or acknowledged by it is gone, and is far too young to have been trimmed.
    fn has_lost(&self, place: Place, acknowledged: Position, tail: &Tail) -> bool {
        let is_reborn = place.origin.born != UnixMs::ZERO && place.origin.born != tail.origin.born;
        let is_young = |at: UnixMs| tail.clock.since(at) < self.kept_ms / 2;
        let read = place.after;
        let is_read_gone = read != Position::START && is_young(read.at) && !tail.holds_after;
        let end = tail.records.last().map_or(read, |(last, _)| *last);
        let is_acknowledged_gone = !tail.more && acknowledged > end && is_young(acknowledged.at);
        is_reborn || is_read_gone || is_acknowledged_gone
    }

    fn fold(&self, partition: u16, position: Position, record: &Bytes) {
        match record::decode(record) {
            Ok(mut said) => {
                // A stamp from a broken clock must not keep a session online for ever.
                let latest = position.at.plus(STAMP_AHEAD_MS_MAX);
                for said in said.iter_mut().filter(|said| said.at() > latest) {
                    *said = said.moved_to(position.at);
                }
                let late = self.hub.take_in(partition, &said, position.at);
                self.metrics.too_old.inc_by(late.too_old as u64);
                self.metrics.uncredited.inc_by(late.uncredited as u64);
            }
            Err(error) => {
                self.metrics.records_corrupt.inc();
                // Whoever beat in it is counted again within a ttl; until then counts may be low.
                self.hub.doubt_until(position.at.plus(self.ttl_ms));
                tracing::error!(%error, partition, %position, "a log record can't be read; it is passed over");
            }
        }
    }

    /// What the log's past says, once it has been read to its end, at `now`.
    #[must_use]
    pub fn past(&self, now: UnixMs) -> Past {
        let unattended = self.unattended_since().filter(|since| now.since(*since) > self.interval_ms);
        let youngest = self.lost(now).iter().map(|p| self.places[usize::from(*p)].origin.born).max();
        match (youngest, unattended) {
            (Some(_), Some(_)) => Past::Lost { until: now.plus(self.ttl_ms) },
            (Some(born), None) => Past::Lost { until: born.plus(self.ttl_ms) },
            (None, Some(since)) => Past::Unattended { since },
            (None, None) => Past::Whole,
        }
    }

    /// Partitions that came to be a short while ago, and that nobody has told what was before.
    #[must_use]
    pub fn lost(&self, now: UnixMs) -> Vec<u16> {
        let young = |place: &Place| !place.origin.whole && now < place.origin.born.plus(self.ttl_ms);
        (0..).zip(&self.places).filter(|(_, place)| young(place)).map(|(partition, _)| partition).collect()
    }

    /// When a node that knew all last tended the log. Its records say little: a node that has just started may have
    /// appended some, and doesn't know all.
    fn unattended_since(&self) -> Option<UnixMs> {
        let latest =
            |time: fn(&Place) -> UnixMs| self.places.iter().map(time).max().filter(|t| *t != UnixMs::ZERO);
        latest(|place| place.origin.attended).or_else(|| latest(|place| place.after.at))
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
        let mut last: Option<(u64, UnixMs)> = None;
        let mut overslept_ms = 0;
        loop {
            let round_ms = mono_ms();
            self.slowest_read_ms = 0;
            let wait = match self.read_on().await {
                Ok(now) => {
                    if let Some(away_ms) = outage.over() {
                        tracing::info!(away_ms, "the log is back");
                    }
                    self.retell().await;
                    // This process was asleep, or time on the log's clock has jumped: nobody was heard meanwhile.
                    let jumped_ms = last.map_or(0, |(mono, log)| {
                        now.since(log).saturating_sub(round_ms.saturating_sub(mono))
                    });
                    if overslept_ms.max(jumped_ms).max(self.slowest_read_ms)
                        > self.interval_ms.max(ASLEEP_MS_MIN)
                    {
                        self.bridge_from_here(now);
                    }
                    last = Some((round_ms, now));
                    if !outage.is_settling(self.metrics.waiting.get()) {
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
            let before_ms = mono_ms();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            overslept_ms = mono_ms().saturating_sub(before_ms).saturating_sub(wait.as_millis() as u64);
        }
    }

    /// Lets today's counts stand in for one ttl from `now`.
    fn bridge_from_here(&self, now: UnixMs) {
        let roster = self.hub.roster().of;
        let viewers = roster.total.viewers;
        tracing::warn!(viewers, "this node was asleep, or its clock jumped; bridging its counts for one ttl");
        self.hub.open_bridge(roster, now.plus(self.ttl_ms));
    }

    /// Writes what this node knows into partitions that have lost something. Every node does: another one may know
    /// less, and what is written twice says the same thing.
    async fn retell(&mut self) {
        for partition in std::mem::take(&mut self.untold) {
            let knows_all = self.hub.knows_all();
            if !knows_all {
                tracing::warn!(partition, "the log has lost something, and this node doesn't know all of it");
                self.hub.doubt_until(self.clock.now().unwrap_or_default().plus(self.ttl_ms));
            }
            // What it knows is true all the same; only that it is all is not said then.
            match self.checkpoint(partition, knows_all).await {
                Ok(events) => tracing::warn!(partition, events, "the log had lost something; told it again"),
                Err(error) => {
                    tracing::warn!(%error, partition, "the log has lost something; telling it again failed");
                    self.untold.insert(partition);
                }
            }
        }
    }

    async fn checkpoint(&self, partition: u16, is_all: bool) -> StoreResult<usize> {
        // What may still be online, and what the ledger may not have.
        let online = self.hub.now().minus(self.ttl_ms);
        let uncommitted = self.proofs.as_ref().map(|proofs| proofs.committed(partition).minus(self.ttl_ms));
        let from = uncommitted.map_or(online, |uncommitted| uncommitted.min(online));
        let records = self.hub.with_events(partition, from, |events| encode_all(events));
        let count = records.iter().map(|(count, _)| count).sum();
        for (_, record) in records {
            self.log.append(partition, record).await?;
        }
        if is_all {
            let born = self.places[usize::from(partition)].origin.born;
            self.log.mark_whole(partition, born).await?;
        }
        Ok(count)
    }
}

/// Events as full records, with the number of events in each.
fn encode_all<'a>(events: impl Iterator<Item = EventRef<'a>>) -> Vec<(usize, Bytes)> {
    let (mut records, mut batch) = (Vec::new(), Vec::new());
    for event in events {
        batch.push(Told::Event(event));
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
    /// When time may go on: at the earliest, and at the latest.
    settled_ms: (u64, u64),
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
        let now_ms = mono_ms();
        let least_ms = (away_ms / 10).clamp(SETTLE_MS, SETTLE_MS_MAX);
        self.settled_ms = (now_ms + least_ms, now_ms + SETTLE_MS_MAX);
        Some(away_ms)
    }

    fn is_settling(&self, waiting_events: i64) -> bool {
        let (earliest_ms, latest_ms) = self.settled_ms;
        let has_backlog = waiting_events > RECORD_EVENTS_MAX as i64;
        mono_ms() < if has_backlog { latest_ms } else { earliest_ms }
    }
}
