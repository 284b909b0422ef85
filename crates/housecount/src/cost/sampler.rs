//! Reads the meters once per minute, and the size of the cold tier once per hour.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::mono_ms;
use crate::cost::CostTracker;
use crate::error::StoreResult;
use crate::tasks::{PeriodicTask, Progress};

const MINUTE: Duration = Duration::from_secs(60);
/// DynamoDB counts a table's bytes every six hours.
const MINUTES_A_LOOK: u64 = 60;

/// Task that reads the meters every minute, and the stored size every hour.
#[derive(Debug)]
pub struct CostSampler {
    costs: Arc<CostTracker>,
    minutes: u64,
}

impl CostSampler {
    /// Creates the task.
    #[must_use]
    pub fn new(costs: Arc<CostTracker>) -> CostSampler {
        CostSampler { costs, minutes: 0 }
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
