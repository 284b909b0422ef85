//! Refreshes the subscribers' counts several times per second. A stage gets one message per second
//! at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::clock::mono_ms;
use housecount_backend::error::StoreResult;
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_metrics::Metrics;

use crate::live::Live;

/// Greatest delay of a change's message, if the stage's last message is old enough.
const PERIOD: Duration = Duration::from_millis(100);

/// Task that refreshes the subscribers' counts.
#[derive(Debug)]
pub struct LiveRefresh {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
}

impl LiveRefresh {
    /// Creates the task.
    #[must_use]
    pub fn new(live: Arc<Live>, metrics: Arc<Metrics>) -> LiveRefresh {
        LiveRefresh { live, metrics }
    }
}

#[async_trait]
impl PeriodicTask for LiveRefresh {
    const NAME: &'static str = "show";

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        self.live.refresh(mono_ms()).await;
        self.metrics.subscribers.set(self.live.subscribers() as i64);
        Ok(Progress::Done)
    }
}
