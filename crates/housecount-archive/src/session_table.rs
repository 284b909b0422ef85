//! The session table: sessions with a recent event, and when each is expected to beat. Writer and
//! reader keep the same table.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use housecount_codec::bytes::DecodeError;
use housecount_codec::range_coder::{BitCoder, BitModel, SignedModel};

use crate::params::ArchiveParams;
use housecount_core::beat_schedule::{TICK_MS, next_gap_ms};
use housecount_core::time::UnixMs;

/// Times in ticks since the epoch.
pub(super) type Ticks = u64;

/// Rounds a time down to its tick, as [`next_gap_ms`] does.
pub(super) fn tick(at: UnixMs) -> Ticks {
    at.0 / TICK_MS
}

/// Ids of a session: stage, viewer and session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionIds<'a> {
    pub(super) stage: &'a str,
    pub(super) viewer: &'a str,
    pub(super) session: &'a str,
}

/// A session and what its next beat is expected from.
#[derive(Debug)]
struct TrackedSession {
    stage: u32,
    viewer: Box<str>,
    session: Box<str>,
    /// Time of its last beat. Before the first beat, the beginning of the slot.
    last: Ticks,
    /// Gap between its last two beats.
    gap: Ticks,
    habit: BeatPattern,
    has_left: bool,
}

/// Pattern that a session's beats follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BeatPattern {
    /// No beat yet.
    New,
    /// The gaps that housecount asked for.
    Scheduled,
    /// An interval of the player's own.
    SelfTimed,
}

/// Classes of the ticks from an expected beat to the end of the slot. Each class has odds of its
/// own.
const DISTANCE_CLASSES: [i64; 7] = [-100, -20, -5, 0, 5, 20, 100];

/// Odds learnt from the audience. Both sides update them alike.
#[derive(Clone, Debug, Default)]
struct AdaptiveModel {
    /// Whether there is a further beat, by the ticks from the expected beat to the slot's end and
    /// by the number of beats so far.
    is_more: [[BitModel; 3]; DISTANCE_CLASSES.len() + 1],
    /// Whether there is a beat after a leave.
    is_back: BitModel,
    /// Ticks between the expected and the actual beat, by pattern.
    off: [SignedModel; 3],
    /// Whether there is a leave, by whether it is the first.
    is_leave: [BitModel; 2],
    /// Ticks from the last beat to a leave.
    left_after: SignedModel,
}

/// Sessions with a recent heartbeat, each with the time of its next one.
#[derive(Debug)]
pub(super) struct SessionTable {
    params: ArchiveParams,
    seats: Vec<Option<TrackedSession>>,
    free: Vec<u32>,
    /// Random keys, because ids come from outside. No stored byte depends on them.
    hasher: RandomState,
    by_ids: HashTable<u32>,
    stages: Vec<Box<str>>,
    by_stage: HashMap<Box<str>, u32, RandomState>,
    learnt: AdaptiveModel,
}

/// Time range of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) from: Ticks,
    pub(super) to: Ticks,
}

/// Largest time that a chunk may contain, in ticks.
const TICK_MAX: Ticks = u64::MAX / TICK_MS / 4;

impl SessionTable {
    pub(super) fn new(params: ArchiveParams) -> SessionTable {
        SessionTable {
            params,
            seats: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
            by_ids: HashTable::new(),
            stages: Vec::new(),
            by_stage: HashMap::default(),
            learnt: AdaptiveModel::default(),
        }
    }

    pub(super) fn params(&self) -> ArchiveParams {
        self.params
    }

    /// Returns the number of places, empty ones included.
    pub(super) fn places(&self) -> u32 {
        self.seats.len() as u32
    }

    pub(super) fn stages(&self) -> &[Box<str>] {
        &self.stages
    }

    /// Returns a stage's number, if it has one.
    pub(super) fn stage(&self, stage: &str) -> Option<u32> {
        self.by_stage.get(stage).copied()
    }

    /// Gives a stage the next number.
    pub(super) fn add_stage(&mut self, stage: &str) -> u32 {
        let number = self.stages.len() as u32;
        self.stages.push(stage.into());
        self.by_stage.insert(stage.into(), number);
        number
    }

    /// Returns a session's place, if it has one.
    pub(super) fn find(&self, stage: u32, viewer: &str, session: &str) -> Option<u32> {
        let is_it = |place: &u32| {
            self.seats[*place as usize].as_ref().is_some_and(|seat| {
                seat.stage == stage && *seat.viewer == *viewer && *seat.session == *session
            })
        };
        self.by_ids.find(self.hasher.hash_one((stage, viewer, session)), is_it).copied()
    }

    /// Gives a session a place, in a slot that begins at `from`. The session must not have one.
    pub(super) fn add(
        &mut self,
        stage: u32,
        viewer: Box<str>,
        session: Box<str>,
        from: Ticks,
    ) -> u32 {
        let hashed = self.hasher.hash_one((stage, &*viewer, &*session));
        let gap = self.params.interval_ms / TICK_MS;
        let seat = TrackedSession {
            stage,
            viewer,
            session,
            last: from,
            gap,
            habit: BeatPattern::New,
            has_left: false,
        };
        let place = self.free.pop().unwrap_or(self.seats.len() as u32);
        if place as usize == self.seats.len() {
            self.seats.push(None);
        }
        self.seats[place as usize] = Some(seat);
        let (seats, hasher) = (&self.seats, &self.hasher);
        self.by_ids.insert_unique(hashed, place, |place| {
            let seat = seats[*place as usize].as_ref();
            seat.map_or(0, |seat| hasher.hash_one((seat.stage, &*seat.viewer, &*seat.session)))
        });
        place
    }

