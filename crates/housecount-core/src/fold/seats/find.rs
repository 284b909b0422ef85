//! How seats are found: by handle, or by ids.

use super::{SeatTable, mix_head, spread_all};
use crate::fold::seat::{Ids, SeatIndex};
use crate::handle::Handle;

impl SeatTable {
    /// A head's shard.
    pub(super) fn shard(&self, head: u32) -> usize {
        usize::from(self.shares[(head >> 24) as usize])
    }

    /// The seat with this handle; the first one found, should there be two.
    pub(in crate::fold) fn find_handle(&self, handle: Handle) -> Option<SeatIndex> {
        let shard = &self.shards[self.shard(handle.head())];
        let mut found = None;
        shard.find(mix_head(handle.head()), |anchor| {
            // Heads alone tell most viewers apart, and most viewers have one seat.
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

    /// The same of many. The table is asked for all before the first seat is looked at: so cache
    /// misses overlap.
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

    /// The viewers of these are asked for next: their names are on their way from memory from now
    /// on.
    pub(in crate::fold) fn look_ahead(&self, seats: impl IntoIterator<Item = Option<SeatIndex>>) {
        seats.into_iter().flatten().for_each(|seat| self.names.prefetch(self[seat].viewer));
    }

    /// Any seat of a viewer whose handles have this head.
    pub(in crate::fold) fn find_viewer(&self, head: u32, viewer: &str) -> Option<SeatIndex> {
        let is_it = |anchor: &SeatIndex| {
            let seat = &self[*anchor];
            seat.handle.head() == head && self.names.is(seat.viewer, viewer)
        };
        self.shards[self.shard(head)].find(mix_head(head), is_it).copied()
    }

    /// The seat with these ids.
    pub(in crate::fold) fn find(&self, handle: Handle, ids: Ids<'_>) -> Option<SeatIndex> {
        let anchor = self.find_viewer(handle.head(), ids.viewer)?;
        self.with_handle(anchor, handle).find(|seat| self.is_of(*seat, ids))
    }

    /// Whether a seat is of this session of its viewer's.
    pub(in crate::fold) fn is_session(&self, seat: SeatIndex, session: &str) -> bool {
        self.names.is(self[seat].session, session)
    }

    /// Whether a seat of the right viewer has these ids.
    fn is_of(&self, seat: SeatIndex, ids: Ids<'_>) -> bool {
        let stage = self.stages.get(self[seat].stage);
        self.is_session(seat, ids.session) && stage.is_some_and(|stage| *stage.id == *ids.stage)
    }

    /// Whether a seat has these ids.
    pub(in crate::fold) fn has(&self, seat: SeatIndex, ids: Ids<'_>) -> bool {
        self.names.is(self[seat].viewer, ids.viewer) && self.is_of(seat, ids)
    }
}
