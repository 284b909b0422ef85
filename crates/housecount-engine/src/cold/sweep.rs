//! Deletes expired items where the store doesn't do it by itself: the embedded one.
//!
//! The store finds them by the index of their TTL, so this task need not know which items expire.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_backend::tasks::{PeriodicTask, Progress};

use crate::hub::Hub;

/// Task that sweeps the cold tier, by the log's clock.
#[derive(Debug)]
pub struct Sweep {
    cold: Arc<dyn Cold>,
    hub: Arc<Hub>,
}

impl Sweep {
    /// Creates the task.
    #[must_use]
    pub fn new(cold: Arc<dyn Cold>, hub: Arc<Hub>) -> Sweep {
        Sweep { cold, hub }
    }
}

#[async_trait]
impl PeriodicTask for Sweep {
    const NAME: &'static str = "sweep";

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Sweeps one step. Readers skip expired items, so a failed step may be repeated later.
    async fn tick(&mut self) -> StoreResult<Progress> {
        Ok(if self.cold.sweep(self.hub.now()).await? { Progress::More } else { Progress::Done })
    }
}
