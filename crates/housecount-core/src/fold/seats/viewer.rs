//! Links between the seats of one viewer, and queries over all of them.
//!
//! The seats form a ring. A query walks through up to [`WALKED_MAX`] of them. A viewer with more
//! seats gets an index ([`ViewerSeats`]), which is removed when only half as many are left. Each
//! query therefore takes a bounded number of steps, besides those of its answer.

use super::viewer_seats::ViewerSeats;
use super::{SeatTable, hash_of};
use crate::fold::seat::{NOWHERE, SeatFlag, SeatIndex, SeatState, StageIndex};
use crate::handle::Handle;
use crate::limits::VIEWER_SEATS_WALKED_MAX;
use crate::time::UnixMs;

/// Maximum number of a viewer's seats without an index. It is lower in tests, so that the fold's
/// property tests go both ways.
const WALKED_MAX: usize = if cfg!(test) { 3 } else { VIEWER_SEATS_WALKED_MAX };

impl SeatTable {
    /// Returns all seats of a seat's viewer, itself first. It takes as many steps as there are
    /// seats.
    pub(in crate::fold) fn ring(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        std::iter::successors(Some(seat), move |at| {
            Some(self[*at].next).filter(|next| *next != seat)
        })
    }

    /// Returns the index over the seats of a seat's viewer, if it has one.
    fn index_of(&self, seat: SeatIndex) -> Option<&ViewerSeats> {
        self.indexes.get(self[seat].index as usize)
    }

    /// Returns the seats that the index finds by `of`. Without an index it returns the whole ring.
    fn known<'a, I: Iterator<Item = SeatIndex> + 'a>(
        &'a self,
        seat: SeatIndex,
        of: impl FnOnce(&'a ViewerSeats) -> I,
    ) -> impl Iterator<Item = SeatIndex> {
        let index = self.index_of(seat);
        let walked = index.is_none().then(|| self.ring(seat));
        index.map(of).into_iter().flatten().chain(walked.into_iter().flatten())
    }

    /// Returns the viewer's seats on the same stage, this seat included.
    pub(in crate::fold) fn here(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        self.on(seat, self[seat].stage)
    }

    /// Returns the viewer's seats on a stage.
    pub(in crate::fold) fn on(
        &self,
        seat: SeatIndex,
        stage: StageIndex,
    ) -> impl Iterator<Item = SeatIndex> {
        self.known(seat, move |index| index.on(stage))
            .filter(move |other| self[*other].stage == stage)
    }

    /// Returns the viewer's seats with a handle.
    pub(super) fn with_handle(
        &self,
        seat: SeatIndex,
        handle: Handle,
    ) -> impl Iterator<Item = SeatIndex> {
        self.known(seat, move |index| index.with_tail(handle.tail()))
            .filter(move |other| self[*other].handle == handle)
    }

    /// Returns the viewer's seat without a session id on the same stage.
    pub(in crate::fold) fn unnamed_here(&self, seat: SeatIndex) -> Option<SeatIndex> {
        self.shared_here(seat).find(|other| self[*other].is_without_session())
    }

    /// Returns the viewer's restored seat on the same stage.
    pub(in crate::fold) fn carried_here(&self, seat: SeatIndex) -> Option<SeatIndex> {
        self.shared_here(seat).find(|other| self[*other].is(SeatFlag::Restored))
    }

    fn shared_here(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        let stage = self[seat].stage;
        self.known(seat, move |index| index.shared_on(stage))
            .filter(move |other| self[*other].stage == stage)
    }

    /// Returns whether a seat has the first place among its viewer's seats on its stage.
    pub(in crate::fold) fn is_first_here(&self, seat: SeatIndex) -> bool {
        match self.index_of(seat) {
            Some(index) => index.on(self[seat].stage).next() == Some(seat),
            None => self.here(seat).all(|other| other >= seat),
        }
    }

    /// Returns the number of the viewer's online seats on a stage.
    pub(in crate::fold) fn count_online(&self, seat: SeatIndex, stage: StageIndex) -> usize {
        match self.index_of(seat) {
            Some(index) => index.count_on(stage),
            None => self.on(seat, stage).filter(|other| self[*other].is(SeatFlag::Online)).count(),
        }
    }

    /// Returns the number of the viewer's seats.
    pub(in crate::fold) fn count_all(&self, seat: SeatIndex) -> usize {
        self.index_of(seat).map_or_else(|| self.ring(seat).count(), ViewerSeats::len)
    }

    /// Returns whether another seat of the viewer is online on the same stage, and on any stage.
    pub(in crate::fold) fn are_others_online(&self, seat: SeatIndex) -> (bool, bool) {
        let (stage, is_online) = (self[seat].stage, self[seat].is(SeatFlag::Online));
        if let Some(index) = self.index_of(seat) {
            let own = usize::from(is_online);
            return (index.count_on(stage) > own, index.count() > own);
        }
        let online = |other: &SeatIndex| *other != seat && self[*other].is(SeatFlag::Online);
        let mut elsewhere = false;
        for other in self.ring(seat).filter(online) {
            if self[other].stage == stage {
                return (true, true);
            }
            elsewhere = true;
        }
        (false, elsewhere)
    }

    /// Returns the viewer's online seats on a stage whose last beat was at or before `at`.
    pub(in crate::fold) fn online_until(
        &self,
        seat: SeatIndex,
        stage: StageIndex,
        at: UnixMs,
    ) -> impl Iterator<Item = SeatIndex> {
        let is_online = move |other: &SeatIndex| {
            let known = &self[*other];
            known.stage == stage && known.is(SeatFlag::Online) && self.last(*other).0 <= at
        };
        self.known(seat, move |index| index.online_until(stage, at)).filter(is_online)
    }

    /// Returns the viewer's online seats on a stage by last beat, the latest first, `most` of them.
    pub(in crate::fold) fn newest_online(
        &self,
        seat: SeatIndex,
        stage: StageIndex,
        most: usize,
    ) -> impl Iterator<Item = SeatIndex> {
        let newest: Vec<SeatIndex> = match self.index_of(seat) {
            Some(index) => index.online_until(stage, UnixMs::MAX).rev().take(most).collect(),
            None => {
                let mut all: Vec<SeatIndex> = self.online_until(seat, stage, UnixMs::MAX).collect();
                all.sort_unstable_by_key(|other| std::cmp::Reverse((self.last(*other).0, *other)));
                all
            }
        };
        newest.into_iter().take(most)
    }

    /// Sets whether a seat is online.
    pub(in crate::fold) fn set_online(&mut self, seat: SeatIndex, online: bool) {
        self[seat].set(SeatFlag::Online, online);
        self.list(seat, online);
        let (beat, _) = self.last(seat);
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.set_online(seat, known.stage, beat, online);
        }
    }

