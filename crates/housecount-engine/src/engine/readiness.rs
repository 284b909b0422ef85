//! Whether a node may receive traffic, and what a starting one waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::follower::progress::{ReadProgress, StartStep};

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
    /// Whether the start is over.
    has_finished: watch::Sender<bool>,
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
            has_finished: watch::channel(false).0,
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
        self.has_finished.send_replace(true);
    }

    /// Waits until the start is over.
    pub async fn finished(&self) {
        // The sender is in this value, so the wait can't fail.
        let _ = self.has_finished.subscribe().wait_for(|has| *has).await;
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
