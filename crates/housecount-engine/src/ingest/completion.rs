//! Completion of a batch: the requests of one batch on one worker wait on it, and wake together.

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

    /// Completes the batch. Only the first outcome counts.
    pub(super) fn complete(&self, outcome: Result<(), IngestError>) {
        let _ = self.outcome.set(outcome);
        self.notify.notify_waiters();
    }

    /// Waits until the log has the batch, or its requests have waited for too long.
    pub(super) async fn wait(&self) -> Result<(), IngestError> {
        loop {
            // Created before the check, so that no notification is missed in between.
            let notified = self.notify.notified();
            if let Some(outcome) = self.outcome.get() {
                return *outcome;
            }
            notified.await;
        }
    }

    /// Whether the outcome is known.
    pub(super) fn is_complete(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Whether its requests have waited for as long as they may ([`ACK_TIMEOUT_MS`]).
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= Duration::from_millis(ACK_TIMEOUT_MS)
    }
}
