//! The snapshot service: writes every active stage's count to the cold tier.
//!
//! It runs once at start and then every `snapshot_interval`, aligned, on one node at a time. The
//! cost guard may make it less frequent (`cost.guard`).
//!
//! The counts are captured once and then written until they are stored, so that a retry writes the
//! same data. The stages' snapshots come first, then the roster that names them. So a roster that
//! exists is complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::cold::lease;
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::retry::backoff::Backoff;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::Key;
use housecount_core::roster::Roster;
use housecount_core::snapshot::{Snapshot, expiry_s};
use housecount_core::time::UnixMs;
use housecount_metrics::Metrics;
use tokio::sync::{Mutex, watch};
use tracing::Instrument;

use super::{SnapshotSettings, SnapshotSpacing, stretched_ms};
use crate::hub::{Hub, WithStatus};
use crate::snapshots::roster::{RECOVERING, last_taken};
use crate::traced::TARGET;

/// Name of the lease.
const LEASE: &str = "snapshot";
/// Waits before a failed snapshot is retried: the first and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Wait while another node has the lease, before checking whether it has done the work.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// Greatest delay of counts after the requested slot. Later counts are stored under their own time.
const SLOT_MISSED_MS: u64 = 2_000;
/// Wait between two checks whether this node's counts have reached the requested slot.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Outcome of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// The snapshot was written.
    Saved(SavedSnapshot),
    /// No stage has viewers.
    NothingActive,
    /// Another node has written it.
    DoneElsewhere,
    /// Another node is writing it.
    BusyElsewhere,
}

/// A snapshot that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// Time of the snapshot.
    pub at: UnixMs,
    /// Number of stages that were saved.
    pub stages: u64,
    /// Number of viewers in it.
    pub viewers: u64,
    /// Time that writing took, in ms.
    pub took_ms: u64,
}

/// Captured counts, which every retry writes.
struct CapturedCounts {
    at: UnixMs,
    answer: WithStatus<Roster>,
}

/// Task that writes every active stage's count to the cold tier.
#[derive(Debug)]
pub struct SnapshotService {
    hub: Arc<Hub>,
    cold: Arc<dyn Cold>,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    node: String,
    interval_ms: u64,
    /// Current factor by which snapshots are further apart.
    stretch: Arc<SnapshotSpacing>,
    retention_ms: u64,
    /// Whether the last roster written here was empty; `None` at first. The lock allows one
    /// snapshot at a time.
    last_was_empty: Mutex<Option<bool>>,
    /// Whether the last snapshot that was due failed.
    is_failing: AtomicBool,
}

