//! Where sessions, viewers and stages lie in memory, and how they find each other.
//!
//! This file knows nothing of time: it stores and links. Indices are 32 bits wide, since four billion sessions
//! are more than any node's memory holds. Nothing is iterated in hash order, so that two nodes answer alike.

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::Count;
use crate::event::EventRef;
use crate::time::UnixMs;

/// A session's place in the slab. `u32` so that links stay small.
pub(super) type SeatIndex = u32;
/// A viewer's place.
pub(super) type ViewerIndex = u32;
/// A stage's place.
pub(super) type StageIndex = u32;

/// One session of a viewer on a stage.
#[derive(Debug)]
pub(super) struct Seat {
    /// The latest beat; zero if only leaves are known.
    pub(super) beat: UnixMs,
    /// The latest leave that has taken effect; zero for none.
    pub(super) leave: UnixMs,
    /// The latest leave at all, in effect or pending; zero for none.
    pub(super) left: UnixMs,
    /// When it is to be looked at again; never, until its first event is in.
    pub(super) due: UnixMs,
    pub(super) session: Box<str>,
    pub(super) viewer: ViewerIndex,
    pub(super) stage: StageIndex,
    /// The viewer's next session, on any stage.
    pub(super) next: Option<SeatIndex>,
    /// Where the stage's list has this session.
    place: u32,
    /// Whether it is in the counts.
    pub(super) online: bool,
}

impl Seat {
    /// Whether its player names no session; such a seat's leaves cover all of the viewer's on the stage.
    pub(super) fn is_unnamed(&self) -> bool {
        self.session.is_empty()
    }
}

#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) id: Box<str>,
    first: Option<SeatIndex>,
    /// Online sessions over all stages.
    online_sessions: u32,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) id: Box<str>,
    pub(super) count: Count,
    /// The most viewers so far.
    pub(super) peak: u64,
    /// All sessions known here, in no order.
    pub(super) seats: Vec<SeatIndex>,
    /// Since when there is none; zero while there are some.
    idle_since: UnixMs,
}

#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: Slab<Seat>,
    viewers: Slab<Viewer>,
    stages: Slab<Stage>,
    by_viewer: HashTable<ViewerIndex>,
    by_stage: HashTable<StageIndex>,
    hasher: RandomState,
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

impl Seats {
    /// The seat at an index that may be stale.
    pub(super) fn get(&self, seat: SeatIndex) -> Option<&Seat> {
        self.seats.get(seat as usize)
    }

    /// The seat that an event speaks of, made if it isn't there.
    pub(super) fn find_or_insert(&mut self, event: &EventRef<'_>) -> SeatIndex {
        let viewer = self.viewer_or_insert(event.viewer);
        let stage = self.stage_or_insert(event.stage);
        let mut next = self.viewers[viewer as usize].first;
        while let Some(seat) = next {
            let known = &self[seat];
            if known.stage == stage && *known.session == *event.session {
                return seat;
            }
            next = known.next;
        }
        self.insert(viewer, stage, event.session)
    }

    fn insert(&mut self, viewer: ViewerIndex, stage: StageIndex, session: &str) -> SeatIndex {
        let here = &mut self.stages[stage as usize];
        let place = here.seats.len() as u32;
        here.idle_since = UnixMs::ZERO;
        let seat = self.seats.insert(Seat {
            beat: UnixMs::ZERO,
            leave: UnixMs::ZERO,
            left: UnixMs::ZERO,
            due: UnixMs::MAX,
            session: session.into(),
            viewer,
            stage,
            next: self.viewers[viewer as usize].first,
            place,
            online: false,
        }) as SeatIndex;
        here.seats.push(seat);
        self.viewers[viewer as usize].first = Some(seat);
        seat
    }

    /// Drops a seat that is not online, and its viewer if that was the last one. Returns its stage if that has
    /// no seat left.
    pub(super) fn remove(&mut self, seat: SeatIndex, now: UnixMs) -> Option<StageIndex> {
        let gone = self.seats.remove(seat as usize);
        debug_assert!(!gone.online);
        self.unlink(&gone, seat);
        let here = &mut self.stages[gone.stage as usize];
        here.seats.swap_remove(gone.place as usize);
        if let Some(moved) = here.seats.get(gone.place as usize).copied() {
            self.seats[moved as usize].place = gone.place;
        }
        let here = &mut self.stages[gone.stage as usize];
        if !here.seats.is_empty() {
            return None;
        }
        here.idle_since = now;
        Some(gone.stage)
    }

    fn unlink(&mut self, gone: &Seat, seat: SeatIndex) {
        let viewer = &mut self.viewers[gone.viewer as usize];
        if viewer.first == Some(seat) {
            viewer.first = gone.next;
            if viewer.first.is_none() {
                self.drop_viewer(gone.viewer);
            }
            return;
        }
        let mut at = viewer.first;
        while let Some(before) = at {
            if self[before].next == Some(seat) {
                self[before].next = gone.next;
                return;
            }
            at = self[before].next;
        }
    }

