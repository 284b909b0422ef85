//! Search of seats by handle or by ids.

use super::{SeatTable, mix_head, spread_all};
use crate::event::Ids;
use crate::fold::seat::SeatIndex;
use crate::handle::Handle;

impl SeatTable {
    /// Returns a head's shard.
    pub(super) fn shard(&self, head: u32) -> usize {
        usize::from(self.shares[(head >> 24) as usize])
    }

    /// Returns the seat with this handle, or the first one found if there are two.
    pub(in crate::fold) fn find_handle(&self, handle: Handle) -> Option<SeatIndex> {
        let shard = &self.shards[self.shard(handle.head())];
        let mut found = None;
        shard.find(mix_head(handle.head()), |anchor| {
            // Heads alone distinguish most viewers, and most viewers have one seat.
            if self[*anchor].handle.head() == handle.head() {
                found = self.with_handle(*anchor, handle).next();
            }
            found.is_some()
        });
        if found.is_none() && self.nameless > 0 {
            found = shard.find(spread_all(handle), |seat| self[*seat].handle == handle).copied();
        }
        found
    }

    /// Returns the seats with these handles. It looks all of them up in the table before it reads
    /// the first seat, so that cache misses overlap.
    pub(in crate::fold) fn find_handles<const N: usize>(
        &self,
        handles: [Option<Handle>; N],
    ) -> [Option<SeatIndex>; N] {
        let likely = handles.map(|handle| {
            let head = handle?.head();
            self.shards[self.shard(head)].iter_hash(mix_head(head)).next().copied()
        });
        likely.into_iter().flatten().for_each(|seat| self.seats.prefetch(seat as usize));
        std::array::from_fn(|n| {
            let handle = handles[n]?;
            likely[n]
                .filter(|seat| self[*seat].handle == handle)
                .or_else(|| self.find_handle(handle))
        })
    }

    /// Prefetches the viewers' ids of seats, which are read next.
    pub(in crate::fold) fn prefetch(&self, seats: impl IntoIterator<Item = Option<SeatIndex>>) {
        seats.into_iter().flatten().for_each(|seat| self.names.prefetch(self[seat].viewer));
    }

    /// Returns any seat of a viewer whose handles have this head.
    pub(in crate::fold) fn find_viewer(&self, head: u32, viewer: &str) -> Option<SeatIndex> {
        let is_it = |anchor: &SeatIndex| {
            let seat = &self[*anchor];
            seat.handle.head() == head && self.names.is(seat.viewer, viewer)
        };
        self.shards[self.shard(head)].find(mix_head(head), is_it).copied()
    }

    /// Returns the seat with these ids.
    pub(in crate::fold) fn find(&self, handle: Handle, ids: Ids<'_>) -> Option<SeatIndex> {
        let anchor = self.find_viewer(handle.head(), ids.viewer)?;
        self.with_handle(anchor, handle).find(|seat| self.is_of(*seat, ids))
    }

    /// Returns whether a seat has this session id.
    pub(in crate::fold) fn is_session(&self, seat: SeatIndex, session: &str) -> bool {
        self.names.is(self[seat].session, session)
    }

    /// Returns whether a seat of the right viewer has these ids.
    fn is_of(&self, seat: SeatIndex, ids: Ids<'_>) -> bool {
        let stage = self.stages.get(self[seat].stage);
        self.is_session(seat, ids.session) && stage.is_some_and(|stage| *stage.id == *ids.stage)
    }

    /// Returns whether a seat has these ids.
    pub(in crate::fold) fn has(&self, seat: SeatIndex, ids: Ids<'_>) -> bool {
        self.names.is(self[seat].viewer, ids.viewer) && self.is_of(seat, ids)
    }
}