impl SnapshotService {
    /// Creates the service. `node` is for operators who look at the lease.
    #[must_use]
    #[allow(clippy::too_many_arguments)] // the stores and services that it shares
    pub fn new(
        hub: Arc<Hub>,
        cold: Arc<dyn Cold>,
        clock: Arc<SharedClock>,
        metrics: Arc<Metrics>,
        node: String,
        settings: SnapshotSettings,
        stretch: Arc<SnapshotSpacing>,
    ) -> SnapshotService {
        SnapshotService {
            hub,
            cold,
            clock,
            metrics,
            node,
            interval_ms: settings.interval_ms,
            stretch,
            retention_ms: settings.retention_ms,
            last_was_empty: Mutex::new(None),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Runs until `stop`: once at start, then at every multiple of the interval.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let work = async {
            self.save_with_retry(None).await;
            loop {
                let slot = self.next_slot();
                self.wait_for(slot).await;
                self.save_with_retry(Some(slot)).await;
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = work => {}
        }
    }

    /// Takes one snapshot by hand, of the current counts.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Unavailable` if the counts are not known.
    pub async fn once(&self) -> StoreResult<SnapshotOutcome> {
        self.take(None, &mut None).await
    }

    fn now(&self) -> UnixMs {
        self.clock.now().unwrap_or_default()
    }

    fn next_slot(&self) -> UnixMs {
        self.slot_after(self.now())
    }

    /// Returns the next slot after `at`.
    ///
    /// Stretched slots are a subset of the normal ones. So nodes of which only some stretch don't
    /// take two snapshots for one slot.
    fn slot_after(&self, at: UnixMs) -> UnixMs {
        let interval_ms = stretched_ms(self.interval_ms, self.stretch.get());
        at.aligned(interval_ms).plus(interval_ms)
    }

    /// Waits until this node's counts have reached `slot`. While the log is unavailable, time
    /// stands still, and the wait continues.
    async fn wait_for(&self, slot: UnixMs) {
        tokio::time::sleep(Duration::from_millis(slot.since(self.now()))).await;
        while self.hub.totals().status.as_of < slot {
            tokio::time::sleep(CATCH_UP).await;
        }
    }

    /// Retries until the snapshot is stored, or until the next one is due.
    async fn save_with_retry(&self, slot: Option<UnixMs>) {
        let due = self.slot_after(slot.unwrap_or_else(|| self.now()));
        let (mut backoff, mut captured) = (Backoff::new(RETRY_FIRST, RETRY_MAX), None);
        while self.now() < due {
            match self.take(slot, &mut captured).await {
                Ok(SnapshotOutcome::BusyElsewhere) => tokio::time::sleep(ELSEWHERE).await,
                Ok(_) => {
                    if self.is_failing.swap(false, Ordering::Relaxed) {
                        tracing::info!("snapshots succeed again");
                    }
                    return;
                }
                Err(error) => {
                    self.metrics.snapshot_failures.inc();
                    // One line per outage is enough.
                    if !self.is_failing.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "snapshot failed; will retry");
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    /// Makes one attempt: at `slot` unless another node has done it, or now without a slot.
    async fn take(
        &self,
        slot: Option<UnixMs>,
        captured: &mut Option<CapturedCounts>,
    ) -> StoreResult<SnapshotOutcome> {
        let mut last_was_empty = self.last_was_empty.lock().await;
        let started_ms = mono_ms();
        let CapturedCounts { at, answer } = match captured {
            Some(captured) => captured,
            None => captured.insert(self.capture(slot).await?),
        };
        if !lease::acquire(&*self.cold, LEASE, &self.node, self.now(), lease::LEASE_MS).await? {
            return Ok(SnapshotOutcome::BusyElsewhere);
        }
        let span = tracing::debug_span!(target: TARGET, "snapshot", stages = answer.value.stages.len() as i64);
        let write = self.write(slot, *at, answer, &mut last_was_empty, started_ms);
        let outcome = write.instrument(span).await;
        // The lease is released in any case. If that fails, the lease expires.
        let _ = lease::release(&*self.cold, LEASE, &self.node, self.now()).await;
        outcome
    }

    async fn capture(&self, slot: Option<UnixMs>) -> StoreResult<CapturedCounts> {
        let answer = self.hub.roster().await;
        if !answer.status.complete && !answer.status.recovering {
            return Err(StoreError::new(ErrorKind::Unavailable, "the counts are incomplete"));
        }
        let as_of = answer.status.as_of;
        // Time may have stood still past the slot. The counts of now are then not the counts of the
        // slot.
        let is_of = |slot: &UnixMs| as_of.since(*slot) <= SLOT_MISSED_MS;
        Ok(CapturedCounts { at: slot.filter(is_of).unwrap_or(as_of), answer })
    }

    async fn write(
        &self,
        slot: Option<UnixMs>,
        at: UnixMs,
        answer: &WithStatus<Roster>,
        last_was_empty: &mut Option<bool>,
        started_ms: u64,
    ) -> StoreResult<SnapshotOutcome> {
        if let Some(slot) = slot
            && last_taken(&*self.cold, self.now()).await?.is_some_and(|taken| taken >= slot)
        {
            // This node doesn't know what the other node wrote.
            *last_was_empty = None;
            return Ok(SnapshotOutcome::DoneElsewhere);
        }
        let (stages, viewers) = (answer.value.stages.len() as u64, answer.value.total.viewers);
        // The first empty roster records that all viewers have left. More would add nothing.
        if stages == 0 && *last_was_empty == Some(true) {
            tracing::debug!("no stage is active; snapshot skipped");
            return Ok(SnapshotOutcome::NothingActive);
        }
        self.cold.put(snapshot_records(answer, at, self.retention_ms)).await?;
        self.cold.put(roster_records(answer, at, self.retention_ms)).await?;
        *last_was_empty = Some(stages == 0);
        self.metrics.snapshots.inc();
        self.metrics.snapshot_last.set(at.0 as f64 / 1000.0);
        self.metrics.snapshot_stages.set(i64::try_from(stages).unwrap_or(i64::MAX));
        if stages == 0 {
            return Ok(SnapshotOutcome::NothingActive);
        }
        let took_ms = mono_ms().saturating_sub(started_ms);
        tracing::info!(stages, viewers, took_ms, "snapshot saved");
        Ok(SnapshotOutcome::Saved(SavedSnapshot { at, stages, viewers, took_ms }))
    }
}

fn snapshot_records(answer: &WithStatus<Roster>, at: UnixMs, retention_ms: u64) -> Vec<KeyedItem> {
    let records = answer.value.stages.iter().map(|view| {
        let snapshot = Snapshot {
            stage: view.stage.clone(),
            at,
            count: view.count,
            peak: view.peak,
            recovering: answer.status.recovering,
        };
        let key = Key::Snapshot { stage: view.stage.clone(), at };
        KeyedItem { key, item: snapshot.to_item(retention_ms) }
    });
    records.collect()
}

fn roster_records(answer: &WithStatus<Roster>, at: UnixMs, retention_ms: u64) -> Vec<KeyedItem> {
    let parts = answer.value.encode();
    let count = parts.len() as u64;
    let record = |(part, packed): (u32, Vec<u8>)| {
        let mut item = Item::from([
            ("roster".to_string(), Attr::B(packed)),
            ("parts".to_string(), Attr::N(count)),
            ("ttl".to_string(), Attr::N(expiry_s(at, retention_ms))),
        ]);
        if answer.status.recovering {
            item.insert(RECOVERING.to_string(), Attr::Bool(true));
        }
        KeyedItem { key: Key::Roster { at, part }, item }
    };
    (0..).zip(parts).map(record).collect()
}