    fn drop_viewer(&mut self, viewer: ViewerIndex) {
        let gone = self.viewers.remove(viewer as usize);
        if let Ok(entry) = self.by_viewer.find_entry(self.hasher.hash_one(&*gone.id), |i| *i == viewer) {
            entry.remove();
        }
    }

    /// Forgets a stage if it has had no session since `since`.
    pub(super) fn drop_stage_idle_since(&mut self, stage: StageIndex, since: UnixMs) {
        let idle = self.stages.get(stage as usize).is_some_and(|s| s.idle_since == since);
        if !idle || since == UnixMs::ZERO {
            return;
        }
        let gone = self.stages.remove(stage as usize);
        if let Ok(entry) = self.by_stage.find_entry(self.hasher.hash_one(&*gone.id), |i| *i == stage) {
            entry.remove();
        }
    }

    fn viewer_or_insert(&mut self, id: &str) -> ViewerIndex {
        if let Some(viewer) = self.find_viewer(id) {
            return viewer;
        }
        let viewer = self.viewers.insert(Viewer { id: id.into(), first: None, online_sessions: 0 });
        let (viewers, hasher) = (&self.viewers, &self.hasher);
        self.by_viewer.insert_unique(hasher.hash_one(id), viewer as ViewerIndex, |i| {
            hasher.hash_one(&*viewers[*i as usize].id)
        });
        viewer as ViewerIndex
    }

    fn stage_or_insert(&mut self, id: &str) -> StageIndex {
        if let Some(stage) = self.find_stage(id) {
            return stage;
        }
        let stage = self.stages.insert(Stage {
            id: id.into(),
            count: Count::default(),
            peak: 0,
            seats: Vec::new(),
            idle_since: UnixMs::ZERO,
        });
        let (stages, hasher) = (&self.stages, &self.hasher);
        self.by_stage.insert_unique(hasher.hash_one(id), stage as StageIndex, |i| {
            hasher.hash_one(&*stages[*i as usize].id)
        });
        stage as StageIndex
    }

    pub(super) fn find_viewer(&self, id: &str) -> Option<ViewerIndex> {
        let hash = self.hasher.hash_one(id);
        self.by_viewer.find(hash, |i| *self.viewers[*i as usize].id == *id).copied()
    }

    pub(super) fn find_stage(&self, id: &str) -> Option<StageIndex> {
        let hash = self.hasher.hash_one(id);
        self.by_stage.find(hash, |i| *self.stages[*i as usize].id == *id).copied()
    }

    /// The latest leave in effect that covers all sessions of a seat's viewer on its stage.
    pub(super) fn leave_of_all(&self, seat: &Seat) -> UnixMs {
        self.of_viewer(seat.viewer)
            .find(|other| other.stage == seat.stage && other.is_unnamed())
            .map_or(UnixMs::ZERO, |unnamed| unnamed.leave)
    }

    /// Whether a seat's viewer is online on the seat's stage, by any of its sessions.
    pub(super) fn is_viewer_online(&self, seat: SeatIndex) -> bool {
        let here = &self[seat];
        here.online || self.of_viewer(here.viewer).any(|other| other.online && other.stage == here.stage)
    }

    /// All seats of a viewer, on every stage.
    pub(super) fn of_viewer(&self, viewer: ViewerIndex) -> impl Iterator<Item = &Seat> {
        let first = self.viewers[viewer as usize].first;
        std::iter::successors(first.map(|i| &self[i]), |seat| seat.next.map(|i| &self[i]))
    }

    pub(super) fn first_of(&self, viewer: ViewerIndex) -> Option<SeatIndex> {
        self.viewers[viewer as usize].first
    }

    pub(super) fn viewer_sessions(&mut self, viewer: ViewerIndex) -> &mut u32 {
        &mut self.viewers[viewer as usize].online_sessions
    }

    pub(super) fn viewer(&self, viewer: ViewerIndex) -> &Viewer {
        &self.viewers[viewer as usize]
    }

    pub(super) fn stage(&self, stage: StageIndex) -> &Stage {
        &self.stages[stage as usize]
    }

    pub(super) fn stage_count(&mut self, stage: StageIndex) -> &mut Count {
        &mut self.stages[stage as usize].count
    }

    pub(super) fn note_peak(&mut self, stage: StageIndex) {
        let stage = &mut self.stages[stage as usize];
        stage.peak = stage.peak.max(stage.count.viewers);
    }

    pub(super) fn reset_peaks(&mut self) {
        self.stages.iter_mut().for_each(|(_, stage)| stage.peak = stage.count.viewers);
    }

    /// All stages, in no order that means anything.
    pub(super) fn all_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().map(|(_, stage)| stage)
    }

    /// All seats, in no order that means anything.
    pub(super) fn all(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().map(|(_, seat)| seat)
    }
}
