//! Tends the log: forgets what nobody needs any more, and notes that a node is there to listen.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Progress, Tick};
use crate::clock::SharedClock;
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::log::Log;

/// See the module's text.
#[derive(Debug)]
pub struct Tend {
    /// The log to tend.
    pub log: Arc<dyn Log>,
    /// Its clock.
    pub clock: Arc<SharedClock>,
    /// Who is online.
    pub hub: Arc<Hub>,
    /// How much of it is kept.
    pub kept_ms: u64,
    /// The setting: the note is compared with it, so it must be made several times as often.
    pub interval_ms: u64,
}

#[async_trait]
impl Tick for Tend {
    const NAME: &'static str = "tend";

    fn period(&self) -> Duration {
        Duration::from_millis((self.interval_ms / 6).clamp(50, 5_000))
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        let Some(now) = self.clock.now() else { return Ok(Progress::Done) };
        // Trimming is harmless. The note says that nothing is missing: not while this node misses something, nor while
        // some of the log is away, nor before all nodes have appended what they held meanwhile.
        let attended = self.hub.knows_all() && !self.hub.is_silent();
        let mut outcome = Ok(Progress::Done);
        for partition in 0..self.log.partitions() {
            // One that fails must not keep the others from being trimmed.
            if let Err(error) = self.log.tend(partition, now.minus(self.kept_ms), attended).await {
                outcome = Err(error);
            }
        }
        outcome
    }
}
