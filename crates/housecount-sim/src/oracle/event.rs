//! What was said, and what became of it.

use housecount_core::event::EventKind;
use housecount_core::time::UnixMs;

/// Something that was said.
#[derive(Clone, Debug)]
pub struct OracleEvent {
    /// About which seat.
    pub seat: usize,
    /// Heartbeat or leave.
    pub kind: EventKind,
    /// Its stamp.
    pub at: UnixMs,
    /// The run that took it.
    pub(super) run: usize,
    /// Whether that run knows that the log has it.
    pub(super) is_acknowledged: bool,
    /// When a player was first told that it was taken, by any run.
    pub(super) acknowledged_ms: Option<u64>,
    /// Whether the log ever had it, readable or not.
    pub(super) is_logged: bool,
    /// When the log first had it so that anybody could read it.
    pub applied_ms: Option<u64>,
    /// Since when the log has it, as far as it has not lost it since.
    pub(super) in_log_ms: Option<u64>,
    /// Since when it is gone for good.
    pub(super) lost_ms: Option<u64>,
}

impl OracleEvent {
    /// Whether the log ever had it, readable or not.
    #[must_use]
    pub fn was_logged(&self) -> bool {
        self.is_logged
    }

    /// When the log first had it, unless it was lost for good.
    #[must_use]
    pub fn kept_since_ms(&self) -> Option<u64> {
        self.applied_ms.filter(|_| self.lost_ms.is_none())
    }

    /// Whether it must be credited in the end.
    pub(super) fn is_kept(&self) -> bool {
        self.applied_ms.is_some() && self.lost_ms.is_none()
    }
}
