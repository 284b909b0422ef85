//! A round: what the requests of one batch on one worker wait on, and are told by, all at once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use housecount_core::limits::ACK_TIMEOUT_MS;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Refused;

/// Completion of a batch, awaited by its requests on one worker.
#[derive(Debug)]
pub(super) struct Round {
    since: Instant,
    outcome: OnceLock<Result<(), Refused>>,
    told: Notify,
}

impl Round {
    pub(super) fn begin() -> Arc<Round> {
        Arc::new(Round { since: Instant::now(), outcome: OnceLock::new(), told: Notify::new() })
    }

    /// The first word is what counts.
    pub(super) fn tell(&self, outcome: Result<(), Refused>) {
        let _ = self.outcome.set(outcome);
        self.told.notify_waiters();
    }

    /// Waits until the log has the batch, or nobody waits for it any longer.
    pub(super) async fn taken(&self) -> Result<(), Refused> {
        loop {
            // Made before asking, so that no word is missed in between.
            let told = self.told.notified();
            if let Some(outcome) = self.outcome.get() {
                return *outcome;
            }
            told.await;
        }
    }

    /// Whether a word was said.
    pub(super) fn is_told(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Whether nobody is to wait any longer.
    pub(super) fn is_overdue(&self) -> bool {
        self.since.elapsed() >= Duration::from_millis(ACK_TIMEOUT_MS)
    }
}
