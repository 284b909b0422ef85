//! Events of a run, and their fate.

use housecount_core::event::EventKind;
use housecount_core::time::UnixMs;

/// An event that a player sent and a node accepted.
#[derive(Clone, Debug)]
pub struct OracleEvent {
    /// Number of its seat.
    pub seat: usize,
    /// Kind of the event: heartbeat or leave.
    pub kind: EventKind,
    /// Time of its stamp.
    pub at: UnixMs,
    /// The run that accepted the event.
    pub(super) run: usize,
    /// Whether that run knows that the log has the event.
    pub(super) is_acknowledged: bool,
    /// Time at which any run first acknowledged the event to a player.
    pub(super) acknowledged_ms: Option<u64>,
    /// Whether the log ever had the event, readable or not.
    pub(super) is_logged: bool,
    /// Time at which the log first had the event in a form that every reader can decode.
    pub applied_ms: Option<u64>,
    /// Time since which the log has the event, unless the log has lost it.
    pub(super) in_log_ms: Option<u64>,
    /// Time at which the event was lost for good.
    pub(super) lost_ms: Option<u64>,
}

impl OracleEvent {
    /// Whether the log ever had the event, readable or not.
    #[must_use]
    pub fn was_logged(&self) -> bool {
        self.is_logged
    }

    /// Time at which the log first had the event, unless it was lost for good.
    #[must_use]
    pub fn kept_since_ms(&self) -> Option<u64> {
        self.applied_ms.filter(|_| self.lost_ms.is_none())
    }

    /// Whether the ledger must credit the event at the end.
    pub(super) fn is_kept(&self) -> bool {
        self.applied_ms.is_some() && self.lost_ms.is_none()
    }
}
