//! Storage of sessions and stages, and the links between them.
//!
//! This module stores and links, and does not know the rules. A viewer's seats form a ring. A table
//! of rings is searched by the viewer's half of a [`Handle`]. A seat is *nameless* if only its
//! handle is known, because the log has its ids from before this node began to read. Such a seat is
//! a ring of its own, searched by its whole handle, so that a viewer's nameless seats don't share
//! one hash.
//!
//! The table is cut in shards of unequal shares, so that they don't all grow at once. That would
//! block all requests, and leave half of the memory free for long. No code iterates in hash order,
//! so that two nodes answer alike.

mod chunks;
mod displaced;
mod find;
mod labelled;
mod viewer;
mod viewer_seats;

use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use slab::Slab;

pub(super) use self::chunks::ChunkedVec;
use self::displaced::DisplacedSeats;
use self::viewer_seats::ViewerSeats;
use super::AHEAD;
use super::labels::LabelTable;
use super::seat::{SeatFlag, SeatIndex, SeatState};
use super::stages::Stages;
use super::times::SessionTimes;
use crate::event::Ids;
use crate::handle::{Handle, HandleKey};
use crate::id_arena::{Id, IdArena};
use crate::time::UnixMs;

/// Number of shards of the table. With a million viewers each has 11,000 to 22,000.
const SHARDS: usize = 64;
/// Storage of seats, with indexes by viewer and by handle.
#[derive(Debug)]
pub(super) struct SeatTable {
    seats: ChunkedVec<SeatState>,
    free: Vec<SeatIndex>,
    /// Number of walks through all places that are under way.
    walks: usize,
    names: IdArena,
    spilled: HashMap<SeatIndex, SessionTimes, RandomState>,
    displaced: DisplacedSeats,
    /// Indexes of viewers with many seats.
    indexes: Slab<ViewerSeats>,
    nameless: usize,
    /// Labels of the seats, where labels are on.
    pub(super) labels: Option<Box<LabelTable>>,
    shards: Vec<HashTable<SeatIndex>>,
    shares: [u8; 256],
    pub(super) stages: Stages,
}

impl Default for SeatTable {
    fn default() -> SeatTable {
        SeatTable {
            seats: ChunkedVec::default(),
            free: Vec::new(),
            walks: 0,
            names: IdArena::default(),
            spilled: HashMap::default(),
            displaced: DisplacedSeats::default(),
            indexes: Slab::new(),
            nameless: 0,
            labels: None,
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            shares: shares(),
            stages: Stages::default(),
        }
    }
}

impl Index<SeatIndex> for SeatTable {
    type Output = SeatState;
    fn index(&self, seat: SeatIndex) -> &SeatState {
        #[cfg(debug_assertions)]
        super::touched::note();
        &self.seats[seat as usize]
    }
}

impl IndexMut<SeatIndex> for SeatTable {
    fn index_mut(&mut self, seat: SeatIndex) -> &mut SeatState {
        &mut self.seats[seat as usize]
    }
}

/// Returns the shard of each first byte of a head. The largest shard has twice the share of the
/// smallest, and the sizes rise evenly between.
fn shares() -> [u8; 256] {
    let mut shares = [0; 256];
    for (byte, shard) in (0u32..).zip(&mut shares) {
        *shard = ((1.0 + f64::from(byte) / 256.0).log2() * SHARDS as f64) as u8;
    }
    shares
}

/// Returns the hash of a seat within its shard.
fn hash_of(seats: &ChunkedVec<SeatState>, seat: SeatIndex) -> u64 {
    let seat = &seats[seat as usize];
    if seat.is_unresolved() { spread_all(seat.handle) } else { mix_head(seat.handle.head()) }
}

/// Returns a head's hash within its shard. A head is a hash already, but a short one.
fn mix_head(head: u32) -> u64 {
    mix(u64::from(head))
}

/// Returns a nameless seat's hash within its shard.
fn spread_all(handle: Handle) -> u64 {
    mix(u64::from(handle.head()) << 32 | u64::from(handle.tail()))
}

fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 32
}