    /// Returns the ids of the session at a place.
    pub(super) fn session_ids(&self, place: u32) -> Option<SessionIds<'_>> {
        let seat = self.seats.get(place as usize)?.as_ref()?;
        let stage = self.stages.get(seat.stage as usize)?;
        Some(SessionIds { stage, viewer: &seat.viewer, session: &seat.session })
    }

    /// Returns whether this is the last beat of a session that is already in the archive.
    pub(super) fn is_known(&self, place: u32, at: Ticks) -> bool {
        let seat = self.seats.get(place as usize).and_then(Option::as_ref);
        seat.is_some_and(|seat| seat.habit != BeatPattern::New && seat.last == at)
    }

    /// Writes or reads the events of a session in a slot. A writer passes `beats` and `leaves` in
    /// order, a reader passes them empty. An empty place has no bits.
    pub(super) fn code_session(
        &mut self,
        place: u32,
        slot: Slot,
        chooser: &mut impl BitCoder,
        beats: &mut Vec<Ticks>,
        leaves: &mut Vec<Ticks>,
        mut room: usize,
    ) -> Result<(), DecodeError> {
        let Some(seat) = self.seats.get_mut(place as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        let learnt = &mut self.learnt;
        let mut count = 0;
        loop {
            let expected = seat.expected(self.params);
            let odds = if seat.has_left && count == 0 {
                &mut learnt.is_back
            } else {
                let left = slot.to as i64 - expected as i64;
                &mut learnt.is_more[DISTANCE_CLASSES.partition_point(|near| *near < left)]
                    [count.min(2)]
            };
            if !chooser.code_bit(odds, count < beats.len())? {
                break;
            }
            let off = beats.get(count).map_or(0, |at| *at as i64 - expected as i64);
            let off = chooser.signed(&mut learnt.off[seat.habit as usize], off)?;
            let at = offset_by(expected, off, &mut room)?;
            if count == beats.len() {
                beats.push(at);
            }
            seat.on_beat(at, self.params);
            count += 1;
        }
        count = 0;
        while chooser.code_bit(&mut learnt.is_leave[count.min(1)], count < leaves.len())? {
            let off = leaves.get(count).map_or(0, |at| *at as i64 - seat.last as i64);
            let at = offset_by(seat.last, chooser.signed(&mut learnt.left_after, off)?, &mut room)?;
            if count == leaves.len() {
                leaves.push(at);
            }
            seat.has_left = at >= seat.last;
            count += 1;
        }
        Ok(())
    }

    /// Frees the places of sessions that will hardly come back in the slot that begins at `from`,
    /// or later. The free places and their order are the same whether it runs for each slot or once
    /// for several.
    pub(super) fn evict(&mut self, from: Ticks) {
        let silent_before = from.saturating_sub(self.params.ttl_ms / TICK_MS);
        let left_before = from.saturating_sub(self.params.slot_ms / TICK_MS);
        for (place, seat) in self.seats.iter_mut().enumerate() {
            let Some(known) = seat else { continue };
            if known.last >= silent_before && !(known.has_left && known.last < left_before) {
                continue;
            }
            let hashed = self.hasher.hash_one((known.stage, &*known.viewer, &*known.session));
            if let Ok(entry) = self.by_ids.find_entry(hashed, |found| *found as usize == place) {
                entry.remove();
            }
            *seat = None;
            self.free.push(place as u32);
        }
        // The lowest place is last, because it is the next to be used.
        self.free.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// Returns a time that is `off` ticks after `from`, and takes one event off `room`.
fn offset_by(from: Ticks, off: i64, room: &mut usize) -> Result<Ticks, DecodeError> {
    let wrong = DecodeError::Invalid { what: "a beat's time", at: 0 };
    let at = from.checked_add_signed(off).filter(|at| *at <= TICK_MAX).ok_or(wrong)?;
    *room = room.checked_sub(1).ok_or(wrong)?;
    Ok(at)
}

impl TrackedSession {
    fn scheduled_gap(&self, params: ArchiveParams) -> Ticks {
        let last = UnixMs(self.last * TICK_MS);
        tick(last.plus(next_gap_ms(params.interval_ms, &self.viewer, &self.session, last)))
    }

    fn observed_gap(&self) -> Ticks {
        self.last + self.gap
    }

    /// Returns when the next beat is expected.
    fn expected(&self, params: ArchiveParams) -> Ticks {
        match self.habit {
            // Any time in the slot is possible.
            BeatPattern::New => self.last,
            BeatPattern::Scheduled => self.scheduled_gap(params),
            BeatPattern::SelfTimed => self.observed_gap(),
        }
    }

    fn on_beat(&mut self, at: Ticks, params: ArchiveParams) {
        self.has_left = false;
        if self.habit == BeatPattern::New {
            (self.last, self.habit) = (at, BeatPattern::Scheduled);
        } else if at > self.last {
            let (scheduled, observed) = (self.scheduled_gap(params), self.observed_gap());
            self.habit = if at.abs_diff(scheduled) <= at.abs_diff(observed) {
                BeatPattern::Scheduled
            } else {
                BeatPattern::SelfTimed
            };
            (self.gap, self.last) = (at - self.last, at);
        }
    }
}
