//! Times at which sessions were displaced. Few sessions ever are, so they are beside the seats.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::SeatTable;
use crate::fold::seat::{SeatFlag, SeatIndex};
use crate::time::UnixMs;

/// Displacements of sessions in order, by seat.
pub(super) type DisplacedSeats = HashMap<SeatIndex, SmallVec<[UnixMs; 2]>, RandomState>;

impl SeatTable {
    /// Adds a displacement of a session. Returns false if it was known.
    pub(in crate::fold) fn displace(&mut self, seat: SeatIndex, at: UnixMs) -> bool {
        let times = self.displaced.entry(seat).or_default();
        let Err(place) = times.binary_search(&at) else { return false };
        times.insert(place, at);
        self[seat].set(SeatFlag::Displaced, true);
        true
    }

    /// Returns the session's displacements in order.
    pub(in crate::fold) fn displacements(&self, seat: SeatIndex) -> &[UnixMs] {
        if !self[seat].is(SeatFlag::Displaced) {
            return &[];
        }
        self.displaced.get(&seat).map_or(&[], |times| times)
    }

    /// Returns the session's last displacement at or before `at`; zero for none.
    pub(in crate::fold) fn displaced_until(&self, seat: SeatIndex, at: UnixMs) -> UnixMs {
        let times = self.displacements(seat);
        let next = times.partition_point(|time| *time <= at);
        next.checked_sub(1).map_or(UnixMs::ZERO, |i| times[i])
    }

    /// Removes displacements before `before`. Returns whether any is left.
    pub(in crate::fold) fn forget_displaced(&mut self, seat: SeatIndex, before: UnixMs) -> bool {
        let Some(times) = self.displaced.get_mut(&seat) else { return false };
        times.retain(|at| *at >= before);
        let is_left = !times.is_empty();
        if !is_left {
            self.displaced.remove(&seat);
            self[seat].set(SeatFlag::Displaced, false);
        }
        is_left
    }
}
