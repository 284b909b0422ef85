//! Commits the ledger. When the log's clock is one ttl past a window's end, the proof within that
//! window is final, and is written for good.
//!
//! To save money one node at a time writes, by a lease per partition. If two nodes write, one chunk
//! comes first and the other node reads it. Proof that the chunk lacks goes into the next one. A
//! failed step, or the death of a node in it, leaves nothing that the next attempt doesn't repair.
//! A chunk is either complete or absent, and a commit that wasn't recorded is found by reading.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::clock::mono_ms;
use housecount_backend::cold::lease;
use housecount_backend::cold::{Cold, Condition, KeyedItem, PutOutcome};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::Log;
use housecount_backend::rng;
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_backend::threads::blocking::run_blocking;
use housecount_core::item::{Attr, Item, number_or_zero};
use housecount_core::keys::{Chain, Key, Series};
use housecount_core::snapshot::expiry_s;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::{Chunk, ChunkError, DraftScope, GENERATION_MS_MAX, Link};
use housecount_metrics::Metrics;
use tracing::Instrument;

use crate::hub::Hub;
use crate::ledger::Proofs;
use crate::ledger::chain::{self, ChainReader};
use crate::ledger::chunks::{self, ChunkWrite};
use crate::ledger::drafting::{self, DraftedChunk};
use crate::ledger::fence::Fence;
use crate::traced::TARGET;

/// Longest window that is written, where nothing was proven for longer. It is the longest that its
/// toggles can encode (24 days).
const GAP_MS_MAX: u64 = 1 << 31;
/// Longest such window where chunks expire.
const GAP_EXPIRING_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Attribute of a ledger's item: the time at which its chains begin.
const FROM: &str = "from";
/// Longest time for which a node leaves the work to others.
const TURN_DELAY_MS_MAX: u64 = 10_000;

/// Task that commits proven watch time to the ledger, window by window.
#[derive(Debug)]
pub struct LedgerCommitter {
    log: Arc<dyn Log>,
    cold: Arc<dyn Cold>,
    hub: Arc<Hub>,
    proofs: Arc<Proofs>,
    metrics: Arc<Metrics>,
    node: String,
    window_ms: u64,
    ttl_ms: u64,
    interval_ms: u64,
    /// Retention of chunks; `None` keeps them for good.
    retention_ms: Option<u64>,
    /// The fence between commits and changes of configuration.
    fence: Fence,
    writers: Vec<PartitionWriter>,
}

/// Settings of the task that commits the ledger.
#[derive(Clone, Copy, Debug)]
pub struct CommitSettings {
    /// `window`
    pub window_ms: u64,
    /// `ttl`
    pub ttl_ms: u64,
    /// `interval`
    pub interval_ms: u64,
    /// `ledger_retention`; `None` keeps the ledger for good.
    pub retention_ms: Option<u64>,
}

/// Ledger of a partition, as this node would write it.
#[derive(Debug)]
struct PartitionWriter {
    chain: Chain,
    /// Reader of the chunks that are written; `None` until it is needed.
    reading: Option<ChainReader>,
    lease_until: UnixMs,
    /// The window's end for which this node waits, and until when, on its own clock.
    deferred: (UnixMs, u64),
    /// Time up to which the ledger has all proof that this node had at its last write. Zero if the
    /// next draft must read the proof of every viewer.
    settled: UnixMs,
}

