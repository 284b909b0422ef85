//! A node: the state that requests and tasks share. The module `app` builds, starts and stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::admission::AdmissionControl;
use crate::auth::Auth;
use crate::clock::SharedClock;
use crate::cold::Cold;
use crate::config::Settings;
use crate::cost::CostTracker;
use crate::follower::progress::{ReadProgress, StartStep};
use crate::hub::Hub;
use crate::ingest::{Ingest, PendingAck};
use crate::ledger::{Proofs, Scans};
use crate::live::Live;
use crate::metrics::{GaugeValues, Metrics};
use crate::snapshots::service::SnapshotService;
use crate::stages::StageStore;

/// State that a request needs.
#[derive(Debug)]
pub struct Node {
    /// Settings that the node was started with.
    pub settings: Settings,
    /// Authentication of viewers and operators.
    pub auth: Auth,
    /// The log's clock.
    pub clock: Arc<SharedClock>,
    /// Presence and counts.
    pub hub: Arc<Hub>,
    /// Subscriptions of live counts.
    pub live: Arc<Live>,
    /// Admission of events, before they reach the log.
    pub admission: Arc<AdmissionControl>,
    /// Entry of events into the log.
    pub ingest: Ingest,
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
    /// Reads of the ledger for callers of the API.
    pub scans: Scans,
    /// Readiness of the node.
    pub readiness: Readiness,
    /// Metrics of the node.
    pub metrics: Arc<Metrics>,
    /// Cost of the node's calls.
    pub costs: Arc<CostTracker>,
}

impl Node {
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
        ((ack.gap_ms() as f64 * stretch) as u64).clamp(1, max_ms.max(1))
    }
}

/// Progress of a start, for `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartProgress {
    /// Current step.
    pub step: StartStep,
    /// Completed share of the step, where it is known.
    pub percent: Option<u8>,
}

/// State for which a node that is not ready waits, for `/readyz`.
#[derive(Debug)]
pub struct Readiness {
    /// Current step of the start; `None` once the start is over.
    start: Mutex<Option<Start>>,
    read: Arc<ReadProgress>,
    partitions: u16,
    /// Set when the node stops; it is then never ready again.
    is_stopping: AtomicBool,
}

/// State of a start.
#[derive(Debug)]
struct Start {
    step: StartStep,
    /// Reason why the step does not advance, and its progress at that time.
    hindrance: Option<(String, Option<u8>)>,
}

impl Readiness {
    /// The readiness of a starting node. `read` has the share of the log's partitions that is read.
    #[must_use]
    pub fn new(read: Arc<ReadProgress>, partitions: u16) -> Readiness {
        let start = Start { step: StartStep::Starting, hindrance: None };
        Readiness {
            start: Mutex::new(Some(start)),
            read,
            partitions,
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Reason why the node is not ready; `None` once it is.
    pub fn not_ready_reason(&self) -> Option<String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Some("stopping".to_string());
        }
        let start = self.start.lock();
        let Start { step, hindrance } = start.as_ref()?;
        let percent = self.percent(*step);
        Some(match (hindrance, percent) {
            // The reason is outdated once the step has advanced.
            (Some((why, before)), percent) if *before == percent => why.clone(),
            (_, Some(percent)) => format!("{step}: {percent} %"),
            (_, None) => step.to_string(),
        })
    }

    /// Progress of the start; `None` once it is over.
    pub fn start(&self) -> Option<StartProgress> {
        let step = self.start.lock().as_ref()?.step;
        Some(StartProgress { step, percent: self.percent(step) })
    }

    fn percent(&self, step: StartStep) -> Option<u8> {
        (step == StartStep::ReadingLog).then(|| self.read.percent(self.partitions))
    }

    /// Records that the node stops, at any step.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Records that the start reaches a step.
    pub fn begin(&self, step: StartStep) {
        *self.start.lock() = Some(Start { step, hindrance: None });
    }

    /// Records why the step does not advance.
    pub fn hinder(&self, why: String) {
        if let Some(start) = &mut *self.start.lock() {
            start.hindrance = Some((why, self.percent(start.step)));
        }
    }

    /// Records that the start is over.
    pub fn finish(&self) {
        *self.start.lock() = None;
        self.read.finish();
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    #[test]
    fn a_start_says_what_it_does_and_what_hinders_it() {
        let read = Arc::new(ReadProgress::default());
        let readiness = Readiness::new(read.clone(), 1);
        let says = || readiness.not_ready_reason().unwrap();
        assert_eq!(says(), "starting");
        readiness.hinder("waiting for the cold tier: away".to_string());
        assert_eq!(says(), "waiting for the cold tier: away");
        readiness.begin(StartStep::ReadingLog);
        assert_eq!(says(), "reading the log: 0 %");
        readiness.hinder("waiting for the log: away".to_string());
        assert_eq!(says(), "waiting for the log: away");
        let at = |s: u64| UnixMs(1_790_000_000_000 + s * 1_000);
        read.record(0, Some((at(0), at(43))), at(100), false);
        assert_eq!(says(), "reading the log: 43 %", "a step that advances hides the old hindrance");
        assert_eq!(readiness.start().map(|start| start.percent), Some(Some(43)));
        readiness.begin(StartStep::ReadingRoster);
        assert_eq!(says(), "reading the roster of the last snapshot");
        readiness.finish();
        assert_eq!((readiness.not_ready_reason(), readiness.start()), (None, None));
        readiness.stop();
        assert_eq!(says(), "stopping");
    }
}
