//! State of one session of a viewer on a stage, in one cache line.

use super::times::CompactTimes;
use crate::handle::Handle;
use crate::id_arena::IdRef;
use crate::time::UnixMs;

/// Place of a seat. 32 bits are enough: four billion sessions are more than any node's memory
/// holds.
pub(super) type SeatIndex = u32;
/// Place of a stage.
pub(super) type StageIndex = u32;

/// Value for "in no list".
pub(super) const NOWHERE: u32 = u32::MAX;

/// One session of a viewer on a stage.
///
/// It has a cache line of its own, so that a beat touches no other seat.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct SeatState {
    /// Times of the session, if they fit the compact form; otherwise see `SeatTable::times`.
    pub(super) brief: CompactTimes,
    pub(super) handle: Handle,
    /// The viewer's next seat, on any stage. The last one's next is the first.
    pub(super) next: SeatIndex,
    /// The viewer's previous seat, in the same ring.
    pub(super) prev: SeatIndex,
    /// Place of the index over the viewer's seats; [`NOWHERE`] for none.
    pub(super) index: u32,
    pub(super) partition: u8,
    flags: u8,
    pub(super) viewer: IdRef,
    pub(super) session: IdRef,
    /// Place of the stage; [`NOWHERE`] for a nameless seat.
    pub(super) stage: StageIndex,
    /// Second of the next scheduled check; [`NOWHERE`] for none.
    pub(super) check_s: u32,
    /// Time at which its ids were last logged, Unix seconds; zero for never.
    pub(super) ids_logged_s: u32,
    /// Log time of the last change other than the next beat of an online session, Unix seconds.
    pub(super) changed_s: u32,
}

const _: () = assert!(size_of::<SeatState>() == 64);

/// Flags of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SeatFlag {
    /// The seat is in use; others are free.
    Used = 1,
    /// The seat is in the counts.
    Online = 2,
    /// The session has displacements, which are beside the seats.
    Displaced = 4,
    /// Another seat has the same handle.
    Ambiguous = 8,
    /// The seat is a span restored from the ledger, and not a session.
    Restored = 16,
    /// The times don't fit the compact form.
    Spilled = 32,
    /// The viewer has many seats and therefore an index over them, which contains this seat's last
    /// beat.
    Indexed = 64,
}

impl SeatState {
    /// Creates a nameless seat at a place, in a ring of its own.
    pub(super) fn new(at: SeatIndex, handle: Handle, partition: u8) -> SeatState {
        SeatState {
            brief: CompactTimes::default(),
            handle,
            next: at,
            prev: at,
            index: NOWHERE,
            partition,
            flags: SeatFlag::Used as u8,
            viewer: IdRef::UNKNOWN,
            session: IdRef::UNKNOWN,
            stage: NOWHERE,
            check_s: NOWHERE,
            ids_logged_s: 0,
            changed_s: 0,
        }
    }

    /// Marks the seat as free.
    pub(super) fn clear(&mut self) {
        self.flags = 0;
    }

    pub(super) fn is(&self, flag: SeatFlag) -> bool {
        self.flags & flag as u8 != 0
    }

    pub(super) fn set(&mut self, flag: SeatFlag, on: bool) {
        if on {
            self.flags |= flag as u8;
        } else {
            self.flags &= !(flag as u8);
        }
    }

    /// Returns whether its player sends no session. Leaves of such a seat cover all of the viewer's
    /// seats on the stage.
    pub(super) fn is_without_session(&self) -> bool {
        self.session == IdRef::EMPTY
    }

    /// Returns whether only its handle is known.
    pub(super) fn is_unresolved(&self) -> bool {
        self.stage == NOWHERE
    }

    /// Extends the run by a beat, if it is the usual next one. Returns whether it was.
    #[inline]
    pub(super) fn extend_run(&mut self, at: UnixMs, ttl_ms: u64) -> bool {
        self.flags & (SeatFlag::Spilled as u8 | SeatFlag::Indexed as u8) == 0
            && self.brief.goes_on(at, ttl_ms)
    }
}