    /// Marks a seat as restored from the ledger.
    pub(in crate::fold) fn set_carried(&mut self, seat: SeatIndex) {
        self[seat].set(SeatFlag::Restored, true);
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.share(seat, known.stage);
        }
    }

    /// Changes a seat's handle.
    pub(super) fn set_handle(&mut self, seat: SeatIndex, handle: Handle) {
        let is_online = self[seat].is(SeatFlag::Online);
        if is_online {
            self.list(seat, false);
        }
        let before = std::mem::replace(&mut self[seat].handle, handle);
        if is_online {
            self.list(seat, true);
        }
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.move_tail(seat, before.tail(), handle.tail());
        }
    }

    /// Returns the last beat of a seat if the index is ordered by it.
    pub(super) fn indexed_beat(&self, seat: SeatIndex) -> Option<UnixMs> {
        let known = &self[seat];
        (known.is(SeatFlag::Indexed) && known.is(SeatFlag::Online)).then(|| self.last(seat).0)
    }

    /// Moves a seat in the index after its last beat changed from `before`.
    pub(super) fn move_beat(&mut self, seat: SeatIndex, before: UnixMs) {
        let (beat, _) = self.last(seat);
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.move_beat(seat, known.stage, before, beat);
        }
    }

    /// Adds a seat that is in no ring to the ring of `beside`, a seat of the same viewer.
    pub(super) fn link(&mut self, seat: SeatIndex, beside: SeatIndex) {
        let next = self[beside].next;
        (self[seat].prev, self[seat].next) = (beside, next);
        self[beside].next = seat;
        self[next].prev = seat;
        if self.index_of(beside).is_some() {
            self.index(seat, self[beside].index);
        } else if self.ring(seat).nth(WALKED_MAX).is_some() {
            let at = self.indexes.insert(ViewerSeats::default()) as u32;
            let all: Vec<SeatIndex> = self.ring(seat).collect();
            all.into_iter().for_each(|seat| self.index(seat, at));
        }
    }

    fn index(&mut self, seat: SeatIndex, at: u32) {
        let (beat, _) = self.last(seat);
        let known = &mut self.seats[seat as usize];
        known.index = at;
        known.set(SeatFlag::Indexed, true);
        self.indexes[at as usize].insert(seat, known, beat);
        self.index_labels(seat);
    }

    /// Removes a seat that is not online from a ring of several.
    pub(super) fn unlink(&mut self, seat: SeatIndex, gone: SeatState) {
        let (shard, hash) = (self.shard(gone.handle.head()), hash_of(&self.seats, seat));
        if let Some(anchor) = self.shards[shard].find_mut(hash, |i| *i == seat) {
            *anchor = gone.next;
        }
        self[gone.prev].next = gone.next;
        self[gone.next].prev = gone.prev;
        let Some(index) = self.indexes.get_mut(gone.index as usize) else { return };
        index.remove(seat, &gone);
        if index.len() <= WALKED_MAX / 2 {
            self.indexes.remove(gone.index as usize);
            let left: Vec<SeatIndex> = self.ring(gone.next).collect();
            for seat in left {
                self[seat].index = NOWHERE;
                self[seat].set(SeatFlag::Indexed, false);
            }
        }
    }
}
