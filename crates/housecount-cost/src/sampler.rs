//! Reads the meters once per minute, and the size of the cold tier once per hour.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::clock::mono_ms;
use housecount_backend::error::StoreResult;
use housecount_backend::tasks::{PeriodicTask, Progress, run_every};
use housecount_engine::internals::EngineRunner;

use crate::{CostSettings, CostTracker};

const MINUTE: Duration = Duration::from_secs(60);
/// DynamoDB counts a table's bytes every six hours.
const MINUTES_A_LOOK: u64 = 60;

/// Task that reads the meters every minute, and the stored size every hour.
#[derive(Debug)]
struct CostSampler {
    costs: Arc<CostTracker>,
    minutes: u64,
}

impl CostTracker {
    /// Starts the count for an engine, which then also runs the task that reads the meters.
    pub fn start(settings: &CostSettings, engine: &mut EngineRunner) -> Arc<CostTracker> {
        let costs = Arc::new(CostTracker::new(settings, &engine.state));
        let sampler = CostSampler { costs: costs.clone(), minutes: 0 };
        engine.add_task(Box::new(|stop| Box::pin(run_every(sampler, stop))));
        costs
    }
}

#[async_trait]
impl PeriodicTask for CostSampler {
    const NAME: &'static str = "cost";

    fn period(&self) -> Duration {
        MINUTE
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        if self.minutes.is_multiple_of(MINUTES_A_LOOK) {
            self.costs.refresh_storage().await;
        }
        self.minutes += 1;
        self.costs.sample(mono_ms());
        Ok(Progress::Done)
    }
}
