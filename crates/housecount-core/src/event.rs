//! Events of players: beats and leaves. A node adds displacements, where a viewer's streams are
//! limited.
//!
//! An event carries its own time, stamped once by the node that accepted it, on the log's clock.
//! The time never changes again, however often the event is sent, so a retry is harmless.

use crate::ids::{SessionId, StageId, ViewerId};
pub use crate::labels::SessionLabels;
use crate::time::UnixMs;

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// This session watches this stage now.
    Beat,
    /// This session has stopped. It is a hint that may never arrive. Without a session it ends all
    /// sessions of the viewer on the stage.
    Leave,
    /// This session has lost its place to another session of its viewer. It ends at once, without
    /// `leave_grace`, and no other session does.
    Displace,
}

/// Ids of a session, which must have been checked.
///
/// ```
/// use housecount_core::event::Ids;
///
/// let ids = Ids { stage: "show", viewer: "ann", session: "tab-1" };
/// assert_eq!(ids.viewer, "ann");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ids<'a> {
    /// The stage it watches.
    pub stage: &'a str,
    /// The viewer it belongs to.
    pub viewer: &'a str,
    /// The session's own id; empty if the player sends none.
    pub session: &'a str,
}

/// One session on one stage, with the ids that the player sends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The stage that is watched.
    pub stage: StageId,
    /// The viewer who watches.
    pub viewer: ViewerId,
    /// The player's session; empty if the player sends none.
    pub session: SessionId,
}

/// An event with its time, owned by the queue it waits in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time of the event, on the log's clock.
    pub at: UnixMs,
    /// Kind of event.
    pub kind: EventKind,
    /// The session it is about.
    pub seat: Seat,
}

impl Event {
    /// Returns the same event, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> EventRef<'_> {
        EventRef {
            labels: SessionLabels::NONE,
            at: self.at,
            kind: self.kind,
            ids: Ids {
                stage: self.seat.stage.as_str(),
                viewer: self.seat.viewer.as_str(),
                session: self.seat.session.as_str(),
            },
        }
    }
}

/// An event borrowed from a queue or from a log record's bytes. Its ids have been checked by
/// [`ids`](crate::ids) on the way in, or by [`record`](crate::record) on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventRef<'a> {
    /// Time of the event, on the log's clock.
    pub at: UnixMs,
    /// Kind of event.
    pub kind: EventKind,
    /// The session it is about.
    pub ids: Ids<'a>,
    /// Labels of the session, where the event carries them.
    pub labels: SessionLabels<'a>,
}

/// Returns the partition of a viewer. It must stay the same on every node forever, because the log
/// and the ledger are laid out by it. Partitions are by viewer and not by stage, so that one hot
/// stage is spread too.
#[must_use]
pub fn partition_of(viewer: &str, partitions: u16) -> u16 {
    if partitions <= 1 {
        return 0;
    }
    // CRC-32 (IEEE) is frozen by its standard, unlike a hash map's hasher. The remainder fits u16.
    (crc32fast::hash(viewer.as_bytes()) % u32::from(partitions)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: a changed partition would split a viewer's history in two.
    #[test]
    fn partitions_are_frozen() {
        assert_eq!(partition_of("viewer-1", 1), 0);
        assert_eq!(partition_of("viewer-1", 16), 4);
        assert_eq!(partition_of("viewer-2", 16), 14);
        assert_eq!(partition_of("Zoë", 256), 42);
    }

    #[test]
    fn partitions_spread() {
        let mut seen = [0u32; 16];
        for n in 0..16_000 {
            seen[usize::from(partition_of(&format!("viewer-{n}"), 16))] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
    }
}