impl LedgerCommitter {
    /// Creates the task.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        cold: Arc<dyn Cold>,
        hub: Arc<Hub>,
        proofs: Arc<Proofs>,
        metrics: Arc<Metrics>,
        node: String,
        settings: CommitSettings,
    ) -> LedgerCommitter {
        let writer = |chain| PartitionWriter {
            chain,
            reading: None,
            lease_until: UnixMs::ZERO,
            deferred: (UnixMs::ZERO, 0),
            settled: UnixMs::ZERO,
        };
        let writers = Series::Ledger.chains(proofs.partitions()).map(writer).collect();
        let CommitSettings { window_ms, ttl_ms, interval_ms, retention_ms } = settings;
        LedgerCommitter {
            log,
            cold,
            hub,
            proofs,
            metrics,
            node,
            window_ms,
            ttl_ms,
            interval_ms,
            retention_ms,
            fence: Fence::default(),
            writers,
        }
    }

    /// Commits the window of a partition that is due at `now`, one at most.
    ///
    /// # Errors
    /// Returns a store's `StoreError`. Nothing is lost; call it again.
    pub async fn step(&mut self, partition: u16, now: UnixMs) -> StoreResult<Progress> {
        let due = self.due(now);
        if self.proofs.committed(partition) >= due || !self.hold_lease(partition, now).await? {
            return Ok(Progress::Done);
        }
        let mut reading = match self.writers[usize::from(partition)].reading.take() {
            Some(reading) => reading,
            None => self.open(partition).await?,
        };
        let outcome = self.write_next(partition, now, due, &mut reading).await;
        // A chain that doesn't fit is read again. After any other failure the book stays valid.
        if outcome.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Corrupt) {
            self.writers[usize::from(partition)].reading = Some(reading);
        }
        outcome
    }

    async fn write_next(
        &mut self,
        partition: u16,
        now: UnixMs,
        due: UnixMs,
        reading: &mut ChainReader,
    ) -> StoreResult<Progress> {
        // If no node has recorded a later commit than this node has read, there is hardly one. If
        // there is, the put detects it.
        let is_read = reading.book.last().is_some()
            && self.proofs.committed(partition) <= reading.book.edge();
        while !is_read && reading.next(&*self.cold, &mut ()).await?.is_some() {
            // Another node wrote the chunk, and may have had less proof than this one.
            self.writer(partition).settled = UnixMs::ZERO;
            tokio::task::yield_now().await;
        }
        let edge = match reading.book.last() {
            Some(_) => reading.book.edge(),
            None => self.ledger_start(partition, due).await?,
        };
        let Some(window) = self.next_window(partition, edge, due).await? else {
            self.note(partition, reading.book.edge()).await?;
            return Ok(Progress::Done);
        };
        let started_ms = mono_ms();
        // A viewer who continues has sent another beat since. One and a half intervals are enough,
        // except for hidden tabs.
        let reach = now.minus(self.interval_ms * 3 / 2).min(window.to.plus(self.ttl_ms));
        let DraftedChunk { book, bytes, chunk, link, scope } =
            self.draft(partition, reading, window, reach).await?;
        reading.book = book;
        let chain = self.writers[usize::from(partition)].chain;
        // From here on no change of configuration applies to this window.
        self.fence.raise(&*self.cold, chunk.window.to).await?;
        // A keyframe, and all chunks that need it, expire at the same time.
        let until = chunk.since.plus(GENERATION_MS_MAX);
        let expiry_s = self.retention_ms.map(|ms| expiry_s(until, ms));
        let written = chunks::write(&*self.cold, chain, link.from, &bytes, expiry_s).await?;
        let was_first = matches!(written, ChunkWrite::Done);
        if was_first && scope == DraftScope::Whole {
            self.proofs.clear_unwritten(partition);
        }
        // If another node wrote the window, proof that only this node has is left for the next one.
        self.writer(partition).settled = if was_first { window.to } else { UnixMs::ZERO };
        let (chunk, link) = match written {
            ChunkWrite::Done => (chunk, link),
            ChunkWrite::LostRace(theirs) => chain::decode(&theirs, chain)?,
        };
        let shown = (chunk.window, bytes.len(), chunk.is_keyframe());
        drop(bytes);
        absorb(reading, chunk, link).await?;
        reading.skip_to(link.from);
        self.count(partition, shown, was_first, reading.book.open(), started_ms);
        self.note(partition, reading.book.edge()).await?;
        Ok(if reading.book.edge() < due { Progress::More } else { Progress::Done })
    }

    /// Whether this node's turn to write has come.
    ///
    /// Each node waits for a random time, so that usually one finds the work and the others find it
    /// done. Chance makes the nodes alternate. A node writes the proof that only it has when its
    /// turn comes.
    fn is_my_turn(&mut self, partition: u16, now: UnixMs) -> bool {
        let due = self.due(now);
        let wait_ms = (self.window_ms / 4).min(TURN_DELAY_MS_MAX);
        let writer = &mut self.writers[usize::from(partition)];
        if writer.deferred.0 != due {
            writer.deferred = (due, mono_ms() + rng::random_range(0..=wait_ms));
        }
        mono_ms() >= writer.deferred.1 || self.proofs.has_unwritten(partition)
    }

    /// The end of the last window that is final at `now`.
    fn due(&self, now: UnixMs) -> UnixMs {
        now.minus(self.ttl_ms).aligned(self.window_ms)
    }

    async fn hold_lease(&mut self, partition: u16, now: UnixMs) -> StoreResult<bool> {
        // Half a window at most, so that another node can have the next one.
        let lease_ms = lease::LEASE_MS.min(self.window_ms / 2);
        let writer = &mut self.writers[usize::from(partition)];
        if now < writer.lease_until {
            return Ok(true);
        }
        let name = format!("ledger-{}-{}", writer.chain.partitions, writer.chain.partition);
        let is_held = lease::acquire(&*self.cold, &name, &self.node, now, lease_ms).await?;
        if is_held {
            writer.lease_until = now.plus(lease_ms);
        }
        Ok(is_held)
    }

    /// Returns where the ledger begins, which the first writer decides for all nodes. Registers the
    /// ledger, so that readers find it.
    async fn ledger_start(&self, partition: u16, due: UnixMs) -> StoreResult<UnixMs> {
        let first = self.first(partition, Span::new(UnixMs::ZERO, due)).await?;
        let last = due.minus(self.window_ms);
        let from = first.unwrap_or(last).aligned(self.window_ms).min(last);
        let key = Key::Series { series: Series::Ledger, partitions: self.proofs.partitions() };
        let item = Item::from([(FROM.to_string(), Attr::N(from.0))]);
        match self.cold.put_if(KeyedItem { key, item }, Condition::Absent).await? {
            PutOutcome::Done => Ok(from),
            PutOutcome::ConditionFailed(there) => match number_or_zero(&there, FROM) {
                0 => Ok(from),
                from => Ok(UnixMs(from)),
            },
        }
    }

    /// Reads the part of the chain that a writer needs: the time that late spans may reach into.
    ///
    /// If that part can't be read, the ledger continues without it. It starts with a keyframe, and
    /// has no late spans of that time.
    async fn open(&self, partition: u16) -> StoreResult<ChainReader> {
        let chain = self.writers[usize::from(partition)].chain;
        let cold = &*self.cold;
        let mut reading = match ChainReader::open_at_end(cold, chain, UnixMs::MAX).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, partition, "the ledger can't be read; continuing with a keyframe");
                return ChainReader::after_damage(cold, chain).await;
            }
            reading => reading?,
        };
        let reach = reading.book.edge().minus(self.proofs.kept_ms());
        if reading.book.begins() > reach {
            match ChainReader::open_at_end(cold, chain, reach).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::error!(%error, partition, "the ledger can't be read further back");
                    reading.book.set_floor_to_start();
                }
                further => reading = further?,
            }
        }
        Ok(reading)
    }

    /// Returns the next window to write, if one is final.
    ///
    /// A window always begins where the last one ended, so that two writers always want the same
    /// place. If nothing was proven for longer than a window, it covers that whole time.
    async fn next_window(
        &self,
        partition: u16,
        edge: UnixMs,
        due: UnixMs,
    ) -> StoreResult<Option<Span>> {
        let to = edge.aligned(self.window_ms).plus(self.window_ms);
        if to >= due {
            return Ok((to == due).then_some(Span::new(edge, to)));
        }
        let first = self.first(partition, Span::new(edge, due)).await?.unwrap_or(due);
        // If chunks expire, no chunk may be so long that it outlives its keyframe.
        let gap_ms_max = if self.retention_ms.is_some() { GAP_EXPIRING_MS_MAX } else { GAP_MS_MAX };
        let gap = first.aligned(self.window_ms).min(edge.plus(gap_ms_max).aligned(self.window_ms));
        Ok(Some(Span::new(edge, gap.max(to))))
    }

    /// Makes the chunk and checks that it can be read. A thread of its own does it, because a
    /// million viewers take a while.
    ///
    /// If the ledger has all proof that this node had at the last window's end, only viewers who
    /// have changed since are read.
    async fn draft(
        &mut self,
        partition: u16,
        reading: &mut ChainReader,
        window: Span,
        reach: UnixMs,
    ) -> StoreResult<DraftedChunk> {
        let (proofs, book) = (self.proofs.clone(), std::mem::take(&mut reading.book));
        let settled = self.writer(partition).settled;
        let is_settled = settled == window.from && !self.proofs.has_unwritten(partition);
        let drafted = run_blocking(move || {
            drafting::draft(&proofs, book, partition, window, reach, is_settled)
        });
        let drafted = drafted.await.map_err(|e| unusable(e.to_string()))?;
        drafted.map_err(|e: ChunkError| unusable(e.to_string()))
    }

    /// Returns when the first proven time within a span begins. The walk through all proof runs on
    /// a thread of its own.
    async fn first(&self, partition: u16, within: Span) -> StoreResult<Option<UnixMs>> {
        let proofs = self.proofs.clone();
        run_blocking(move || proofs.first_proven_at(partition, within))
            .await
            .map_err(|e| unusable(e.to_string()))
    }

    fn writer(&mut self, partition: u16) -> &mut PartitionWriter {
        &mut self.writers[usize::from(partition)]
    }

    /// Records, in this node's proof and in the log, the time up to which the ledger is written.
    ///
    /// The log may refuse it, for example when it is full. Then this node trims the log all the
    /// same, and the next window's record reaches the other nodes.
    async fn note(&self, partition: u16, edge: UnixMs) -> StoreResult<()> {
        self.proofs.note_committed(partition, edge);
        self.log.note_committed(partition, edge).await
    }

    fn count(
        &self,
        partition: u16,
        (window, bytes, keyframe): (Span, usize, bool),
        was_first: bool,
        open: usize,
        started_ms: u64,
    ) {
        let took_ms = mono_ms().saturating_sub(started_ms);
        self.metrics.commits.inc();
        self.metrics.commit_bytes.inc_by(bytes as u64);
        let window = window.from;
        tracing::info!(partition, %window, bytes, open, keyframe, was_first, took_ms, "committed");
    }
}

