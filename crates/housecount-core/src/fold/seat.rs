//! One session of a viewer on a stage, in a line of the cache.

use super::id_arena::IdRef;
use super::times::CompactTimes;
use crate::handle::Handle;
use crate::time::UnixMs;

/// A seat's place. 32 bits wide: four billion sessions are more than any node's memory holds.
pub(super) type SeatIndex = u32;
/// A stage's place.
pub(super) type StageIndex = u32;

/// Not in any list.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The ids of a session, which must have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// Which stage it watches.
    pub stage: &'a str,
    /// Whose it is.
    pub viewer: &'a str,
    /// Its own; empty if the viewer has but one.
    pub session: &'a str,
}

/// One session of a viewer on a stage.
///
/// In a line of its own, so that a beat touches no other.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct SeatState {
    /// What is known of it, if that can be said in brief; else see `Seats::times`.
    pub(super) brief: CompactTimes,
    pub(super) handle: Handle,
    /// The viewer's next seat, on any stage; the last one's is the first.
    pub(super) next: SeatIndex,
    /// The one before, likewise.
    pub(super) prev: SeatIndex,
    /// Where the index over the viewer's seats is; [`NOWHERE`] for none.
    pub(super) index: u32,
    pub(super) partition: u8,
    flags: u8,
    pub(super) viewer: IdRef,
    pub(super) session: IdRef,
    /// [`NOWHERE`] for a nameless seat.
    pub(super) stage: StageIndex,
    /// In which second it is to be looked at again; [`NOWHERE`] for never.
    pub(super) check_s: u32,
    /// When its ids were last told in the log, Unix seconds; zero for never.
    pub(super) ids_logged_s: u32,
    /// The log's time of the last event or moment that was not just the next beat of a session that
    /// is online, Unix seconds.
    pub(super) changed_s: u32,
}

const _: () = assert!(size_of::<SeatState>() == 64);

/// What is true of a seat, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SeatFlag {
    /// It is in use; others are free.
    Used = 1,
    /// It is in the counts.
    Online = 2,
    /// Another seat has the same handle.
    Ambiguous = 8,
    /// It stands for what the ledger said, and for no session.
    Restored = 16,
    /// Its times don't fit in brief.
    Spilled = 32,
    /// Its viewer has so many seats that there is an index over them, which has its last beat.
    Indexed = 64,
}

impl SeatState {
    /// A nameless seat at a place, in a ring of its own.
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

    /// It is free from now on.
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

    /// Whether its player names no session; such a seat's leaves cover all of the viewer's on the
    /// stage.
    pub(super) fn is_without_session(&self) -> bool {
        self.session == IdRef::EMPTY
    }

    /// Whether only its handle is known.
    pub(super) fn is_unresolved(&self) -> bool {
        self.stage == NOWHERE
    }

    /// Takes in the usual next beat, if it is that.
    #[inline]
    pub(super) fn extend_run(&mut self, at: UnixMs, ttl_ms: u64) -> bool {
        self.flags & (SeatFlag::Spilled as u8 | SeatFlag::Indexed as u8) == 0
            && self.brief.goes_on(at, ttl_ms)
    }
}
