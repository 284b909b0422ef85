//! Tends the log: forgets what nobody needs any more, and notes that a node is there to listen.

use std::sync::Arc;
use std::time::Duration;

use super::Progress;
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::error::StoreResult;
use crate::log::Log;

/// How often, at most: the note is compared with `interval`, so it must be a fraction of it.
#[must_use]
pub fn period(settings: &Settings) -> Duration {
    Duration::from_millis((settings.interval_ms / 6).clamp(50, 5_000))
}

/// One round over all partitions.
///
/// # Errors
/// The log's.
pub async fn tick(log: &Arc<dyn Log>, clock: &SharedClock, settings: &Settings) -> StoreResult<Progress> {
    if let Some(now) = clock.now() {
        for partition in 0..log.partitions() {
            log.tend(partition, now.minus(settings.log_kept_ms())).await?;
        }
    }
    Ok(Progress::Done)
}
