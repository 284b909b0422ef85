//! Follow: the log into the hub, on every node, all of it, for ever.
//!
//! Time advances here and nowhere else: the hub's clock is moved to the log's only after everything
//! appended before has been read, and only while the log takes what this node writes
//! ([`WriteHealth`](crate::health::WriteHealth)). So while the log is unavailable, to read or to
//! write, time stands still and no viewer times out because of it.
//!
//! # After an outage
//! Nodes hold what players said meanwhile and append it with its true times, which takes them a
//! moment. Until then time is held back (`SETTLE_MS`) and counts are not called complete. When
//! nobody can have listened to players for more than an interval (all nodes were down, or this one
//! was asleep), the counts from before stand in for one ttl.
//!
//! # When the log has lost something
//! Its partitions are born again, or have gone back to an earlier state. Every node that still
//! knows everything writes it into the log again, as ordinary events with their old times, so that
//! a node which starts later finds it there.

mod outage;
mod rebuild;
mod unreadable;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::limits::CLOCK_AHEAD_MS_MAX;
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;
use tokio::sync::watch;

use self::outage::ReadOutage;
use self::unreadable::UnreadableLines;
use crate::clock::{SharedClock, mono_ms};
use crate::config::Settings;
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::hub::Hub;
use crate::ingest::OwnAppends;
use crate::ledger::Proofs;
use crate::log::{Log, PartitionMeta, Position, ReadResult};
use crate::metrics::Metrics;
use crate::progress::ReadProgress;
use crate::rng;

/// The wait after a failed read.
const RETRY: Duration = Duration::from_millis(200);
/// How long time stands still when the log has lost something: by then other nodes have noticed,
/// and rewritten what only they had read. Shorter than what makes counts incomplete, and many times
/// what a node takes to notice.
const REWRITTEN_MS: u64 = 1_000;
/// Shorter breaks are a busy machine's, and matter to nobody: a session is online for three
/// intervals at least.
const PAUSE_MS_MIN: u64 = 1_000;

/// Where a partition has been read to.
#[derive(Clone, Copy, Debug, Default)]
struct PartitionCursor {
    after: Position,
    origin: PartitionMeta,
}

/// Task that reads the log into the hub and advances the hub's time.
#[derive(Debug)]
pub struct Follower {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    acknowledged: Arc<OwnAppends>,
    /// None where nothing is kept for good.
    proofs: Option<Arc<Proofs>>,
    /// What a partition's handles are made with, as last heard; at first, what this node would have
    /// them made with.
    keys: Vec<HandleKey>,
    poll: Duration,
    interval_ms: u64,
    ttl_ms: u64,
    kept_ms: u64,
    places: Vec<PartitionCursor>,
    /// Partitions that have lost everything, and that this node has not told it again yet.
    partitions_to_rebuild: BTreeSet<u16>,
    /// When a loss was last found, on `mono_ms`.
    lost_ms: Option<u64>,
    /// How often the log had gone over to another server when it was last read.
    moves: u64,
    unreadable: UnreadableLines,
    /// Partitions that this node has told all it knew, and that are whole once all have appended
    /// what they held meanwhile.
    rebuilt_unmarked: BTreeSet<u16>,
    /// How much of the log is read, until this node has started.
    progress: Arc<ReadProgress>,
    /// The longest that one read of this round took. A log gives up long before an interval: this
    /// process was asleep.
    slowest_read_ms: u64,
}

