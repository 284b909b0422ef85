//! The engine of a node: presence, counts, the ledger and everything that keeps them.
//!
//! [`EngineState`] is what callers and tasks share. [`EngineRunner`] builds it, starts its tasks
//! and stops them in order. The engine knows neither HTTP nor keys.

mod bootstrap;
mod embedded;
mod failure;
mod readiness;
mod runner;
mod settings;
mod updates;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_backend::clock::SharedClock;
use housecount_backend::cold::Cold;
use housecount_backend::log::Log;
use housecount_metrics::{GaugeValues, Metrics};

pub use self::embedded::{Committed, Engine};
pub use self::failure::EngineError;
pub use self::readiness::{Readiness, StartProgress};
pub use self::runner::{EngineRunner, ExtraTask};
pub use self::settings::Settings;
pub use self::updates::CountUpdates;
use crate::hub::Hub;
use crate::ingest::{Ingest, PendingAck};
use crate::ledger::{Proofs, Scans};
use crate::live::Live;
use crate::snapshots::SnapshotSpacing;
use crate::snapshots::service::SnapshotService;
use crate::stages::StageStore;

/// State that callers and tasks share.
#[derive(Debug)]
pub struct EngineState {
    /// Settings that the engine was started with.
    pub settings: Settings,
    /// The log's clock.
    pub clock: Arc<SharedClock>,
    /// Presence and counts.
    pub hub: Arc<Hub>,
    /// Subscriptions of live counts.
    pub live: Arc<Live>,
    /// Entry of events into the log.
    pub ingest: Ingest,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The cold tier; `None` without one.
    pub cold: Option<Arc<dyn Cold>>,
    /// The same tier, metered for reads of API callers.
    pub reads: Option<Arc<dyn Cold>>,
    /// Proofs since the ledger's last window; `None` without a cold tier.
    pub proofs: Option<Arc<Proofs>>,
    /// Stages' configuration and snapshots.
    pub stages: StageStore,
    /// Snapshot service; `None` without a cold tier.
    pub snapshots: Option<Arc<SnapshotService>>,
    /// Spacing of the snapshots, which a cost guard may widen.
    pub snapshot_spacing: Arc<SnapshotSpacing>,
    /// Least time to a player's next beat.
    pub beat_floor: Arc<BeatFloor>,
    /// Reads of the ledger for callers of the API.
    pub scans: Scans,
    /// Readiness of the node.
    pub readiness: Readiness,
    /// Metrics of the node.
    pub metrics: Arc<Metrics>,
    /// Random key of this run that no client knows. Hash tables of what clients send are keyed by
    /// it.
    pub hash_key: [u8; 32],
}

impl EngineState {
    /// Reason why the node must not receive traffic; `None` while it is ready.
    #[must_use]
    pub fn not_ready_reason(&self) -> Option<String> {
        let stalled =
            || self.hub.writes().stall().map(|stall| format!("waiting for the log: {stall}"));
        let silence = || {
            let why = "waiting for the log: it can't be read, its clock was set back, or nodes are appending \
                       events held during an outage";
            self.hub.is_log_stale().then(|| why.to_string())
        };
        self.readiness.not_ready_reason().or_else(stalled).or_else(silence)
    }

    /// Returns the values for `/metrics`.
    #[must_use]
    pub fn figures(&self) -> GaugeValues {
        let live = self.hub.gauge_values();
        let now = self.clock.now().unwrap_or_default();
        GaugeValues {
            fold_lag_ms: now.0.saturating_sub(live.as_of_ms),
            ready: self.not_ready_reason().is_none(),
            ..live
        }
    }

    /// Time to a player's next beat. The base is the gap of its last beat (see
    /// `housecount_core::beat_schedule`). It is stretched under load, and never above a third of
    /// the ttl.
    #[must_use]
    pub fn next_beat_ms(&self, ack: &PendingAck) -> u64 {
        let max_ms = self.settings.rules.ttl_ms / 3;
        // No stretch up to half full, twice the time when full.
        let stretch = 1.0 + (self.ingest.queue_utilization() * 2.0 - 1.0).clamp(0.0, 1.0);
        let next_ms = (ack.gap_ms() as f64 * stretch) as u64;
        next_ms.max(self.beat_floor.ms()).clamp(1, max_ms.max(1))
    }
}

/// Least time to a player's next beat, which the cost guard sets. 0 for none.
#[derive(Debug, Default)]
pub struct BeatFloor(AtomicU64);

impl BeatFloor {
    /// Sets the time.
    pub fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
