//! Samples this node's counts once per second.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::clock::SharedClock;
use housecount_backend::error::StoreResult;
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_engine::internals::Hub;
use parking_lot::Mutex;

use crate::event::BudgetExcess;
use crate::sample::SampleBuffer;

/// Interval of samples, so the time to which events are known.
const PERIOD: Duration = Duration::from_secs(1);

/// Source of the excess of this node's budget; `None` while it is kept.
pub type BudgetProbe = Arc<dyn Fn() -> Option<BudgetExcess> + Send + Sync>;

/// Task that samples the counts.
pub struct CountSampler {
    /// Source of the counts.
    pub hub: Arc<Hub>,
    /// The log's clock.
    pub clock: Arc<SharedClock>,
    /// Source of the budget's excess.
    pub budget: BudgetProbe,
    /// Samples of this node.
    pub buffer: Arc<Mutex<SampleBuffer>>,
}

#[async_trait]
impl PeriodicTask for CountSampler {
    const NAME: &'static str = "event samples";

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        let answer = self.hub.roster().await;
        let status = answer.status;
        if status.complete {
            let budget = (self.budget)();
            let roster = answer.value;
            let counts = roster.stages.into_iter().map(|view| (view.stage.into(), view.count));
            self.buffer.lock().push(status.as_of, counts, roster.total, budget);
        } else {
            let now = self.clock.now().unwrap_or(status.as_of);
            self.buffer.lock().push_loss(now, status.recovering);
        }
        Ok(Progress::Done)
    }
}
