//! Index over the seats of a viewer with many seats.
//!
//! Without it a call would hold the fold's lock for longer, the more sessions a viewer has made.
//! Each look-up here takes time that grows with the logarithm of their number. The index stores
//! places and decides nothing. `viewer.rs` keeps it equal to the seats.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};

use crate::fold::labels::SharedValue;
use crate::fold::seat::{NOWHERE, SeatFlag, SeatIndex, SeatState, StageIndex};
use crate::labels::SEPARATOR;
use crate::limits::LABEL_KEYS_MAX;
use crate::time::UnixMs;

/// Index over the seats of one viewer: by handle, by stage, and online seats by last beat.
#[derive(Debug, Default)]
pub(super) struct ViewerSeats {
    /// Seats by the second half of their handle. The first half is the viewer's.
    by_tail: BTreeSet<(u32, SeatIndex)>,
    by_stage: BTreeSet<(StageIndex, SeatIndex)>,
    online: BTreeSet<(StageIndex, UnixMs, SeatIndex)>,
    /// Number of seats online on a stage, for stages with any.
    online_here: HashMap<StageIndex, usize, RandomState>,
    /// Seats whose leaves or proof belong to other seats, too: without a session id, or restored.
    /// One of each per stage.
    shared: BTreeSet<(StageIndex, SeatIndex)>,
    /// Number of online seats by stage, key and value, and with stage [`NOWHERE`] in all. It is
    /// empty if labels are off.
    labels: HashMap<LabelOfStage<Box<str>>, u32, RandomState>,
}

/// A value of a key, by its index, on a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LabelOfStage<T>(StageIndex, usize, T);

impl Equivalent<LabelOfStage<Box<str>>> for LabelOfStage<&str> {
    fn equivalent(&self, other: &LabelOfStage<Box<str>>) -> bool {
        (self.0, self.1, self.2) == (other.0, other.1, &*other.2)
    }
}

/// All places, as the last part of a key.
const PLACES: RangeInclusive<SeatIndex> = 0..=SeatIndex::MAX;

/// Returns the range of keys that begin with `first`.
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

    /// Marks a seat whose leaves or proof belong to other seats, too.
    pub(super) fn share(&mut self, seat: SeatIndex, stage: StageIndex) {
        self.shared.insert((stage, seat));
    }

    /// Adds a seat to the online seats, or removes it.
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

    /// Adds the values of a seat's labels to those of the online seats, or removes them. Returns
    /// for each key whether other online seats have the same value.
    pub(super) fn count_labels(
        &mut self,
        stage: StageIndex,
        values: &str,
        up: bool,
    ) -> [SharedValue; LABEL_KEYS_MAX] {
        let mut shared = [SharedValue::default(); LABEL_KEYS_MAX];
        for (key, (shared, value)) in shared.iter_mut().zip(values.split(SEPARATOR)).enumerate() {
            shared.is_here = self.count_label(LabelOfStage(stage, key, value), up) > 0;
            shared.is_anywhere = self.count_label(LabelOfStage(NOWHERE, key, value), up) > 0;
        }
        shared
    }

    /// Counts a seat more or less of a label. Returns the number of the others.
    fn count_label(&mut self, label: LabelOfStage<&str>, up: bool) -> u32 {
        let Some(seats) = self.labels.get_mut(&label) else {
            let LabelOfStage(stage, key, value) = label;
            self.labels.extend(up.then(|| (LabelOfStage(stage, key, value.into()), 1)));
            return 0;
        };
        if up {
            *seats += 1;
            return *seats - 1;
        }
        *seats -= 1;
        let others = *seats;
        if others == 0 {
            self.labels.remove(&label);
        }
        others
    }

    /// Moves an online seat whose last beat changed from `before` to `beat`.
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

    /// Moves a seat whose handle's second half changed from `before` to `tail`.
    pub(super) fn move_tail(&mut self, seat: SeatIndex, before: u32, tail: u32) {
        self.by_tail.remove(&(before, seat));
        self.by_tail.insert((tail, seat));
    }

    pub(super) fn with_tail(&self, tail: u32) -> impl Iterator<Item = SeatIndex> {
        self.by_tail.range(keys(tail)).map(|(_, seat)| *seat)
    }

    /// Returns the seats on a stage, in the order of their places.
    pub(super) fn on(&self, stage: StageIndex) -> impl Iterator<Item = SeatIndex> {
        self.by_stage.range(keys(stage)).map(|(_, seat)| *seat)
    }

    pub(super) fn shared_on(&self, stage: StageIndex) -> impl Iterator<Item = SeatIndex> {
        self.shared.range(keys(stage)).map(|(_, seat)| *seat)
    }

    /// Returns the seats online on a stage whose last beat was at or before `at`, ordered by last
    /// beat.
    pub(super) fn online_until(
        &self,
        stage: StageIndex,
        at: UnixMs,
    ) -> impl DoubleEndedIterator<Item = SeatIndex> {
        let range = (stage, UnixMs::ZERO, *PLACES.start())..=(stage, at, *PLACES.end());
        self.online.range(range).map(|(_, _, seat)| *seat)
    }

    /// Returns the number of seats online on a stage.
    pub(super) fn count_on(&self, stage: StageIndex) -> usize {
        self.online_here.get(&stage).copied().unwrap_or(0)
    }

    /// Returns the number of seats online on any stage.
    pub(super) fn count(&self) -> usize {
        self.online.len()
    }
}
