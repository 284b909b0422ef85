//! How the seats of one viewer hang together, and what is asked of them together.
//!
//! They form a ring. Up to [`WALKED_MAX`] of them are walked through; a viewer who has more gets an
//! index ([`ViewerSeats`]), which goes again when half of those are left. So whatever is asked here
//! takes a bounded number of steps, besides those of its answer.

use super::viewer_seats::ViewerSeats;
use super::{SeatTable, hash_of};
use crate::fold::seat::{NOWHERE, SeatFlag, SeatIndex, SeatState, StageIndex};
use crate::handle::Handle;
use crate::limits::VIEWER_SEATS_WALKED_MAX;
use crate::time::UnixMs;

/// Seats of a viewer that are walked through. Fewer in tests, so that the fold's property tests go
/// both ways.
const WALKED_MAX: usize = if cfg!(test) { 3 } else { VIEWER_SEATS_WALKED_MAX };

impl SeatTable {
    /// All of a seat's viewer's, itself first. As many steps as there are seats.
    pub(in crate::fold) fn ring(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        std::iter::successors(Some(seat), move |at| {
            Some(self[*at].next).filter(|next| *next != seat)
        })
    }

    /// The index over the seats of a seat's viewer, who has one if there are many.
    fn index_of(&self, seat: SeatIndex) -> Option<&ViewerSeats> {
        self.indexes.get(self[seat].index as usize)
    }

    /// The seats that the index knows by `of`; where there is no index, all of the ring.
    fn known<'a, I: Iterator<Item = SeatIndex> + 'a>(
        &'a self,
        seat: SeatIndex,
        of: impl FnOnce(&'a ViewerSeats) -> I,
    ) -> impl Iterator<Item = SeatIndex> {
        let index = self.index_of(seat);
        let walked = index.is_none().then(|| self.ring(seat));
        index.map(of).into_iter().flatten().chain(walked.into_iter().flatten())
    }

    /// All of a seat's viewer's on its stage, itself among them.
    pub(in crate::fold) fn here(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        self.on(seat, self[seat].stage)
    }

    /// All of a seat's viewer's on a stage.
    pub(in crate::fold) fn on(
        &self,
        seat: SeatIndex,
        stage: StageIndex,
    ) -> impl Iterator<Item = SeatIndex> {
        self.known(seat, move |index| index.on(stage))
            .filter(move |other| self[*other].stage == stage)
    }

    /// Those of a seat's viewer's that have a handle.
    pub(super) fn with_handle(
        &self,
        seat: SeatIndex,
        handle: Handle,
    ) -> impl Iterator<Item = SeatIndex> {
        self.known(seat, move |index| index.with_tail(handle.tail()))
            .filter(move |other| self[*other].handle == handle)
    }

    /// The one without a session of a seat's viewer's on its stage.
    pub(in crate::fold) fn unnamed_here(&self, seat: SeatIndex) -> Option<SeatIndex> {
        self.shared_here(seat).find(|other| self[*other].is_without_session())
    }

    /// The one that was carried over of a seat's viewer's on its stage.
    pub(in crate::fold) fn carried_here(&self, seat: SeatIndex) -> Option<SeatIndex> {
        self.shared_here(seat).find(|other| self[*other].is(SeatFlag::Restored))
    }

    fn shared_here(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        let stage = self[seat].stage;
        self.known(seat, move |index| index.shared_on(stage))
            .filter(move |other| self[*other].stage == stage)
    }

    /// Whether a seat has the first place of its viewer's on its stage.
    pub(in crate::fold) fn is_first_here(&self, seat: SeatIndex) -> bool {
        match self.index_of(seat) {
            Some(index) => index.on(self[seat].stage).next() == Some(seat),
            None => self.here(seat).all(|other| other >= seat),
        }
    }

    /// How many of a seat's viewer's are online on a stage.
    pub(in crate::fold) fn count_online(&self, seat: SeatIndex, stage: StageIndex) -> usize {
        match self.index_of(seat) {
            Some(index) => index.count_on(stage),
            None => self.on(seat, stage).filter(|other| self[*other].is(SeatFlag::Online)).count(),
        }
    }

    /// How many seats a seat's viewer has.
    pub(in crate::fold) fn count_all(&self, seat: SeatIndex) -> usize {
        self.index_of(seat).map_or_else(|| self.ring(seat).count(), ViewerSeats::len)
    }

    /// Whether another one of a seat's viewer's is online on its stage, and on any.
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

    /// Those online of a seat's viewer's on a stage whose last beat was at or before `at`.
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

    /// Those online of a seat's viewer's on a stage that beat last, `most` of them, the last one
    /// first.
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

    /// A seat is online from now on, or is not any more.
    pub(in crate::fold) fn set_online(&mut self, seat: SeatIndex, online: bool) {
        self[seat].set(SeatFlag::Online, online);
        self.list(seat, online);
        let (beat, _) = self.last(seat);
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.set_online(seat, known.stage, beat, online);
        }
    }

    /// A seat stands for what was carried over from now on.
    pub(in crate::fold) fn set_carried(&mut self, seat: SeatIndex) {
        self[seat].set(SeatFlag::Restored, true);
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.share(seat, known.stage);
        }
    }

    /// Gives a seat another handle.
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

    /// The last beat of a seat that the index has by it.
    pub(super) fn indexed_beat(&self, seat: SeatIndex) -> Option<UnixMs> {
        let known = &self[seat];
        (known.is(SeatFlag::Indexed) && known.is(SeatFlag::Online)).then(|| self.last(seat).0)
    }

    /// The last beat of a seat that the index has by it was at `before`.
    pub(super) fn move_beat(&mut self, seat: SeatIndex, before: UnixMs) {
        let (beat, _) = self.last(seat);
        let known = &self.seats[seat as usize];
        if let Some(index) = self.indexes.get_mut(known.index as usize) {
            index.move_beat(seat, known.stage, before, beat);
        }
    }

    /// Puts a seat that is in no ring beside another one of its viewer's.
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
    }

    /// Takes a seat that is not online out of a ring of several.
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
