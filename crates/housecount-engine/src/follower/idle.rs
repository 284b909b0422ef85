//! Wait between two rounds of the follower: short while records come, long while the log is idle.

use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::log::Position;

use super::Follower;

/// Time without events after which the log is idle. It is longer than `leave_grace`, so that a
/// leave takes effect in time. Records without events, by which nodes find out whether the log
/// accepts writes, do not count.
const IDLE_AFTER_MS: u64 = 5_000;
/// Wait of an idle node for a record of any node. Counts are no longer complete without a read for
/// `LOG_STALE_MS`, and this leaves 0.7 s of it for a late read. It makes the number of reads a
/// twenty-sixth of the usual one.
const IDLE_WAIT: Duration = Duration::from_millis(1_250);

impl Follower {
    /// Waits for the next round, and while the log is idle for a record of any node. Returns the
    /// longest time that this should have taken, in ms.
    pub(super) async fn pause(&self, wait: Duration, may_idle: bool) -> u64 {
        tokio::time::sleep(wait).await;
        if !may_idle || mono_ms().saturating_sub(self.last_record_ms) < IDLE_AFTER_MS {
            return wait.as_millis() as u64;
        }
        let after: Vec<Position> = self.places.iter().map(|place| place.after).collect();
        let is_woken = self.log.wait(&after, IDLE_WAIT).await;
        (if is_woken { wait + IDLE_WAIT } else { wait }).as_millis() as u64
    }
}
