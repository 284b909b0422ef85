//! What a node does by itself, beside following the log: one task a file, one runner for those that
//! tick.

pub mod archive;
pub mod commit;
pub mod cost;
pub mod lease;
pub mod live_refresh;
pub mod log_maintenance;
pub mod publish;
pub mod restore;
pub mod snapshot;
pub mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::mono_ms;
use crate::error::StoreResult;
use crate::rng;
use crate::streak::{Change, FailureStreak};

/// For how long no tick must have failed until a task is said to work again: most ticks find
/// nothing to do.
const CALM_MS: u64 = 60_000;

/// Whether a tick has done all there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing more until the next tick.
    Done,
    /// There is more: call again at once.
    More,
}

/// Something that is done every now and then.
#[async_trait]
pub trait PeriodicTask: Send {
    /// For the log.
    const NAME: &'static str;

    /// How often.
    fn period(&self) -> Duration;

    /// Does some of it.
    async fn tick(&mut self) -> StoreResult<Progress>;

    /// Does what is left to do when the node stops.
    async fn on_shutdown(&mut self) -> StoreResult<()> {
        Ok(())
    }
}

/// Ticks at once and then every period, a tenth of it earlier or later so that nodes don't march in
/// step, until `stop`. Ticks that fail are logged once, and come again with the next period.
pub async fn run_every<T: PeriodicTask>(mut task: T, mut stop: watch::Receiver<bool>) {
    let mut streak = FailureStreak::default();
    loop {
        loop {
            match task.tick().await {
                Ok(Progress::More) if !*stop.borrow() => {}
                Ok(_) => {
                    if let Change::Ends { failures, .. } = streak.worked(mono_ms(), CALM_MS) {
                        tracing::info!(task = T::NAME, failures, "the task works again");
                    }
                    break;
                }
                Err(error) => {
                    // Once an outage is enough.
                    if streak.failed(mono_ms()) == Change::Begins {
                        tracing::warn!(task = T::NAME, %error, "a task failed; it will be tried again");
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
        tracing::warn!(task = T::NAME, %error, "a task could not finish its work");
    }
}
