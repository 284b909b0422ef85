//! Where sessions and stages lie in memory, and how they find each other.
//!
//! This file knows nothing of the rules: it stores and links. A session on a stage is a *seat* of 56 bytes; a viewer's
//! seats form a ring, and a table of rings is searched by the viewer's half of a [`Handle`]. A seat of which only the
//! handle is known, because the log told its ids before this node began to read, is *nameless*.
//!
//! The table is cut in shards, so that growing it moves a few thousand entries at a time and never holds anybody up.
//! Nothing is iterated in hash order, so that two nodes answer alike.

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use slab::Slab;

use super::handle::{Handle, HandleKey};
use super::names::{Name, Names};
use super::presence::Count;
use super::times::{Brief, Times};
use crate::time::UnixMs;

/// A seat's place. 32 bits wide: four billion sessions are more than any node's memory holds.
pub(super) type SeatIndex = u32;
/// A stage's place.
pub(super) type StageIndex = u32;

/// Shards of the table: a million viewers are 16,000 each.
const SHARDS: usize = 64;
/// Not in any list.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The ids of a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids<'a> {
    pub(super) stage: &'a str,
    pub(super) viewer: &'a str,
    pub(super) session: &'a str,
}

/// One session of a viewer on a stage.
///
/// In this order, so that what a beat touches lies together.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Seat {
    /// What is known of it, if that can be said in brief; else see [`Seats::times`].
    brief: Brief,
    pub(super) handle: Handle,
    /// The viewer's next seat, on any stage; the last one's is the first.
    next: SeatIndex,
    pub(super) partition: u8,
    flags: u8,
    viewer: Name,
    session: Name,
    /// [`NOWHERE`] for a nameless seat.
    pub(super) stage: StageIndex,
    /// Where the stage's list of those online has it.
    place: u32,
    /// In which second it is to be looked at again; [`NOWHERE`] for never.
    pub(super) look_s: u32,
    /// When its ids were last told in the log, Unix seconds; zero for never.
    pub(super) told_s: u32,
}

const _: () = assert!(size_of::<Seat>() <= 56);

/// What is true of a seat, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Flag {
    /// It is in use; others are free.
    Used = 1,
    /// It is in the counts.
    Online = 2,
    /// An event came after what it proves may have been written.
    Late = 4,
    /// Another seat has the same handle.
    Ambiguous = 8,
    /// It stands for what the ledger said, and for no session.
    Carried = 16,
    /// Its times don't fit in brief.
    Spilled = 32,
}

impl Seat {
    pub(super) fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    pub(super) fn set(&mut self, flag: Flag, on: bool) {
        if on {
            self.flags |= flag as u8;
        } else {
            self.flags &= !(flag as u8);
        }
    }

    /// Whether its player names no session; such a seat's leaves cover all of the viewer's on the stage.
    pub(super) fn is_unnamed(&self) -> bool {
        self.session == Name::EMPTY
    }

    /// Whether only its handle is known.
    pub(super) fn is_nameless(&self) -> bool {
        self.stage == NOWHERE
    }

    /// Takes in the usual next beat, if it is that.
    #[inline]
    pub(super) fn goes_on(&mut self, at: UnixMs, ttl_ms: u64) -> bool {
        !self.is(Flag::Spilled) && self.brief.goes_on(at, ttl_ms)
    }
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) id: Box<str>,
    pub(super) count: Count,
    /// The most viewers so far.
    pub(super) peak: u64,
    /// The seats that are online here, in no order.
    pub(super) online: Vec<SeatIndex>,
    /// Since when none is.
    pub(super) idle_since: UnixMs,
    /// Whether its turn to be forgotten is waited for.
    pub(super) is_queued: bool,
    /// How many seats are on it, online or not.
    seats: u32,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<Seat>,
    free: Vec<SeatIndex>,
    names: Names,
    spilled: HashMap<SeatIndex, Times, RandomState>,
    shards: Vec<HashTable<SeatIndex>>,
    stages: Slab<Stage>,
    by_stage: HashTable<StageIndex>,
    hasher: RandomState,
}

