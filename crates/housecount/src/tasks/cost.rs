//! Reads the meters once a minute, and once an hour how much lies in the cold tier.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Progress, Tick};
use crate::clock::mono_ms;
use crate::cost::Costs;
use crate::error::StoreResult;

const MINUTE: Duration = Duration::from_secs(60);
/// DynamoDB counts a table's bytes every six hours.
const MINUTES_A_LOOK: u64 = 60;

/// Task that reads the meters every minute, and the stored size every hour.
#[derive(Debug)]
pub struct Cost {
    costs: Arc<Costs>,
    minutes: u64,
}

impl Cost {
    /// The task.
    #[must_use]
    pub fn new(costs: Arc<Costs>) -> Cost {
        Cost { costs, minutes: 0 }
    }
}

#[async_trait]
impl Tick for Cost {
    const NAME: &'static str = "cost";

    fn period(&self) -> Duration {
        MINUTE
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        if self.minutes.is_multiple_of(MINUTES_A_LOOK) {
            self.costs.look_at_storage().await;
        }
        self.minutes += 1;
        self.costs.minute(mono_ms());
        Ok(Progress::Done)
    }
}