impl SeatTable {
    /// Returns the number of places, free ones included.
    pub(super) fn places(&self) -> usize {
        self.seats.len()
    }

    /// Begins a walk through all places, slice by slice. Until it ends, new seats get places after
    /// the existing ones. So no viewer gets another first seat during the walk.
    pub(super) fn begin_walk(&mut self) {
        self.walks += 1;
    }

    /// Ends a walk.
    pub(super) fn end_walk(&mut self) {
        self.walks = self.walks.saturating_sub(1);
    }

    /// Returns the number of seats.
    pub(super) fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    /// Returns the seat at a place. The place may be free, or have another seat since.
    pub(super) fn get(&self, seat: SeatIndex) -> Option<&SeatState> {
        self.seats.get(seat as usize).filter(|seat| seat.is(SeatFlag::Used))
    }

    /// Returns the seats at `places`.
    pub(super) fn within(&self, places: std::ops::Range<usize>) -> impl Iterator<Item = SeatIndex> {
        let end = places.end.min(self.seats.len());
        (places.start.min(end)..end)
            .filter(|i| self.seats[*i].is(SeatFlag::Used))
            .map(|i| i as SeatIndex)
    }

    /// Inserts a seat with these ids, which no seat has yet.
    pub(super) fn insert_named(
        &mut self,
        handle: Handle,
        partition: u8,
        ids: Ids<'_>,
    ) -> SeatIndex {
        let seat = self.insert(handle, partition);
        self.name(seat, ids);
        seat
    }

    /// Returns the seat with these ids, where `same` has their handle but other ids or none. A
    /// nameless `same` gets the ids. Otherwise the right seat is found or inserted, and both are
    /// marked as ambiguous.
    pub(super) fn find_or_name(
        &mut self,
        same: SeatIndex,
        handle: Handle,
        partition: u8,
        ids: Ids<'_>,
    ) -> SeatIndex {
        if self[same].is_unresolved() {
            self.remove_ring(same);
            self.nameless -= 1;
            self.name(same, ids);
            return same;
        }
        let known = self.find(handle, ids);
        let seat = known.unwrap_or_else(|| self.insert_named(handle, partition, ids));
        self[same].set(SeatFlag::Ambiguous, true);
        self[seat].set(SeatFlag::Ambiguous, true);
        seat
    }

    /// Returns the seat with this handle, or inserts a nameless one.
    pub(super) fn find_or_insert_nameless(&mut self, handle: Handle, partition: u8) -> SeatIndex {
        self.find_handle(handle).unwrap_or_else(|| {
            let seat = self.insert(handle, partition);
            self.nameless += 1;
            self.insert_ring(seat);
            seat
        })
    }

    /// Inserts a seat into no ring, so that it can't be found yet.
    fn insert(&mut self, handle: Handle, partition: u8) -> SeatIndex {
        let free = if self.walks == 0 { self.free.pop() } else { None };
        let at = free.unwrap_or(self.seats.len() as SeatIndex);
        let seat = SeatState::new(at, handle, partition);
        if (at as usize) < self.seats.len() {
            self[at] = seat;
        } else {
            self.seats.push(seat);
        }
        at
    }

    /// Adds a ring to the table.
    fn insert_ring(&mut self, anchor: SeatIndex) {
        let (shard, hash) = (self.shard(self[anchor].handle.head()), hash_of(&self.seats, anchor));
        if self.shards[shard].len() == self.shards[shard].capacity() {
            self.grow(shard);
        }
        self.shards[shard].insert_unique(hash, anchor, |seat| hash_of(&self.seats, *seat));
    }

    /// Grows a full shard to twice its size, unless rings were removed from it. The table's own
    /// growth would need the hash of one ring after another, and wait for each seat to be read from
    /// memory.
    fn grow(&mut self, shard: usize) {
        let rings: Vec<SeatIndex> = self.shards[shard].drain().collect();
        let mut table = HashTable::with_capacity(rings.len() + rings.len() / 2 + 1);
        for rings in rings.chunks(AHEAD) {
            rings.iter().for_each(|ring| self.seats.prefetch(*ring as usize));
            for ring in rings {
                table.insert_unique(hash_of(&self.seats, *ring), *ring, |seat| {
                    hash_of(&self.seats, *seat)
                });
            }
        }
        self.shards[shard] = table;
    }

