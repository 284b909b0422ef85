//! Tasks that a node runs beside following the log: one per file, and one runner for periodic
//! tasks.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::mono_ms;
use crate::error::StoreResult;
use crate::retry::streak::{Change, FailureStreak};
use crate::rng;

/// Time without a failed tick after which a task counts as working again. Most ticks find nothing
/// to do.
const CALM_MS: u64 = 60_000;

/// Whether a tick has done all its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No more work until the next tick.
    Done,
    /// More work is left, so call again without a wait.
    More,
}

/// A task that runs periodically.
#[async_trait]
pub trait PeriodicTask: Send {
    /// Name of the task, for log lines.
    const NAME: &'static str;

    /// Interval between two ticks.
    fn period(&self) -> Duration;

    /// Does some of the work.
    async fn tick(&mut self) -> StoreResult<Progress>;

    /// Does the work that is left when the node stops.
    async fn on_shutdown(&mut self) -> StoreResult<()> {
        Ok(())
    }
}

/// Runs a task immediately and then every period, until `stop`.
///
/// Each wait is up to a tenth shorter or longer, so that nodes don't run in step. Failed ticks are
/// logged once per outage, and the next period retries.
pub async fn run_every<T: PeriodicTask>(mut task: T, mut stop: watch::Receiver<bool>) {
    let mut streak = FailureStreak::default();
    loop {
        loop {
            match task.tick().await {
                Ok(Progress::More) if !*stop.borrow() => {}
                Ok(_) => {
                    if let Change::Ends { failures, .. } = streak.worked(mono_ms(), CALM_MS) {
                        tracing::info!(task = T::NAME, failures, "task succeeds again");
                    }
                    break;
                }
                Err(error) => {
                    // One line per outage is enough.
                    if streak.failed(mono_ms()) == Change::Begins {
                        tracing::warn!(task = T::NAME, %error, "task failed; will retry");
                    }
                    break;
                }
            }
        }
        let wait = task.period().mul_f64(rng::random_range(0.9..1.1));
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep(wait) => {}
        }
    }
    if let Err(error) = task.on_shutdown().await {
        tracing::warn!(task = T::NAME, %error, "task could not finish its work before the stop");
    }
}
