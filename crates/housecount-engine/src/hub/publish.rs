//! Publishes counts as plain keys beside the log, for programs that expect them there
//! (`publish_counts`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::error::StoreResult;
use housecount_backend::log::Log;
use housecount_backend::tasks::{PeriodicTask, Progress};

use crate::hub::Hub;

/// Task that publishes counts as plain keys beside the log.
#[derive(Debug)]
pub struct PublishCounts {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    /// Counts that were published last, by stage.
    published: BTreeMap<String, u64>,
    /// Rounds until everything is published again, since keys expire, and a Redis may have lost
    /// them.
    rounds_left: u32,
}

/// Number of rounds after which everything is published again: three times before a key expires.
const ROUNDS: u32 = 20;

impl PublishCounts {
    /// Creates the task.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, hub: Arc<Hub>) -> PublishCounts {
        PublishCounts { log, hub, published: BTreeMap::new(), rounds_left: ROUNDS }
    }
}

#[async_trait]
impl PeriodicTask for PublishCounts {
    const NAME: &'static str = "publish";

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Publishes the counts that have changed. A failed change stays pending, and is published
    /// later.
    async fn tick(&mut self) -> StoreResult<Progress> {
        self.rounds_left -= 1;
        if self.rounds_left == 0 {
            self.rounds_left = ROUNDS;
            self.published.values_mut().for_each(|viewers| *viewers = u64::MAX);
        }
        let views = self.hub.stages().await.value;
        let now: BTreeMap<String, u64> =
            views.into_iter().map(|view| (view.stage, view.count.viewers)).collect();
        let is_new =
            |(stage, viewers): &(&String, &u64)| self.published.get(*stage) != Some(*viewers);
        let changed = now.iter().filter(is_new).map(|(stage, viewers)| (stage.clone(), *viewers));
        let gone =
            self.published.keys().filter(|stage| !now.contains_key(*stage)).map(|s| (s.clone(), 0));
        let changes: Vec<_> = changed.chain(gone).collect();
        self.log.publish_counts(&changes).await?;
        self.published = now;
        Ok(Progress::Done)
    }
}