    /// Removes a ring from the table.
    fn remove_ring(&mut self, anchor: SeatIndex) {
        let (shard, hash) = (self.shard(self[anchor].handle.head()), hash_of(&self.seats, anchor));
        let _ = self.shards[shard].find_entry(hash, |i| *i == anchor).map(|entry| entry.remove());
    }

    /// Gives ids to a seat that is in no ring, and adds it to its viewer's ring.
    fn name(&mut self, seat: SeatIndex, ids: Ids<'_>) {
        let stage = self.stages.enter(ids.stage);
        let sibling = self.find_viewer(self[seat].handle.head(), ids.viewer);
        let viewer = match sibling {
            Some(sibling) => self[sibling].viewer,
            None => self.names.insert(ids.viewer),
        };
        let session = self.names.insert(ids.session);
        let named = &mut self[seat];
        (named.stage, named.viewer, named.session) = (stage, viewer, session);
        match sibling {
            Some(sibling) => self.link(seat, sibling),
            None => self.insert_ring(seat),
        }
    }

    /// Removes a seat that is not online, with all that only it used.
    pub(super) fn remove(&mut self, seat: SeatIndex) {
        let gone = self[seat];
        debug_assert!(!gone.is(SeatFlag::Online));
        self.spilled.remove(&seat);
        self.displaced.remove(&seat);
        self.labels.iter_mut().for_each(|labels| labels.clear(seat));
        self.nameless -= usize::from(gone.is_unresolved());
        if gone.next == seat {
            self.remove_ring(seat);
            self.names.remove(gone.viewer);
        } else {
            self.unlink(seat, gone);
        }
        self.names.remove(gone.session);
        self[seat].clear();
        self.free.push(seat);
        self.stages.exit(gone.stage);
    }

    /// Recomputes all handles of a partition. Nameless seats are removed, because their old handles
    /// can never get ids.
    pub(super) fn rekey(&mut self, partition: u8, key: HandleKey) {
        let all: Vec<SeatIndex> = self.within(0..self.places()).collect();
        let mine: Vec<SeatIndex> =
            all.into_iter().filter(|i| self[*i].partition == partition).collect();
        for seat in &mine {
            if self[*seat].is_unresolved() {
                self.remove(*seat);
                continue;
            }
            let handle = Handle::of(
                key,
                &self.stages[self[*seat].stage].id,
                &self.viewer(*seat),
                &self.session(*seat),
            );
            self[*seat].set(SeatFlag::Ambiguous, false);
            self.set_handle(*seat, handle);
        }
        self.rehook();
        for seat in mine {
            let handle = self[seat].handle;
            if self.get(seat).is_some() && self.find_handle(handle) != Some(seat) {
                self[seat].set(SeatFlag::Ambiguous, true);
            }
        }
    }

    /// Rebuilds the table from the rings.
    fn rehook(&mut self) {
        let anchors: Vec<SeatIndex> =
            self.shards.iter().flat_map(|shard| shard.iter().copied()).collect();
        self.shards.iter_mut().for_each(HashTable::clear);
        anchors.into_iter().for_each(|anchor| self.insert_ring(anchor));
    }

    /// Returns the times of a seat's session.
    pub(super) fn times(&self, seat: SeatIndex) -> SessionTimes {
        let known = &self[seat];
        let spilled = known.is(SeatFlag::Spilled).then(|| self.spilled.get(&seat)).flatten();
        spilled.map_or_else(|| known.brief.times(), Clone::clone)
    }

    /// Changes the times of a seat's session. Spilled times are changed in place, however many
    /// there are.
    pub(super) fn change_times<T>(
        &mut self,
        seat: SeatIndex,
        change: impl FnOnce(&mut SessionTimes) -> T,
    ) -> T {
        let beat_before = self.indexed_beat(seat);
        let changed = self.change_times_of(seat, change);
        if let Some(before) = beat_before {
            self.move_beat(seat, before);
        }
        changed
    }

