//! Commits the ledger: when the log's clock has passed a window's end by a ttl, what was proven in it is final, and is
//! written for good.
//!
//! One node at a time does it, by a lease a partition, to save money. If two do, one chunk comes first and the other
//! node reads it; what it lacked goes into the next one. A step that fails, or a node that dies in it, leaves nothing that
//! the next try doesn't put right: a chunk is there whole or not at all, and what isn't noted is found by reading.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_core::keys::{Chain, Key};
use housecount_core::ledger::{Chunk, Draft};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use super::{Progress, Tick, lease};
use crate::clock::mono_ms;
use crate::cold::{Cold, Record};
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::hub::Hub;
use crate::ledger::Proofs;
use crate::ledger::chain::{self, Reading, Stored, Written};
use crate::log::Log;
use crate::metrics::Metrics;

/// How long a node leaves the work to others, at most.
const YIELD_MS_MAX: u64 = 10_000;

/// See the module's text.
#[derive(Debug)]
pub struct Commit {
    log: Arc<dyn Log>,
    cold: Arc<dyn Cold>,
    hub: Arc<Hub>,
    proofs: Arc<Proofs>,
    metrics: Arc<Metrics>,
    node: String,
    window_ms: u64,
    ttl_ms: u64,
    interval_ms: u64,
    writers: Vec<Writer>,
    is_listed: bool,
}

/// A partition's ledger as this node would write it.
#[derive(Debug)]
struct Writer {
    chain: Chain,
    /// What is written, once it has been needed.
    reading: Option<Reading>,
    lease_until: UnixMs,
    /// The window's end for which this node holds back, and until when on its own clock.
    yields: (UnixMs, u64),
}