impl Default for Seats {
    fn default() -> Seats {
        Seats {
            seats: Vec::new(),
            free: Vec::new(),
            names: Names::default(),
            spilled: HashMap::default(),
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            stages: Slab::new(),
            by_stage: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

impl Index<SeatIndex> for Seats {
    type Output = Seat;
    fn index(&self, seat: SeatIndex) -> &Seat {
        &self.seats[seat as usize]
    }
}

impl IndexMut<SeatIndex> for Seats {
    fn index_mut(&mut self, seat: SeatIndex) -> &mut Seat {
        &mut self.seats[seat as usize]
    }
}

/// A head's shard, and its hash within: the head is a hash already, but a short one.
fn spread(head: u32) -> (usize, u64) {
    let hash = u64::from(head).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (head as usize % SHARDS, hash ^ hash >> 32)
}

impl Seats {
    /// How many places there are, some of them free.
    pub(super) fn places(&self) -> usize {
        self.seats.len()
    }

    /// How many seats there are.
    pub(super) fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    /// The seat at a place that may be free, or have another one since.
    pub(super) fn get(&self, seat: SeatIndex) -> Option<&Seat> {
        self.seats.get(seat as usize).filter(|seat| seat.is(Flag::Used))
    }

    /// The seats at `places`.
    pub(super) fn within(&self, places: std::ops::Range<usize>) -> impl Iterator<Item = SeatIndex> {
        let end = places.end.min(self.seats.len());
        (places.start.min(end)..end).filter(|i| self.seats[*i].is(Flag::Used)).map(|i| i as SeatIndex)
    }

    /// All of a seat's viewer's, itself first.
    pub(super) fn ring(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        std::iter::successors(Some(seat), move |at| Some(self[*at].next).filter(|next| *next != seat))
    }

    /// All of a seat's viewer's on its stage, itself first.
    pub(super) fn ring_here(&self, seat: SeatIndex) -> impl Iterator<Item = SeatIndex> {
        let stage = self[seat].stage;
        self.ring(seat).filter(move |other| self[*other].stage == stage)
    }

    /// The seat with this handle; the first one found, should there be two.
    pub(super) fn find_handle(&self, handle: Handle) -> Option<SeatIndex> {
        let (shard, hash) = spread(handle.head());
        let mut found = None;
        self.shards[shard].find(hash, |anchor| {
            // Heads alone tell most viewers apart, and most viewers have one seat.
            if self[*anchor].handle.head() == handle.head() {
                found = self.ring(*anchor).find(|seat| self[*seat].handle == handle);
            }
            found.is_some()
        });
        found
    }

    /// Any seat of a viewer whose handles have this head.
    pub(super) fn find_viewer(&self, head: u32, viewer: &str) -> Option<SeatIndex> {
        let (shard, hash) = spread(head);
        let is_it = |anchor: &SeatIndex| {
            let seat = &self[*anchor];
            seat.handle.head() == head && self.names.bytes(seat.viewer) == viewer.as_bytes()
        };
        self.shards[shard].find(hash, is_it).copied()
    }

    /// The seat with these ids.
    pub(super) fn find(&self, handle: Handle, ids: Ids<'_>) -> Option<SeatIndex> {
        let anchor = self.find_viewer(handle.head(), ids.viewer)?;
        self.ring(anchor).find(|seat| self.is_of(*seat, ids))
    }

    /// Whether a seat of the right viewer has these ids.
    fn is_of(&self, seat: SeatIndex, ids: Ids<'_>) -> bool {
        let seat = &self[seat];
        let stage = self.stages.get(seat.stage as usize);
        self.names.bytes(seat.session) == ids.session.as_bytes()
            && stage.is_some_and(|stage| *stage.id == *ids.stage)
    }

    /// Whether a seat has these ids.
    pub(super) fn has(&self, seat: SeatIndex, ids: Ids<'_>) -> bool {
        self.names.bytes(self[seat].viewer) == ids.viewer.as_bytes() && self.is_of(seat, ids)
    }

    /// The seat with these ids, made or named if it isn't there.
    pub(super) fn find_or_insert(&mut self, handle: Handle, partition: u8, ids: Ids<'_>) -> SeatIndex {
        if let Some(seat) = self.find(handle, ids) {
            return seat;
        }
        let same = self.find_handle(handle);
        let seat = match same {
            Some(seat) if self[seat].is_nameless() => {
                self.unhook(seat);
                seat
            }
            _ => self.insert(handle, partition),
        };
        if let Some(other) = same.filter(|other| *other != seat) {
            self[other].set(Flag::Ambiguous, true);
            self[seat].set(Flag::Ambiguous, true);
        }
        self.name(seat, ids);
        seat
    }

    /// The seat with this handle, made without a name if it isn't there.
    pub(super) fn find_or_insert_nameless(&mut self, handle: Handle, partition: u8) -> SeatIndex {
        self.find_handle(handle).unwrap_or_else(|| {
            let seat = self.insert(handle, partition);
            self.hook(seat);
            seat
        })
    }

    /// A new seat, in no ring that could be found.
    fn insert(&mut self, handle: Handle, partition: u8) -> SeatIndex {
        let at = self.free.pop().unwrap_or(self.seats.len() as SeatIndex);
        let seat = Seat {
            brief: Brief::default(),
            handle,
            viewer: Name::UNKNOWN,
            session: Name::UNKNOWN,
            stage: NOWHERE,
            next: at,
            place: NOWHERE,
            look_s: NOWHERE,
            told_s: 0,
            partition,
            flags: Flag::Used as u8,
        };
        match self.seats.get_mut(at as usize) {
            Some(free) => *free = seat,
            None => self.seats.push(seat),
        }
        at
    }

    /// Puts a ring into the table.
    fn hook(&mut self, anchor: SeatIndex) {
        let (shard, hash) = spread(self[anchor].handle.head());
        let seats = &self.seats;
        self.shards[shard].insert_unique(hash, anchor, |i| spread(seats[*i as usize].handle.head()).1);
    }

    /// Takes a ring out of the table.
    fn unhook(&mut self, anchor: SeatIndex) {
        let (shard, hash) = spread(self[anchor].handle.head());
        if let Ok(entry) = self.shards[shard].find_entry(hash, |i| *i == anchor) {
            entry.remove();
        }
    }

    /// Gives a seat that is in no ring its ids, and puts it into its viewer's ring.
    fn name(&mut self, seat: SeatIndex, ids: Ids<'_>) {
        let stage = self.find_stage(ids.stage).unwrap_or_else(|| self.insert_stage(ids.stage));
        self.stages[stage as usize].seats += 1;
        let sibling = self.find_viewer(self[seat].handle.head(), ids.viewer);
        let viewer = match sibling {
            Some(sibling) => self[sibling].viewer,
            None => self.names.insert(ids.viewer),
        };
        let session = self.names.insert(ids.session);
        let named = &mut self[seat];
        (named.stage, named.viewer, named.session) = (stage, viewer, session);
        match sibling {
            Some(sibling) => {
                self[seat].next = self[sibling].next;
                self[sibling].next = seat;
            }
            None => self.hook(seat),
        }
    }

    /// Drops a seat that is not online, and whatever only it held.
    pub(super) fn remove(&mut self, seat: SeatIndex) {
        let gone = self[seat];
        debug_assert!(!gone.is(Flag::Online));
        self.spilled.remove(&seat);
        if gone.next == seat {
            self.unhook(seat);
            self.names.remove(gone.viewer);
        } else {
            self.unlink(seat, gone);
        }
        self.names.remove(gone.session);
        self[seat].flags = 0;
        self.free.push(seat);
        if let Some(stage) = self.stages.get_mut(gone.stage as usize) {
            stage.seats -= 1;
            self.drop_stage_if_unused(gone.stage);
        }
    }

    /// Takes a seat out of a ring of several.
    fn unlink(&mut self, seat: SeatIndex, gone: Seat) {
        let (shard, hash) = spread(gone.handle.head());
        if let Some(anchor) = self.shards[shard].find_mut(hash, |i| *i == seat) {
            *anchor = gone.next;
        }
        let before = self.ring(seat).find(|other| self[*other].next == seat);
        if let Some(before) = before {
            self[before].next = gone.next;
        }
    }

    /// Makes all handles of a partition anew. Nameless seats are dropped: nobody will name them.
    pub(super) fn rekey(&mut self, partition: u8, key: HandleKey) {
        let all: Vec<SeatIndex> = self.within(0..self.places()).collect();
        let mine: Vec<SeatIndex> = all.into_iter().filter(|i| self[*i].partition == partition).collect();
        for seat in &mine {
            if self[*seat].is_nameless() {
                self.remove(*seat);
                continue;
            }
            let handle = Handle::of(
                key,
                &self.stages[self[*seat].stage as usize].id,
                self.viewer(*seat),
                self.session(*seat),
            );
            let known = &mut self[*seat];
            known.set(Flag::Ambiguous, false);
            known.handle = handle;
        }
        self.rehook();
        for seat in mine {
            let handle = self[seat].handle;
            if self.get(seat).is_some() && self.find_handle(handle) != Some(seat) {
                self[seat].set(Flag::Ambiguous, true);
            }
        }
    }

    /// Makes the table anew from the rings.
    fn rehook(&mut self) {
        let anchors: Vec<SeatIndex> = self.shards.iter().flat_map(|shard| shard.iter().copied()).collect();
        self.shards.iter_mut().for_each(HashTable::clear);
        anchors.into_iter().for_each(|anchor| self.hook(anchor));
    }

    /// What is known of a seat's session.
    pub(super) fn times(&self, seat: SeatIndex) -> Times {
        let known = &self[seat];
        let spilled = known.is(Flag::Spilled).then(|| self.spilled.get(&seat)).flatten();
        spilled.map_or_else(|| known.brief.times(), Clone::clone)
    }

    /// Keeps what is known of a seat's session.
    pub(super) fn set_times(&mut self, seat: SeatIndex, times: Times) {
        let brief = times.brief();
        let was_spilled = self[seat].is(Flag::Spilled);
        self[seat].set(Flag::Spilled, brief.is_none());
        match brief {
            Some(brief) => self[seat].brief = brief,
            None => {
                self.spilled.insert(seat, times);
                return;
            }
        }
        if was_spilled {
            self.spilled.remove(&seat);
        }
    }

    /// A session's last beat, and its last leave; zero for none.
    pub(super) fn last(&self, seat: SeatIndex) -> (UnixMs, UnixMs) {
        let known = &self[seat];
        match known.is(Flag::Spilled).then(|| self.spilled.get(&seat)).flatten() {
            Some(times) => (times.beat_last(), times.leaves.last().copied().unwrap_or_default()),
            None => (known.brief.beat, known.brief.left()),
        }
    }

    /// A session's last leave that was said at or before `at`; zero for none.
    pub(super) fn leave_until(&self, seat: SeatIndex, at: UnixMs) -> UnixMs {
        let known = &self[seat];
        match known.is(Flag::Spilled).then(|| self.spilled.get(&seat)).flatten() {
            Some(times) => times.leave_until(at),
            None => Some(known.brief.left()).filter(|left| *left <= at).unwrap_or_default(),
        }
    }

    /// A seat's viewer.
    pub(super) fn viewer(&self, seat: SeatIndex) -> &str {
        self.names.text(self[seat].viewer)
    }

    /// A seat's session.
    pub(super) fn session(&self, seat: SeatIndex) -> &str {
        self.names.text(self[seat].session)
    }

    /// Puts a seat into its stage's list of those online, or takes it out.
    pub(super) fn list(&mut self, seat: SeatIndex, online: bool) {
        let stage = &mut self.stages[self.seats[seat as usize].stage as usize];
        if online {
            self.seats[seat as usize].place = stage.online.len() as u32;
            stage.online.push(seat);
            return;
        }
        let place = std::mem::replace(&mut self.seats[seat as usize].place, NOWHERE);
        stage.online.swap_remove(place as usize);
        if let Some(moved) = stage.online.get(place as usize) {
            self.seats[*moved as usize].place = place;
        }
    }

    fn insert_stage(&mut self, id: &str) -> StageIndex {
        let stage = self.stages.insert(Stage {
            id: id.into(),
            count: Count::default(),
            peak: 0,
            online: Vec::new(),
            idle_since: UnixMs::ZERO,
            is_queued: false,
            seats: 0,
        });
        let (stages, hasher) = (&self.stages, &self.hasher);
        self.by_stage.insert_unique(hasher.hash_one(id), stage as StageIndex, |i| {
            hasher.hash_one(&*stages[*i as usize].id)
        });
        stage as StageIndex
    }

    /// Drops a stage that nobody can ask for any more.
    pub(super) fn drop_stage_if_unused(&mut self, stage: StageIndex) {
        let known = &self.stages[stage as usize];
        if known.seats > 0 || known.peak > 0 || known.is_queued {
            return;
        }
        let gone = self.stages.remove(stage as usize);
        if let Ok(entry) = self.by_stage.find_entry(self.hasher.hash_one(&*gone.id), |i| *i == stage) {
            entry.remove();
        }
    }

    pub(super) fn find_stage(&self, id: &str) -> Option<StageIndex> {
        let hash = self.hasher.hash_one(id);
        self.by_stage.find(hash, |i| *self.stages[*i as usize].id == *id).copied()
    }

    pub(super) fn stage(&self, stage: StageIndex) -> &Stage {
        &self.stages[stage as usize]
    }

    pub(super) fn stage_mut(&mut self, stage: StageIndex) -> &mut Stage {
        &mut self.stages[stage as usize]
    }

    /// All stages, in no order that means anything.
    pub(super) fn all_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().map(|(_, stage)| stage)
    }

    pub(super) fn reset_peaks(&mut self) {
        self.stages.iter_mut().for_each(|(_, stage)| stage.peak = stage.count.viewers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sessions with one handle are kept apart by their ids, and marked.
    #[test]
    fn one_handle_for_two() {
        let mut seats = Seats::default();
        let handle = Handle::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let ids = |viewer| Ids { stage: "s", viewer, session: "" };
        let ann = seats.find_or_insert(handle, 0, ids("ann"));
        assert!(!seats[ann].is(Flag::Ambiguous));
        let bob = seats.find_or_insert(handle, 0, ids("bob"));
        assert_ne!(ann, bob);
        assert!(seats[ann].is(Flag::Ambiguous) && seats[bob].is(Flag::Ambiguous));
        assert_eq!((seats.find(handle, ids("ann")), seats.find(handle, ids("bob"))), (Some(ann), Some(bob)));
        seats.remove(ann);
        assert_eq!((seats.find(handle, ids("ann")), seats.find(handle, ids("bob"))), (None, Some(bob)));
        seats.remove(bob);
        assert_eq!((seats.len(), seats.stages.len(), seats.by_stage.len()), (0, 0, 0));
        assert!(seats.shards.iter().all(HashTable::is_empty));
    }
}