/// Builds the error for a chunk of this node's own that can't be used. Everything is read again
/// before the next attempt.
fn unusable(why: String) -> StoreError {
    StoreError::caused(ErrorKind::Corrupt, "making a chunk of the ledger", why)
}

/// Absorbs a chunk into the book, on a thread of its own.
async fn absorb(reading: &mut ChainReader, chunk: Chunk, link: Link) -> StoreResult<()> {
    let mut book = std::mem::take(&mut reading.book);
    let absorbed = run_blocking(move || book.absorb(chunk, link, &mut ()).map(|()| book));
    let absorbed = absorbed.await.map_err(|e| unusable(e.to_string()))?;
    reading.book = absorbed.map_err(|e| unusable(e.to_string()))?;
    Ok(())
}

#[async_trait]
impl PeriodicTask for LedgerCommitter {
    const NAME: &'static str = "commit";

    fn period(&self) -> Duration {
        Duration::from_millis((self.window_ms / 60).clamp(50, 5_000))
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        // Not while this node lacks events, since another node may have them.
        if !self.hub.is_complete() || self.hub.is_stalled() {
            return Ok(Progress::Done);
        }
        let now = self.hub.now();
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.proofs.partitions() {
            if !self.is_my_turn(partition, now) {
                continue;
            }
            // A partition that fails must not keep the others waiting.
            let span =
                tracing::debug_span!(target: TARGET, "commit", partition = i64::from(partition));
            match self.step(partition, now).instrument(span).await {
                Ok(Progress::Done) => {}
                Ok(Progress::More) => outcome = outcome.map(|_| Progress::More),
                Err(error) => {
                    self.metrics.commit_failures.inc();
                    outcome = Err(error);
                }
            }
        }
        outcome
    }
}