impl Commit {
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
    ) -> Commit {
        let writer =
            |chain| Writer { chain, reading: None, lease_until: UnixMs::ZERO, yields: (UnixMs::ZERO, 0) };
        let writers = Chain::all(proofs.partitions()).map(writer).collect();
        let (window_ms, ttl_ms) = (settings.window_ms, settings.rules.ttl_ms);
        let interval_ms = settings.interval_ms;
        Commit {
            log,
            cold,
            hub,
            proofs,
            metrics,
            node,
            window_ms,
            ttl_ms,
            interval_ms,
            writers,
            is_listed: false,
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
        self.list().await?;
        let mut reading = match self.writers[usize::from(partition)].reading.take() {
            Some(reading) => reading,
            None => self.open(partition).await?,
        };
        while reading.next(&*self.cold, &mut ()).await?.is_some() {}
        let edge = reading.book.edge();
        let Some(window) = self.next_window(partition, edge, due) else {
            self.note(partition, edge).await?;
            self.writers[usize::from(partition)].reading = Some(reading);
            return Ok(Progress::Done);
        };
        let started_ms = mono_ms();
        // Whoever goes on has beaten since: one and a half intervals are enough, but for hidden tabs.
        let reach = now.minus(self.interval_ms * 3 / 2).min(window.to.plus(self.ttl_ms));
        let (mut reading, bytes) = self.draft(partition, reading, window, reach).await?;
        let stored = Stored { window: window.from, bytes, strays: Vec::new() };
        let chain = self.writers[usize::from(partition)].chain;
        let (_, link) = stored.decode(chain)?;
        let (stored, was_first) = match chain::write(&*self.cold, chain, link, &stored.bytes).await? {
            Written::Done => (stored, true),
            Written::Elsewhere(theirs) => (theirs, false),
        };
        let chunk = reading.take(&stored, &mut ())?;
        reading.skip_to(stored.window);
        let (open, edge) = (reading.book.open(), reading.book.edge());
        self.writers[usize::from(partition)].reading = Some(reading);
        self.count(partition, &chunk, &stored, was_first, open, started_ms);
        self.note(partition, edge).await?;
        Ok(if edge < due { Progress::More } else { Progress::Done })
    }

    /// Each node waits for a moment of its own, so that mostly one finds the work and the others find it done. The nodes
    /// take turns by chance: what only one of them knows, it writes when it is its turn.
    fn is_my_turn(&mut self, partition: u16, now: UnixMs) -> bool {
        let due = self.due(now);
        let wait_ms = (self.window_ms / 4).min(YIELD_MS_MAX);
        let writer = &mut self.writers[usize::from(partition)];
        if writer.yields.0 != due {
            writer.yields = (due, mono_ms() + rand::random_range(0..=wait_ms));
        }
        mono_ms() >= writer.yields.1
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
        let is_held = lease::take(&*self.cold, &name, &self.node, now, lease_ms).await?;
        if is_held {
            writer.lease_until = now.plus(lease_ms);
        }
        Ok(is_held)
    }

    /// Makes the ledger known to readers, once.
    async fn list(&mut self) -> StoreResult<()> {
        if !self.is_listed {
            let key = Key::Ledger { partitions: self.proofs.partitions() };
            self.cold.put(vec![Record { key, item: Default::default() }]).await?;
            self.is_listed = true;
        }
        Ok(())
    }

    /// Reads as much of the chain as a writer must know: what late spans may reach into.
    async fn open(&self, partition: u16) -> StoreResult<Reading> {
        let chain = self.writers[usize::from(partition)].chain;
        let mut reading = Reading::open(&*self.cold, chain, UnixMs::MAX).await?;
        while reading.next(&*self.cold, &mut ()).await?.is_some() {}
        let reach = reading.book.edge().minus(self.proofs.kept_ms());
        if reading.book.begins() > reach {
            reading = Reading::open(&*self.cold, chain, reach).await?;
        }
        Ok(reading)
    }

    /// The window to be written next, if one is final: the one after the last, unless nothing was proven for longer.
    fn next_window(&self, partition: u16, edge: UnixMs, due: UnixMs) -> Option<Span> {
        let last = due.minus(self.window_ms);
        let from = if edge >= last {
            edge
        } else {
            let first = self.proofs.first(partition, Span::new(edge, due));
            first.unwrap_or(last).aligned(self.window_ms).min(last).max(edge)
        };
        let window = Span::new(from, from.aligned(self.window_ms).plus(self.window_ms));
        (window.to <= due).then_some(window)
    }

    /// Makes the chunk, on a thread of its own: a million viewers take a while.
    async fn draft(
        &self,
        partition: u16,
        reading: Reading,
        window: Span,
        reach: UnixMs,
    ) -> StoreResult<(Reading, Vec<u8>)> {
        let proofs = self.proofs.clone();
        let drafted = tokio::task::spawn_blocking(move || {
            let mut draft = Draft::new(&reading.book, window, proofs.kept_ms(), reach);
            let within = draft.within();
            proofs.each(partition, within, |proven| draft.add(proven));
            let bytes = draft.finish().encode();
            (reading, bytes)
        });
        drafted
            .await
            .map_err(|e| StoreError::caused(ErrorKind::Unavailable, "making a chunk of the ledger", e))
    }

    /// Tells the log, and this node's proof, up to when the ledger has it.
    async fn note(&self, partition: u16, edge: UnixMs) -> StoreResult<()> {
        self.log.note_committed(partition, edge).await?;
        self.proofs.note_committed(partition, edge);
        Ok(())
    }

    fn count(
        &self,
        partition: u16,
        chunk: &Chunk,
        stored: &Stored,
        was_first: bool,
        open: usize,
        started_ms: u64,
    ) {
        let (bytes, took_ms) = (stored.bytes.len(), mono_ms().saturating_sub(started_ms));
        self.metrics.commits.inc();
        self.metrics.commit_bytes.inc_by(bytes as u64);
        self.metrics.committed.set(chunk.window.to.0 as f64 / 1000.0);
        let keyframe = chunk.is_keyframe();
        tracing::info!(partition, window = %chunk.window.from, bytes, open, keyframe, was_first, took_ms, "committed");
    }
}

#[async_trait]
impl Tick for Commit {
    const NAME: &'static str = "commit";

    fn period(&self) -> Duration {
        Duration::from_millis((self.window_ms / 60).clamp(50, 5_000))
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        // Not while this node misses something: another one may not.
        if !self.hub.knows_all() || self.hub.is_silent() {
            return Ok(Progress::Done);
        }
        let now = self.hub.now();
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.proofs.partitions() {
            if !self.is_my_turn(partition, now) {
                continue;
            }
            // One that fails must not keep the others waiting.
            match self.step(partition, now).await {
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
