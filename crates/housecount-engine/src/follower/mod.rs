//! The follower reads all of the log into the hub, on every node, forever.
//!
//! Only the follower advances time. It moves the hub's clock to the log's only after everything
//! appended before has been read. The log must also accept this node's appends
//! ([`WriteHealth`](crate::log::health::WriteHealth)). So while the log can't be read or written,
//! time stands still, and no viewer times out because of it.
//!
//! # After an outage
//! Nodes hold the players' events meanwhile and append them with their true times, which takes a
//! moment. Until then the follower holds time back (`SETTLE_MS`), and counts are not complete. If
//! all nodes were down, or this one was suspended, events may have been missed for more than an
//! interval. In that case the counts from before stand in for one ttl.
//!
//! # When the log has lost data
//! Its partitions were created again, or went back to an earlier state. Every node that still knows
//! everything rewrites it to the log, as ordinary events with their old times. So a node that
//! starts later finds it there.

mod idle;
pub mod maintenance;
mod outage;
pub mod progress;
mod reads;
mod rebuild;
mod settings;
mod unreadable;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, PartitionMeta, Position, ReadResult};
use housecount_backend::rng;
use housecount_core::fold::HandleKey;
use housecount_core::limits::CLOCK_AHEAD_MS_MAX;
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;
use housecount_metrics::Metrics;
use tokio::sync::watch;

use self::outage::ReadOutage;
use self::reads::PartitionRead;
pub use self::settings::FollowerSettings;
use self::unreadable::UnreadableLines;
use crate::follower::progress::ReadProgress;
use crate::hub::Hub;
use crate::ingest::OwnAppends;
use crate::ledger::Proofs;

/// Wait after a failed read.
const RETRY: Duration = Duration::from_millis(200);
/// Time for which the clock stands still after the log has lost data.
///
/// By then other nodes have noticed, and rewritten what only they had read. It is shorter than the
/// time that makes counts incomplete, and many times what a node takes to notice.
const REWRITTEN_MS: u64 = 1_000;
/// Shortest pause of this process that matters. Shorter ones are due to a busy machine, and
/// harmless, since a session is online for at least three intervals.
const PAUSE_MS_MIN: u64 = 1_000;

/// Position up to which a partition has been read.
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
    /// Proof; `None` where nothing is kept for good.
    proofs: Option<Arc<Proofs>>,
    /// Key of each partition's handles, as last read. At first it is the key that this node
    /// proposes.
    keys: Vec<HandleKey>,
    poll: Duration,
    interval_ms: u64,
    ttl_ms: u64,
    kept_ms: u64,
    places: Vec<PartitionCursor>,
    /// When a read last returned events, on `mono_ms`.
    last_record_ms: u64,
    /// Partitions that have lost data which this node has not rewritten yet.
    partitions_to_rebuild: BTreeSet<u16>,
    /// When a loss was last found, on `mono_ms`.
    lost_ms: Option<u64>,
    /// Number of times that the log had moved to another server, at the last read.
    moves: u64,
    unreadable: UnreadableLines,
    /// Partitions to which this node has rewritten all it knew. They are complete once all nodes
    /// have appended what they held meanwhile.
    rebuilt_unmarked: BTreeSet<u16>,
    /// Progress of reading the log, until this node has started.
    progress: Arc<ReadProgress>,
    /// Longest read of this round. A log gives up long before one interval, so a longer read means
    /// that this process was suspended.
    slowest_read_ms: u64,
}

/// Continuity of the log, as a node sees it that has just read all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogContinuity {
    /// All that matters is in the log.
    Complete,
    /// The log was created a short while ago, and no node has rewritten the earlier events.
    Lost {
        /// Time by which viewers who still watch have sent another beat.
        until: UnixMs,
    },
    /// No node has accepted events since this time.
    Unattended {
        /// Start of that time.
        since: UnixMs,
    },
}

