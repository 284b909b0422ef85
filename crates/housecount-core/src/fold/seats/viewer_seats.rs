//! Index over the seats of one viewer who has many.
//!
//! It exists so that no call holds the fold's lock for longer the more sessions a viewer has made:
//! each look-up here takes a time that grows with the logarithm of their number. It stores places
//! and decides nothing: `viewer.rs` keeps it equal to the seats.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::fold::seat::{SeatFlag, SeatIndex, SeatState, StageIndex};
use crate::time::UnixMs;

/// Index over the seats of one viewer: by handle, by stage, and of those online by their last beat.
#[derive(Debug, Default)]
pub(super) struct ViewerSeats {
    /// By the handle's second half: the first half is the viewer's.
    by_tail: BTreeSet<(u32, SeatIndex)>,
    by_stage: BTreeSet<(StageIndex, SeatIndex)>,
    online: BTreeSet<(StageIndex, UnixMs, SeatIndex)>,
    /// Number of seats online on a stage, for stages with any.
    online_here: HashMap<StageIndex, usize, RandomState>,
    /// Seats whose leaves, or whose proof, are those of others: without a session, or carried over.
    /// One of each per stage.
    shared: BTreeSet<(StageIndex, SeatIndex)>,
}

/// All places, as the last part of a key.
const PLACES: RangeInclusive<SeatIndex> = 0..=SeatIndex::MAX;

/// The keys that begin with `first`.
fn keys<T: Copy>(first: T) -> RangeInclusive<(T, SeatIndex)> {
    (first, *PLACES.start())..=(first, *PLACES.end())
}

impl ViewerSeats {
    pub(super) fn len(&self) -> usize {
        self.by_stage.len()
    }

    /// Adds a seat, whose last beat was at `beat`.
    pub(super) fn insert(&mut self, seat: SeatIndex, known: &SeatState, beat: UnixMs) {
        self.by_tail.insert((known.handle.tail(), seat));
        self.by_stage.insert((known.stage, seat));
        if known.is_without_session() || known.is(SeatFlag::Restored) {
            self.share(seat, known.stage);
        }
        if known.is(SeatFlag::Online) {
            self.set_online(seat, known.stage, beat, true);
        }
    }

    /// Removes a seat that is not online.
    pub(super) fn remove(&mut self, seat: SeatIndex, known: &SeatState) {
        debug_assert!(!known.is(SeatFlag::Online));
        self.by_tail.remove(&(known.handle.tail(), seat));
        self.by_stage.remove(&(known.stage, seat));
        self.shared.remove(&(known.stage, seat));
    }

    /// Marks a seat as one whose leaves, or whose proof, are those of others.
    pub(super) fn share(&mut self, seat: SeatIndex, stage: StageIndex) {
        self.shared.insert((stage, seat));
    }

    /// Puts a seat among those online, or takes it out.
    pub(super) fn set_online(
        &mut self,
        seat: SeatIndex,
        stage: StageIndex,
        beat: UnixMs,
        online: bool,
    ) {
        let here = self.online_here.entry(stage).or_default();
        if online {
            self.online.insert((stage, beat, seat));
            *here += 1;
            return;
        }
        self.online.remove(&(stage, beat, seat));
        *here -= 1;
        if *here == 0 {
            self.online_here.remove(&stage);
        }
    }

    /// The last beat of a seat that is online was at `before`, and is at `beat` now.
    pub(super) fn move_beat(
        &mut self,
        seat: SeatIndex,
        stage: StageIndex,
        before: UnixMs,
        beat: UnixMs,
    ) {
        if before != beat {
            self.online.remove(&(stage, before, seat));
            self.online.insert((stage, beat, seat));
        }
    }

    /// The second half of a seat's handle was `before`, and is `tail` now.
    pub(super) fn move_tail(&mut self, seat: SeatIndex, before: u32, tail: u32) {
        self.by_tail.remove(&(before, seat));
        self.by_tail.insert((tail, seat));
    }

    pub(super) fn with_tail(&self, tail: u32) -> impl Iterator<Item = SeatIndex> {
        self.by_tail.range(keys(tail)).map(|(_, seat)| *seat)
    }

    /// The seats on a stage, in the order of their places.
    pub(super) fn on(&self, stage: StageIndex) -> impl Iterator<Item = SeatIndex> {
        self.by_stage.range(keys(stage)).map(|(_, seat)| *seat)
    }

    pub(super) fn shared_on(&self, stage: StageIndex) -> impl Iterator<Item = SeatIndex> {
        self.shared.range(keys(stage)).map(|(_, seat)| *seat)
    }

    /// The seats online on a stage whose last beat was at or before `at`, in the order of these.
    pub(super) fn online_until(
        &self,
        stage: StageIndex,
        at: UnixMs,
    ) -> impl DoubleEndedIterator<Item = SeatIndex> {
        let range = (stage, UnixMs::ZERO, *PLACES.start())..=(stage, at, *PLACES.end());
        self.online.range(range).map(|(_, _, seat)| *seat)
    }

    /// How many seats are online on a stage.
    pub(super) fn count_on(&self, stage: StageIndex) -> usize {
        self.online_here.get(&stage).copied().unwrap_or(0)
    }

    /// How many seats are online on any stage.
    pub(super) fn count(&self) -> usize {
        self.online.len()
    }
}
