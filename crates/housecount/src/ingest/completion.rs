//! A round: what the requests of one batch on one worker wait on, and are told by, all at once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use housecount_core::limits::ACK_TIMEOUT_MS;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::IngestError;

/// Completion of a batch, awaited by its requests on one worker.
#[derive(Debug)]
pub(super) struct BatchCompletion {
    since: Instant,
    outcome: OnceLock<Result<(), IngestError>>,
    notify: Notify,
}

impl BatchCompletion {
    pub(super) fn new() -> Arc<BatchCompletion> {
        Arc::new(BatchCompletion {
            since: Instant::now(),
            outcome: OnceLock::new(),
            notify: Notify::new(),
        })
    }

    /// The first word is what counts.
    pub(super) fn complete(&self, outcome: Result<(), IngestError>) {
        let _ = self.outcome.set(outcome);
        self.notify.notify_waiters();
    }

    /// Waits until the log has the batch, or nobody waits for it any longer.
    pub(super) async fn wait(&self) -> Result<(), IngestError> {
        loop {
            // Made before asking, so that no word is missed in between.
            let notified = self.notify.notified();
            if let Some(outcome) = self.outcome.get() {
                return *outcome;
            }
            notified.await;
        }
    }

    /// Whether a word was said.
    pub(super) fn is_complete(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Whether nobody is to wait any longer.
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= Duration::from_millis(ACK_TIMEOUT_MS)
    }
}