impl Follower {
    /// Creates a follower that has read nothing.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        hub: Arc<Hub>,
        clock: Arc<SharedClock>,
        metrics: Arc<Metrics>,
        acknowledged: Arc<OwnAppends>,
        proofs: Option<Arc<Proofs>>,
        settings: FollowerSettings,
    ) -> Follower {
        let places = vec![PartitionCursor::default(); usize::from(log.partitions())];
        // Never zero, which stands for no key.
        let keys = places.iter().map(|_| HandleKey(rng::random::<u64>() | 1)).collect();
        let FollowerSettings { interval_ms, ttl_ms, kept_ms, poll_ms } = settings;
        Follower {
            log,
            hub,
            clock,
            metrics,
            acknowledged,
            proofs,
            keys,
            poll: Duration::from_millis(poll_ms),
            interval_ms,
            ttl_ms,
            kept_ms,
            places,
            last_record_ms: mono_ms(),
            partitions_to_rebuild: BTreeSet::new(),
            lost_ms: None,
            moves: 0,
            unreadable: UnreadableLines::default(),
            rebuilt_unmarked: BTreeSet::new(),
            progress: Arc::default(),
            slowest_read_ms: 0,
        }
    }

    /// Progress of reading the log, until this node has started.
    #[must_use]
    pub fn progress(&self) -> Arc<ReadProgress> {
        self.progress.clone()
    }

    /// Reads every partition to its end, and returns the time up to which everything has been read.
    ///
    /// If the log's clock has stepped back, that is the time that nodes already use.
    ///
    /// # Errors
    /// Returns the first `StoreError`. The other partitions have been read all the same.
    pub async fn poll_all(&mut self) -> StoreResult<UnixMs> {
        let (mut clock, mut failure) = (UnixMs::MAX, None);
        let before = self.clock.now().unwrap_or_default();
        let mut reads = self.read_together().await.into_iter();
        for partition in 0..self.log.partitions() {
            match self.read_partition(partition, reads.next().flatten()).await {
                Ok(at) => clock = clock.min(at),
                Err(error) => {
                    self.metrics.read_failures.inc();
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            // Stamps may be ahead by this much. Beyond it, time stands still until the log's clock
            // has caught up, and counts show it.
            None if before <= clock.plus(CLOCK_AHEAD_MS_MAX) => Ok(clock.max(before)),
            None => Err(StoreError::new(
                ErrorKind::Unavailable,
                format!(
                    "the log's clock went back from {before} to {clock}; waiting until it has caught up"
                ),
            )),
        }
    }

    /// Reads a partition to its end. `first` is its first read, if that was made already.
    async fn read_partition(
        &mut self,
        partition: u16,
        mut first: Option<PartitionRead>,
    ) -> StoreResult<UnixMs> {
        loop {
            let PartitionRead { tail, acknowledged } = match first.take() {
                Some(read) => read,
                None => self.read_alone(partition).await?,
            };
            let place = self.places[usize::from(partition)];
            self.keys[usize::from(partition)] = tail.origin.key;
            self.hub.set_key(partition, tail.origin.key);
            if self.has_lost(place, acknowledged, &tail) {
                // The partition is read again from the start, since its positions may have started
                // over.
                self.places[usize::from(partition)] =
                    PartitionCursor { after: Position::START, origin: tail.origin };
                self.acknowledged.reset(partition);
                // Not by its clock alone, which may have gone back as well.
                self.hub.relog_ids_from(tail.clock.max(place.after.at).max(acknowledged.at));
                self.lost_ms = Some(mono_ms());
                self.partitions_to_rebuild.insert(partition);
                self.rebuilt_unmarked.remove(&partition);
                return Box::pin(self.read_partition(partition, None)).await;
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
            if tail.records.iter().any(|(_, record)| record::has_events(record)) {
                self.last_record_ms = mono_ms();
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
                    // The log went back, and advanced again before this node read it.
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

    /// Whether a partition has lost something that this node knows it had.
    ///
    /// Either it was created again, or the last record that was read from it or acknowledged by it
    /// is gone. The record must be far too young to have been trimmed.
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
                    // Another node's clock is far ahead of the log's. It may know viewers whose
                    // events it can't append yet.
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
                // Viewers who beat in this record are counted again within one ttl. Until then
                // counts may be low.
                self.hub.mark_incomplete_until(position.at.plus(self.ttl_ms));
                let error = match record.is_empty() {
                    true => "another program's entry".to_string(),
                    false => error.to_string(),
                };
                let line = self.unreadable.record(mono_ms());
                if let Some(left_out) = line.left_out_before {
                    tracing::error!(
                        left_out,
                        "skipped more unreadable log records without a log line"
                    );
                }
                if line.is_named {
                    tracing::error!(error, partition, %position, "skipped an unreadable log record");
                }
            }
        }
    }

    /// Returns the log's continuity at `now`, once it has been read to its end.
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

    /// Partitions that were created a short while ago, and whose earlier events no node has
    /// rewritten.
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

    /// Returns when a complete node last tended the log, or since when none has.
    ///
    /// Records prove nothing here. A node that has just started, or that was cut off, may have
    /// appended some without knowing everything.
    fn unattended_since(&self) -> Option<UnixMs> {
        let latest = |time: fn(&PartitionCursor) -> UnixMs| {
            self.places.iter().map(time).max().filter(|t| *t != UnixMs::ZERO)
        };
        latest(|place| place.origin.last_tended_at)
            .or_else(|| latest(|place| place.origin.created_at))
    }

    /// Marks every partition as complete.
    ///
    /// # Errors
    /// Returns the log's `StoreError`.
    pub async fn mark_whole(&self) -> StoreResult<()> {
        for (partition, place) in (0..).zip(&self.places) {
            self.log.mark_complete(partition, place.origin.created_at).await?;
        }
        Ok(())
    }

    /// Follows the log until `stop`.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let mut outage = ReadOutage::default();
        let mut last: Option<(u64, UnixMs)> = None;
        let mut overslept_ms = 0;
        loop {
            let round_ms = mono_ms();
            self.slowest_read_ms = 0;
            let mut may_idle = false;
            let wait = match self.poll_all().await {
                Ok(now) => {
                    self.hub.note_read();
                    self.note_moves();
                    let stall = self.hub.writes().stall();
                    if let Some(stall) = stall {
                        if outage.begin() {
                            tracing::warn!(%stall, "the log can be read but not written; counts stand still until writes succeed");
                        }
                    } else if let Some(away_ms) = outage.end() {
                        tracing::info!(away_ms, "the log is available again");
                        if let Some(proofs) = &self.proofs {
                            (0..self.log.partitions())
                                .for_each(|partition| proofs.mark_unwritten(partition));
                        }
                    }
                    self.rebuild_log().await;
                    // This process was suspended, or time on the log's clock has jumped. This node
                    // received no events meanwhile.
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
                        && !outage.is_settling(self.metrics.append_queue.get())
                    {
                        self.hub.advance(now);
                        self.mark_rebuilt().await;
                        may_idle = self.rebuilt_unmarked.is_empty();
                    }
                    self.poll
                }
                Err(error) => {
                    if outage.begin() {
                        tracing::warn!(%error, "the log can't be read; counts stand still until reads succeed");
                    }
                    RETRY.max(self.poll)
                }
            };
            let before_ms = mono_ms();
            let waited_ms = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                waited_ms = self.pause(wait, may_idle) => waited_ms,
            };
            overslept_ms = mono_ms().saturating_sub(before_ms + waited_ms);
        }
    }

    /// Holds time back after the log has moved to another server.
    ///
    /// The new server may lack what another node had appended to the one before. That node has yet
    /// to notice, and to write it again.
    fn note_moves(&mut self) {
        let moves = self.log.moves();
        if std::mem::replace(&mut self.moves, moves) != moves {
            self.lost_ms = Some(mono_ms());
        }
    }

    /// Bridges with the current counts for one ttl from `now`.
    async fn bridge_from_here(&self, now: UnixMs) {
        let roster = self.hub.roster().await.value;
        let viewers = roster.total.viewers;
        tracing::warn!(
            viewers,
            "this node was suspended, or its clock jumped; bridging its counts for one ttl"
        );
        self.hub.open_bridge(roster, now.plus(self.ttl_ms));
    }
}
