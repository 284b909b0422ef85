//! Outages of the log, and how long time is held back afterwards.

use housecount_backend::clock::mono_ms;
use housecount_core::limits::{LOG_STALE_MS, RECORD_EVENTS_MAX};

/// Bounds of the time that is held back after an outage, so that all nodes can append what they
/// hold.
///
/// Time is held back for at least the first, or for a tenth of the outage if that is longer. It is
/// also held back until this node's own backlog is nearly gone, but never for longer than the
/// second.
const SETTLE_MS: u64 = 2_000;
const SETTLE_MS_MAX: u64 = 60_000;

/// Outage of the log: its beginning, and the time until which the clock is held back.
#[derive(Debug, Default)]
pub(super) struct ReadOutage {
    since_ms: Option<u64>,
    /// When time may continue: at the earliest, and at the latest.
    settled_ms: (u64, u64),
}

impl ReadOutage {
    /// Records a failure. Returns true for the first one.
    pub(super) fn begin(&mut self) -> bool {
        let is_first = self.since_ms.is_none();
        self.since_ms.get_or_insert_with(mono_ms);
        is_first
    }

    /// Records a success. Returns the length of the outage, if it was long enough for players to
    /// have been refused.
    pub(super) fn end(&mut self) -> Option<u64> {
        let away_ms = mono_ms().saturating_sub(self.since_ms.take()?);
        if away_ms < LOG_STALE_MS {
            return None;
        }
        let now_ms = mono_ms();
        let least_ms = (away_ms / 10).clamp(SETTLE_MS, SETTLE_MS_MAX);
        self.settled_ms = (now_ms + least_ms, now_ms + SETTLE_MS_MAX);
        Some(away_ms)
    }

    pub(super) fn is_settling(&self, waiting_events: i64) -> bool {
        let (earliest_ms, latest_ms) = self.settled_ms;
        let has_backlog = waiting_events > RECORD_EVENTS_MAX as i64;
        mono_ms() < if has_backlog { latest_ms } else { earliest_ms }
    }
}