    fn change_times_of<T>(
        &mut self,
        seat: SeatIndex,
        change: impl FnOnce(&mut SessionTimes) -> T,
    ) -> T {
        if let Some(times) = self.spilled.get_mut(&seat) {
            let changed = change(times);
            if let Some(brief) = times.brief() {
                self.spilled.remove(&seat);
                self[seat].brief = brief;
                self[seat].set(SeatFlag::Spilled, false);
            }
            return changed;
        }
        let mut times = self[seat].brief.times();
        let changed = change(&mut times);
        match times.brief() {
            Some(brief) => self[seat].brief = brief,
            None => {
                self[seat].set(SeatFlag::Spilled, true);
                self.spilled.insert(seat, times);
            }
        }
        changed
    }

    /// Returns a session's last beat, and its last leave; zero for none.
    pub(super) fn last(&self, seat: SeatIndex) -> (UnixMs, UnixMs) {
        let known = &self[seat];
        match known.is(SeatFlag::Spilled).then(|| self.spilled.get(&seat)).flatten() {
            Some(times) => (times.beat_last(), times.leaves.last().copied().unwrap_or_default()),
            None => (known.brief.beat, known.brief.left()),
        }
    }

    /// Returns a session's last leave at or before `at`; zero for none.
    pub(super) fn leave_until(&self, seat: SeatIndex, at: UnixMs) -> UnixMs {
        let known = &self[seat];
        match known.is(SeatFlag::Spilled).then(|| self.spilled.get(&seat)).flatten() {
            Some(times) => times.leave_until(at),
            None => Some(known.brief.left()).filter(|left| *left <= at).unwrap_or_default(),
        }
    }

    /// Returns a seat's viewer.
    pub(super) fn viewer(&self, seat: SeatIndex) -> Id<'_> {
        self.names.id(self[seat].viewer)
    }

    /// Returns a seat's session.
    pub(super) fn session(&self, seat: SeatIndex) -> Id<'_> {
        self.names.id(self[seat].session)
    }

    /// Adds a seat to its stage's list of online seats, or removes it.
    fn list(&mut self, seat: SeatIndex, online: bool) {
        let known = &self.seats[seat as usize];
        let (stage, head) = (&mut self.stages[known.stage], known.handle.head());
        if online {
            stage.online.insert(head, seat);
        } else {
            stage.online.remove(head, seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_unequally_and_all_have_some() {
        let shares = shares();
        let counts = |shard: usize| shares.iter().filter(|s| usize::from(**s) == shard).count();
        assert!((0..SHARDS).all(|shard| (2..=7).contains(&counts(shard))));
        assert!(counts(SHARDS - 1) > counts(0));
    }

    /// Two sessions with one handle are kept apart by their ids, and marked.
    #[test]
    fn one_handle_for_two() {
        let mut seats = SeatTable::default();
        let handle = Handle::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let ids = |viewer| Ids { stage: "s", viewer, session: "" };
        let ann = seats.insert_named(handle, 0, ids("ann"));
        assert!(!seats[ann].is(SeatFlag::Ambiguous));
        let bob = seats.find_or_name(ann, handle, 0, ids("bob"));
        assert_eq!(seats.find_or_name(ann, handle, 0, ids("bob")), bob);
        assert_ne!(ann, bob);
        assert!(seats[ann].is(SeatFlag::Ambiguous) && seats[bob].is(SeatFlag::Ambiguous));
        assert_eq!(
            (seats.find(handle, ids("ann")), seats.find(handle, ids("bob"))),
            (Some(ann), Some(bob))
        );
        seats.remove(ann);
        assert_eq!(
            (seats.find(handle, ids("ann")), seats.find(handle, ids("bob"))),
            (None, Some(bob))
        );
        seats.remove(bob);
        assert_eq!((seats.len(), seats.stages.after(None).count()), (0, 0));
        assert!(seats.shards.iter().all(HashTable::is_empty));
    }
}