/// What the log's past says about a node that has just read all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogContinuity {
    /// All that matters is in the log.
    Complete,
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
        acknowledged: Arc<OwnAppends>,
        proofs: Option<Arc<Proofs>>,
        settings: &Settings,
    ) -> Follower {
        let places = vec![PartitionCursor::default(); usize::from(log.partitions())];
        // Never zero: that stands for none.
        let keys = places.iter().map(|_| HandleKey(rng::random::<u64>() | 1)).collect();
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
            poll: Duration::from_millis(settings.poll_ms),
            interval_ms,
            ttl_ms,
            kept_ms,
            places,
            partitions_to_rebuild: BTreeSet::new(),
            lost_ms: None,
            moves: 0,
            unreadable: UnreadableLines::default(),
            rebuilt_unmarked: BTreeSet::new(),
            progress: Arc::default(),
            slowest_read_ms: 0,
        }
    }

    /// How much of the log is read, until this node has started.
    #[must_use]
    pub fn progress(&self) -> Arc<ReadProgress> {
        self.progress.clone()
    }

    /// Reads every partition to its end. The time up to which everything has been read: where the
    /// log's clock has stepped back, that is the time with which nodes go on.
    ///
    /// # Errors
    /// The first failure; the other partitions have been read all the same.
    pub async fn poll_all(&mut self) -> StoreResult<UnixMs> {
        let (mut clock, mut failure) = (UnixMs::MAX, None);
        let before = self.clock.now().unwrap_or_default();
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
            // Beyond what stamps may be ahead, time stands still until the log's clock has come
            // there, and counts say so.
            None if before <= clock.plus(CLOCK_AHEAD_MS_MAX) => Ok(clock.max(before)),
            None => Err(StoreError::new(
                ErrorKind::Unavailable,
                format!(
                    "the log's clock went back from {before} to {clock}; waiting until it is there again"
                ),
            )),
        }
    }

    async fn read_partition(&mut self, partition: u16) -> StoreResult<UnixMs> {
        // Asked before reading: whatever was acknowledged until now must be found.
        let acknowledged = self.acknowledged.last(partition);
        loop {
            let place = self.places[usize::from(partition)];
            let sent_ms = mono_ms();
            let tail =
                self.log.read(partition, place.after, self.keys[usize::from(partition)]).await?;
            self.clock.observe(sent_ms, tail.clock);
            // The time that nodes go by. Where the log's clock has stepped back, a node that has
            // just started would hear of it only with the next beat through one that was there, and
            // take it for a jump.
            self.clock
                .advance_to(tail.origin.last_tended_at.min(tail.clock.plus(CLOCK_AHEAD_MS_MAX)));
            self.slowest_read_ms = self.slowest_read_ms.max(mono_ms().saturating_sub(sent_ms));
            self.keys[usize::from(partition)] = tail.origin.key;
            self.hub.set_key(partition, tail.origin.key);
            if self.has_lost(place, acknowledged, &tail) {
                // Everything in it is read again: its positions may have begun anew.
                self.places[usize::from(partition)] =
                    PartitionCursor { after: Position::START, origin: tail.origin };
                self.acknowledged.reset(partition);
                // Not by its clock alone: that may have gone back as well.
                self.hub.relog_ids_from(tail.clock.max(place.after.at).max(acknowledged.at));
                self.lost_ms = Some(mono_ms());
                self.partitions_to_rebuild.insert(partition);
                self.rebuilt_unmarked.remove(&partition);
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
            let read = tail
                .records
                .first()
                .zip(tail.records.last())
                .map(|((first, _), (last, _))| (first.at, last.at));
            self.progress.record(partition, read, tail.clock, !tail.more);
            for (position, record) in &tail.records {
                let found = self.acknowledged.check_record(partition, *position);
                if found.is_lost {
                    // The log went back, and on again before anybody read it.
                    self.hub.relog_ids_from(tail.clock);
                    self.lost_ms = Some(mono_ms());
                    self.partitions_to_rebuild.insert(partition);
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

    /// Whether a partition has lost something that this node knows it had: it was born again, or
    /// the last record that was read from it or acknowledged by it is gone, and is far too young to
    /// have been trimmed.
    fn has_lost(&self, place: PartitionCursor, acknowledged: Position, tail: &ReadResult) -> bool {
        let is_reborn = place.origin.created_at != UnixMs::ZERO
            && place.origin.created_at != tail.origin.created_at;
        let is_young = |at: UnixMs| tail.clock.since(at) < self.kept_ms / 2;
        let read = place.after;
        let is_read_gone = read != Position::START && is_young(read.at) && !tail.start_exists;
        let end = tail.records.last().map_or(read, |(last, _)| *last);
        let is_acknowledged_gone = !tail.more && acknowledged > end && is_young(acknowledged.at);
        is_reborn || is_read_gone || is_acknowledged_gone
    }

    fn fold(&mut self, partition: u16, position: Position, record: &Bytes) {
        match record::decode(record) {
            Ok(mut entries) => {
                if record::clamp_future_times(&mut entries, position.at) {
                    // Another node goes by a clock that is far ahead of the log's, and knows of
                    // viewers whom it can't tell yet.
                    self.hub.mark_incomplete_until(position.at.plus(self.ttl_ms));
                }
                if let Some(latest) = entries.iter().map(RecordEntry::at).max() {
                    self.clock.advance_to(latest);
                }
                let late = self.hub.apply_record(partition, &entries, position.at);
                self.metrics.too_old.inc_by(late.too_old as u64);
                self.metrics.uncredited.inc_by(late.uncredited as u64);
            }
            Err(error) => {
                self.metrics.records_corrupt.inc();
                // Whoever beat in it is counted again within a ttl; until then counts may be low.
                self.hub.mark_incomplete_until(position.at.plus(self.ttl_ms));
                let error = match record.is_empty() {
                    true => "another program's entry".to_string(),
                    false => error.to_string(),
                };
                let line = self.unreadable.record(mono_ms());
                if let Some(left_out) = line.left_out_before {
                    tracing::error!(
                        left_out,
                        "more log records couldn't be read; they were passed over without a line"
                    );
                }
                if line.is_named {
                    tracing::error!(error, partition, %position, "a log record can't be read; it is passed over");
                }
            }
        }
    }

    /// What the log's past says, once it has been read to its end, at `now`.
    #[must_use]
    pub fn continuity(&self, now: UnixMs) -> LogContinuity {
        let unattended =
            self.unattended_since().filter(|since| now.since(*since) > self.interval_ms);
        let youngest =
            self.lost(now).iter().map(|p| self.places[usize::from(*p)].origin.created_at).max();
        match (youngest, unattended) {
            (Some(_), Some(_)) => LogContinuity::Lost { until: now.plus(self.ttl_ms) },
            (Some(born), None) => LogContinuity::Lost { until: born.plus(self.ttl_ms) },
            (None, Some(since)) => LogContinuity::Unattended { since },
            (None, None) => LogContinuity::Complete,
        }
    }

    /// Partitions that came to be a short while ago, and that nobody has told what was before.
    #[must_use]
    pub fn lost(&self, now: UnixMs) -> Vec<u16> {
        let young = |place: &PartitionCursor| {
            !place.origin.is_complete && now < place.origin.created_at.plus(self.ttl_ms)
        };
        (0..)
            .zip(&self.places)
            .filter(|(_, place)| young(place))
            .map(|(partition, _)| partition)
            .collect()
    }

    /// When a node that knew all last tended the log, or since when nobody has. Its records say
    /// nothing: a node that has just started, or that was cut off, may have appended some, and
    /// doesn't know all.
    fn unattended_since(&self) -> Option<UnixMs> {
        let latest = |time: fn(&PartitionCursor) -> UnixMs| {
            self.places.iter().map(time).max().filter(|t| *t != UnixMs::ZERO)
        };
        latest(|place| place.origin.last_tended_at)
            .or_else(|| latest(|place| place.origin.created_at))
    }

    /// Tells every partition that it holds all that matters.
    ///
    /// # Errors
    /// The log's.
    pub async fn mark_whole(&self) -> StoreResult<()> {
        for (partition, place) in (0..).zip(&self.places) {
            self.log.mark_complete(partition, place.origin.created_at).await?;
        }
        Ok(())
    }

    /// Follows until `stop`.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let mut outage = ReadOutage::default();
        let mut last: Option<(u64, UnixMs)> = None;
        let mut overslept_ms = 0;
        loop {
            let round_ms = mono_ms();
            self.slowest_read_ms = 0;
            let wait = match self.poll_all().await {
                Ok(now) => {
                    self.hub.note_read();
                    self.note_moves();
                    let stall = self.hub.writes().stall();
                    if let Some(stall) = stall {
                        if outage.begin() {
                            tracing::warn!(%stall, "the log can be read and not written; counts stand still until it can");
                        }
                    } else if let Some(away_ms) = outage.end() {
                        tracing::info!(away_ms, "the log is back");
                        if let Some(proofs) = &self.proofs {
                            (0..self.log.partitions())
                                .for_each(|partition| proofs.mark_unwritten(partition));
                        }
                    }
                    self.rebuild_log().await;
                    // This process was asleep, or time on the log's clock has jumped: nobody was
                    // heard meanwhile.
                    let jumped_ms = last.map_or(0, |(mono, log)| {
                        now.since(log).saturating_sub(round_ms.saturating_sub(mono))
                    });
                    if overslept_ms.max(jumped_ms).max(self.slowest_read_ms)
                        > self.interval_ms.max(PAUSE_MS_MIN)
                    {
                        self.bridge_from_here(now).await;
                    }
                    last = Some((round_ms, now));
                    let is_rewritten =
                        self.lost_ms.is_none_or(|at| round_ms.saturating_sub(at) >= REWRITTEN_MS);
                    if stall.is_none()
                        && is_rewritten
                        && !outage.is_settling(self.metrics.waiting.get())
                    {
                        self.hub.advance(now);
                        self.mark_rebuilt().await;
                    }
                    self.poll
                }
                Err(error) => {
                    if outage.begin() {
                        tracing::warn!(%error, "the log can't be read; counts stand still until it can");
                    }
                    RETRY.max(self.poll)
                }
            };
            let before_ms = mono_ms();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            overslept_ms =
                mono_ms().saturating_sub(before_ms).saturating_sub(wait.as_millis() as u64);
        }
    }

    /// Holds time back where another server answers than before: it may lack what another node had
    /// appended to the one before, and has yet to find missing and write again.
    fn note_moves(&mut self) {
        let moves = self.log.moves();
        if std::mem::replace(&mut self.moves, moves) != moves {
            self.lost_ms = Some(mono_ms());
        }
    }

    /// Lets today's counts stand in for one ttl from `now`.
    async fn bridge_from_here(&self, now: UnixMs) {
        let roster = self.hub.roster().await.value;
        let viewers = roster.total.viewers;
        tracing::warn!(
            viewers,
            "this node was asleep, or its clock jumped; bridging its counts for one ttl"
        );
        self.hub.open_bridge(roster, now.plus(self.ttl_ms));
    }
}
