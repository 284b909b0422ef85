//! A node: everything that requests and tasks share. It is put together, started and stopped in `app`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::auth::Auth;
use crate::clock::SharedClock;
use crate::cold::Cold;
use crate::config::Settings;
use crate::cost::Costs;
use crate::edge::Edge;
use crate::hub::Hub;
use crate::ingest::{Ingest, Receipt};
use crate::ledger::Proofs;
use crate::live::Live;
use crate::metrics::{LiveFigures, Metrics};
use crate::stages::Stages;
use crate::tasks::snapshot::Snapshots;

/// Everything a request needs.
#[derive(Debug)]
pub struct Node {
    /// The settings it was started with.
    pub settings: Settings,
    /// Who may do what.
    pub auth: Auth,
    /// The log's clock.
    pub clock: Arc<SharedClock>,
    /// Who is online.
    pub hub: Arc<Hub>,
    /// What subscribers of counts are told.
    pub live: Arc<Live>,
    /// What is decided before the log hears of it.
    pub edge: Arc<Edge>,
    /// The way into the log.
    pub ingest: Ingest,
    /// The cold tier, unless there is none.
    pub cold: Option<Arc<dyn Cold>>,
    /// The same, for what callers of the API read.
    pub reads: Option<Arc<dyn Cold>>,
    /// What has been proven since the ledger's last window; none where nothing is kept for good.
    pub proofs: Option<Arc<Proofs>>,
    /// Stages' configuration and snapshots.
    pub stages: Stages,
    /// The snapshot service, unless there is no cold tier.
    pub snapshots: Option<Arc<Snapshots>>,
    /// Scans of the ledger that may begin.
    pub scans: Semaphore,
    /// What it waits for.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What it costs.
    pub costs: Arc<Costs>,
}

impl Node {
    /// Why it is not to be sent traffic; `None` while it is ready.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        let stalled = || self.hub.writes().stall().map(|stall| format!("waiting for the log: {stall}"));
        let silence = || {
            let why = "waiting for the log: it is not heard, or nodes append what they held meanwhile";
            self.hub.is_silent().then(|| why.to_string())
        };
        self.readiness.waits_for().or_else(stalled).or_else(silence)
    }

    /// The figures of `/metrics`.
    #[must_use]
    pub fn figures(&self) -> LiveFigures {
        let live = self.hub.figures();
        let now = self.clock.now().unwrap_or_default();
        LiveFigures {
            fold_lag_ms: now.0.saturating_sub(live.as_of_ms),
            ready: self.waits_for().is_none(),
            ..live
        }
    }

    /// When a player is to beat next: as its last beat says (see `housecount_core::pace`), stretched under load, and never above
    /// a third of the ttl.
    #[must_use]
    pub fn next_ms(&self, receipt: &Receipt) -> u64 {
        let max_ms = self.settings.rules.ttl_ms / 3;
        // Nothing up to half full, twice as long when full.
        let stretch = 1.0 + (self.ingest.load() * 2.0 - 1.0).clamp(0.0, 1.0);
        ((receipt.gap_ms() as f64 * stretch) as u64).clamp(1, max_ms.max(1))
    }
}

/// What a node that isn't ready waits for, for `/readyz`.
#[derive(Debug)]
pub struct Readiness {
    waits_for: Mutex<Option<String>>,
    /// Then it is never ready again.
    is_stopping: AtomicBool,
}

impl Default for Readiness {
    fn default() -> Readiness {
        let waits_for = Mutex::new(Some("starting".to_string()));
        Readiness { waits_for, is_stopping: AtomicBool::new(false) }
    }
}

impl Readiness {
    /// What is waited for; `None` once the node is ready.
    pub fn waits_for(&self) -> Option<String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Some("stopping".to_string());
        }
        self.waits_for.lock().clone()
    }

    /// The node stops, whatever it may still come to.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Sets what is waited for.
    pub fn set(&self, waits_for: Option<String>) {
        *self.waits_for.lock() = waits_for;
    }
}
