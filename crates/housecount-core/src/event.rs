//! What players say: beats and leaves.
//!
//! An event carries its own time, stamped once by the node that took it, on the log's clock. It
//! never changes again, however often the event is sent: that is what makes a retry harmless.

use crate::ids::{SessionId, StageId, ViewerId};
use crate::time::UnixMs;

/// What is said about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// "This session watches this stage now."
    Beat,
    /// "This session has stopped": a hint, which may never come. Without a session it ends them
    /// all.
    Leave,
}

/// One session on one stage, as a player names itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The stage that is watched.
    pub stage: StageId,
    /// Who watches.
    pub viewer: ViewerId,
    /// With which player; empty if the player names none.
    pub session: SessionId,
}

/// A beat or leave with its time, owned by whoever queues it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was said, on the log's clock.
    pub at: UnixMs,
    /// What was said.
    pub kind: EventKind,
    /// About whom.
    pub seat: Seat,
}

impl Event {
    /// The same event, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> EventRef<'_> {
        EventRef {
            at: self.at,
            kind: self.kind,
            stage: self.seat.stage.as_str(),
            viewer: self.seat.viewer.as_str(),
            session: self.seat.session.as_str(),
        }
    }
}

/// An event borrowed from a queue or from a log record's bytes. Its ids have been checked by
/// [`ids`](crate::ids) on the way in, or by [`record`](crate::record) on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventRef<'a> {
    /// When it was said, on the log's clock.
    pub at: UnixMs,
    /// What was said.
    pub kind: EventKind,
    /// The stage it is about.
    pub stage: &'a str,
    /// The viewer it is about.
    pub viewer: &'a str,
    /// The session it is about; empty for none.
    pub session: &'a str,
}

/// The partition of a viewer: the same on every node, for ever, because the log and the ledger are
/// laid out by it. By viewer and not by stage, so that one hot stage spreads too.
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
