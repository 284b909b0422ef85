//! Commits the ledger: when the log's clock has passed a window's end by a ttl, what was proven in
//! it is final, and is written for good.
//!
//! One node at a time does it, by a lease a partition, to save money. If two do, one chunk comes
//! first and the other node reads it; what it lacked goes into the next one. A step that fails, or
//! a node that dies in it, leaves nothing that the next try doesn't put right: a chunk is there
//! whole or not at all, and what isn't noted is found by reading.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_core::item::{Attr, Item, number_or_zero};
use housecount_core::keys::{Chain, Key, Series};
use housecount_core::ledger::{Chunk, ChunkError, DraftScope, GENERATION_MS_MAX, Link};
use housecount_core::snapshot::expiry_s;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use tracing::Instrument;

use super::{PeriodicTask, Progress, lease};
use crate::blocking::run_blocking;
use crate::clock::mono_ms;
use crate::cold::chunks::{self, ChunkWrite};
use crate::cold::{Cold, Condition, KeyedItem, PutOutcome};
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::hub::Hub;
use crate::ledger::Proofs;
use crate::ledger::chain::{self, ChainReader};
use crate::ledger::drafting::{self, DraftedChunk};
use crate::ledger::fence::Fence;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::rng;
use crate::traced::TARGET;

/// The longest window that is written, where nothing was proven for longer: what its toggles can
/// say (24 days).
const GAP_MS_MAX: u64 = 1 << 31;
/// The same where chunks expire.
const GAP_EXPIRING_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// The attribute of a ledger's item: where its chains begin.
const FROM: &str = "from";
/// How long a node leaves the work to others, at most.
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
    /// For how long chunks are kept; none for good.
    retention_ms: Option<u64>,
    /// When expired ones were looked for last, on this node's own clock.
    fence: Fence,
    writers: Vec<PartitionWriter>,
}

/// A partition's ledger as this node would write it.
#[derive(Debug)]
struct PartitionWriter {
    chain: Chain,
    /// What is written, once it has been needed.
    reading: Option<ChainReader>,
    lease_until: UnixMs,
    /// The window's end for which this node holds back, and until when on its own clock.
    deferred: (UnixMs, u64),
    /// Up to when the ledger has all that this node knew when it wrote last; zero if the next draft
    /// must go through every viewer.
    settled: UnixMs,
}

impl LedgerCommitter {
    /// The task.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        cold: Arc<dyn Cold>,
        hub: Arc<Hub>,
        proofs: Arc<Proofs>,
        metrics: Arc<Metrics>,
        node: String,
        settings: &crate::config::Settings,
    ) -> LedgerCommitter {
        let writer = |chain| PartitionWriter {
            chain,
            reading: None,
            lease_until: UnixMs::ZERO,
            deferred: (UnixMs::ZERO, 0),
            settled: UnixMs::ZERO,
        };
        let writers = Series::Ledger.chains(proofs.partitions()).map(writer).collect();
        let (window_ms, ttl_ms) = (settings.window_ms, settings.rules.ttl_ms);
        let interval_ms = settings.interval_ms;
        let retention_ms = settings.ledger_retention_ms;
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

    /// Commits what is due in a partition at `now`, one window at most.
    ///
    /// # Errors
    /// A store's. Nothing is lost; call it again.
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
        // What doesn't fit is read anew; after any other failure what is known stays known.
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
        // If nobody has said that there is more than this node has read, there hardly is. If there
        // is all the same, the put tells.
        let is_read = reading.book.last().is_some()
            && self.proofs.committed(partition) <= reading.book.edge();
        while !is_read && reading.next(&*self.cold, &mut ()).await?.is_some() {
            // Another node wrote it, and may have known less than this one.
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
        // Whoever goes on has beaten since: one and a half intervals are enough, but for hidden
        // tabs.
        let reach = now.minus(self.interval_ms * 3 / 2).min(window.to.plus(self.ttl_ms));
        let DraftedChunk { book, bytes, chunk, link, scope } =
            self.draft(partition, reading, window, reach).await?;
        reading.book = book;
        let chain = self.writers[usize::from(partition)].chain;
        // From here on no change of configuration applies to this window.
        self.fence.raise(&*self.cold, chunk.window.to).await?;
        // All that need a keyframe, and it, at the same time.
        let until = chunk.since.plus(GENERATION_MS_MAX);
        let expiry_s = self.retention_ms.map(|ms| expiry_s(until, ms));
        let written = chunks::write(&*self.cold, chain, link.from, &bytes, expiry_s).await?;
        let was_first = matches!(written, ChunkWrite::Done);
        if was_first && scope == DraftScope::Whole {
            self.proofs.clear_unwritten(partition);
        }
        // What this node knew of the window and another one that wrote it didn't is left over for
        // the next one.
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

    /// Each node waits for a moment of its own, so that mostly one finds the work and the others
    /// find it done. The nodes take turns by chance: what only one of them knows, it writes when it
    /// is its turn.
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
        // No longer than half a window, so that another node can have the next one.
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

    /// Where the ledger begins, which whoever comes first decides for all; and makes it known to
    /// readers.
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

    /// Reads as much of the chain as a writer must know: what late spans may reach into. Where that
    /// can't be read, the ledger goes on without it: with a keyframe, and without late spans of
    /// that time.
    async fn open(&self, partition: u16) -> StoreResult<ChainReader> {
        let chain = self.writers[usize::from(partition)].chain;
        let cold = &*self.cold;
        let mut reading = match ChainReader::open_at_end(cold, chain, UnixMs::MAX).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, partition, "the ledger can't be read; it goes on with a keyframe");
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

    /// The window to be written next, if one is final. It always begins where the last one ended,
    /// so that two writers always want the same place; if nothing was proven for longer, it is as
    /// long as that.
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
        // Where chunks expire, none may be so long that it outlives its keyframe.
        let gap_ms_max = if self.retention_ms.is_some() { GAP_EXPIRING_MS_MAX } else { GAP_MS_MAX };
        let gap = first.aligned(self.window_ms).min(edge.plus(gap_ms_max).aligned(self.window_ms));
        Ok(Some(Span::new(edge, gap.max(to))))
    }

    /// Makes the chunk, and sees that it can be read, on a thread of its own: a million viewers
    /// take a while.
    ///
    /// Where the ledger has all that this node knew at the last window's end, only viewers who
    /// changed since are gone through.
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

    /// When the first time that is proven within a span begins: by a walk through all proof, on a
    /// thread of its own.
    async fn first(&self, partition: u16, within: Span) -> StoreResult<Option<UnixMs>> {
        let proofs = self.proofs.clone();
        run_blocking(move || proofs.first_proven_at(partition, within))
            .await
            .map_err(|e| unusable(e.to_string()))
    }

    fn writer(&mut self, partition: u16) -> &mut PartitionWriter {
        &mut self.writers[usize::from(partition)]
    }

    /// Tells this node's proof, and the log, up to when the ledger has it. The log may refuse the
    /// note, as when it is full: then this node trims it all the same, and the next window's note
    /// says it to the others.
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

/// A chunk of our own making that can't be used: everything is read anew before the next try.
fn unusable(why: String) -> StoreError {
    StoreError::caused(ErrorKind::Corrupt, "making a chunk of the ledger", why)
}

/// Takes a chunk into the book, on a thread of its own.
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
        // Not while this node misses something: another one may not.
        if !self.hub.is_complete() || self.hub.is_stalled() {
            return Ok(Progress::Done);
        }
        let now = self.hub.now();
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.proofs.partitions() {
            if !self.is_my_turn(partition, now) {
                continue;
            }
            // One that fails must not keep the others waiting.
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
