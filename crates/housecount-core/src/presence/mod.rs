//! The fold: events in, who is online out. **The one place that defines "viewer".**
//!
//! # The rule
//! At time `now` a session is online if its latest beat is later than every leave that has taken effect, and
//! is less than `ttl` old. A leave takes effect `leave_grace` after it was said, and covers every beat said at
//! or before it; a leave without a session covers all of the viewer's sessions on that stage. So a reload
//! (leave, then beat) never flaps the count, and a late beat older than a leave brings nobody back.
//! A viewer is online on a stage while any of its sessions there is.
//!
//! # Why it is a function of the set of events
//! A session is two maxima, of its beats and of its leaves in effect, and a maximum knows neither order nor
//! repetition. Leaves not yet in effect wait in a heap by the time they will be. Whatever is forgotten could
//! not matter any more: a session is dropped when neither a beat nor a leave of it is younger than `ttl`, and
//! by then any beat that the leave covers is too old to count.
//!
//! # The layout
//! Sessions lie in a slab and are linked by viewer (to find a beat's session, and to know whether the viewer
//! is online by another one) and listed by stage (for the stage's page). Each has one valid entry in the expiry
//! heap, the one at its `due`, which is never later than its next change by age: when it comes up, the session is
//! put off or dropped. So a beat of a known session touches no heap.

mod seats;
#[cfg(test)]
mod tests;
mod views;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::event::{EventRef, Kind};
use crate::limits::STAGE_IDLE_MS;
use crate::time::UnixMs;
use seats::{SeatIndex, Seats, StageIndex, ViewerIndex};
pub use views::{StageView, WatchView};

/// The times that the rule speaks of. Both come from settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a session stays online after its last beat.
    pub ttl_ms: u64,
    /// How long after it was said a leave takes effect.
    pub leave_grace_ms: u64,
}

/// How many are online on a stage, or altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Distinct online viewers.
    pub viewers: u64,
    /// Online sessions.
    pub sessions: u64,
}

/// How many are online altogether. A viewer on two stages is one viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Distinct online viewers, and online sessions.
    pub count: Count,
    /// Stages with at least one online viewer.
    pub stages: u64,
}

/// What became of an event. Only for the counters: nothing else depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is part of the state.
    Taken,
    /// It is so old that it can't change any count any more.
    TooOld,
}

/// A leave that waits to take effect, by the time it does.
type PendingLeave = Reverse<(UnixMs, UnixMs, SeatIndex)>;

/// Who is online, from the events so far. Bounded by the events of one `ttl`.
#[derive(Debug)]
pub struct Presence {
    rules: Rules,
    now: UnixMs,
    seats: Seats,
    totals: Totals,
    /// When to look at a session again. An entry that isn't at the session's `due` is stale.
    expiry: BinaryHeap<Reverse<(UnixMs, SeatIndex)>>,
    pending: BinaryHeap<PendingLeave>,
    /// Stages whose last session was dropped, by when.
    idle_stages: VecDeque<(UnixMs, StageIndex)>,
}

impl Presence {
    /// Nobody is online. `leave_grace` must be less than `ttl`; the settings see to it.
    #[must_use]
    pub fn new(rules: Rules) -> Presence {
        debug_assert!(rules.leave_grace_ms < rules.ttl_ms);
        Presence {
            rules,
            now: UnixMs::ZERO,
            seats: Seats::default(),
            totals: Totals::default(),
            expiry: BinaryHeap::new(),
            pending: BinaryHeap::new(),
            idle_stages: VecDeque::new(),
        }
    }

    /// The time up to which all that was said is taken as known.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.now
    }

    /// Takes in one event, whose ids must have been checked. Applying it again changes nothing.
    pub fn apply(&mut self, event: &EventRef<'_>) -> Applied {
        if event.at.plus(self.rules.ttl_ms) <= self.now {
            return Applied::TooOld;
        }
        let seat = self.seats.find_or_insert(event);
        let due = event.at.plus(self.rules.ttl_ms);
        if due < self.seats[seat].due {
            self.put_off(seat, due);
        }
        match event.kind {
            Kind::Beat => {
                let known = &mut self.seats[seat];
                if event.at > known.beat {
                    known.beat = event.at;
                    self.refresh(seat);
                }
            }
            Kind::Leave => self.leave(seat, event.at),
        }
        Applied::Taken
    }

    /// Moves time on to `now`: what became due takes effect. An earlier `now` changes nothing.
    pub fn advance(&mut self, now: UnixMs) {
        if now <= self.now {
            return;
        }
        self.now = now;
        while let Some(Reverse((_, at, seat))) = pop_due(&mut self.pending, |due| due.0, now) {
            self.take_effect(seat, at);
        }
        while let Some(Reverse((due, seat))) = pop_due(&mut self.expiry, |due| due.0, now) {
            if self.seats.get(seat).is_some_and(|known| known.due == due) {
                self.age(seat);
            }
        }
        while let Some((since, stage)) = self.idle_stages.front().copied() {
            if since.plus(STAGE_IDLE_MS) > now {
                break;
            }
            self.idle_stages.pop_front();
            self.seats.drop_stage_idle_since(stage, since);
        }
    }

    fn leave(&mut self, seat: SeatIndex, at: UnixMs) {
        let known = &mut self.seats[seat];
        if at == known.left {
            return; // said again; the first one is pending or in effect
        }
        known.left = known.left.max(at);
        let effective = at.plus(self.rules.leave_grace_ms);
        if effective <= self.now {
            self.take_effect(seat, at);
        } else {
            self.pending.push(Reverse((effective, at, seat)));
        }
    }

    fn take_effect(&mut self, seat: SeatIndex, at: UnixMs) {
        let known = &mut self.seats[seat];
        if at <= known.leave {
            return;
        }
        known.leave = at;
        if !known.is_unnamed() {
            return self.refresh(seat);
        }
        // Session "" can only be left by a leave without a session, which covers all the viewer's sessions.
        let (viewer, stage) = (known.viewer, known.stage);
        let mut next = self.seats.first_of(viewer);
        while let Some(other) = next {
            next = self.seats[other].next;
            if self.seats[other].stage == stage {
                self.refresh(other);
            }
        }
    }

    /// Looks at the session again at `due`, and not before.
    fn put_off(&mut self, seat: SeatIndex, due: UnixMs) {
        self.seats[seat].due = due;
        self.expiry.push(Reverse((due, seat)));
    }

    /// A session's time may have come.
    fn age(&mut self, seat: SeatIndex) {
        self.refresh(seat);
        let known = &self.seats[seat];
        // An online session's next change by age is its expiry; any other is kept for its leave's sake.
        let latest = if known.online { known.beat } else { known.beat.max(known.left) };
        let due = latest.plus(self.rules.ttl_ms);
        if due > self.now {
            self.put_off(seat, due);
            return;
        }
        if let Some(stage) = self.seats.remove(seat, self.now) {
            self.idle_stages.push_back((self.now, stage));
        }
    }

    /// The rule, and the only place that applies it.
    fn is_online(&self, seat: SeatIndex) -> bool {
        let known = &self.seats[seat];
        known.beat > known.leave
            && known.beat.plus(self.rules.ttl_ms) > self.now
            && known.beat > self.seats.leave_of_all(known)
    }

    /// Brings the counts in line with the rule for one session.
    fn refresh(&mut self, seat: SeatIndex) {
        let online = self.is_online(seat);
        if online == self.seats[seat].online {
            return;
        }
        let here_before = self.seats.is_viewer_online(seat);
        self.seats[seat].online = online;
        let here_after = self.seats.is_viewer_online(seat);
        let (viewer, stage) = (self.seats[seat].viewer, self.seats[seat].stage);

        step(&mut self.totals.count.sessions, online);
        let count = self.seats.stage_count(stage);
        step(&mut count.sessions, online);
        if here_before != here_after {
            step(&mut count.viewers, online);
            let stage_viewers = count.viewers;
            self.seats.note_peak(stage);
            if stage_viewers == u64::from(online) {
                step(&mut self.totals.stages, online);
            }
        }
        self.count_viewer(viewer, online);
    }

    /// Keeps the number of distinct viewers over all stages.
    fn count_viewer(&mut self, viewer: ViewerIndex, online: bool) {
        let sessions = self.seats.viewer_sessions(viewer);
        if online {
            *sessions += 1;
        } else {
            *sessions -= 1;
        }
        if *sessions == u32::from(online) {
            step(&mut self.totals.count.viewers, online);
        }
    }
}

fn step(count: &mut u64, up: bool) {
    if up {
        *count += 1;
    } else {
        debug_assert!(*count > 0, "a count below zero");
        *count = count.saturating_sub(1);
    }
}

/// The next entry of a heap whose time has come.
fn pop_due<T: Ord + Copy>(
    heap: &mut BinaryHeap<Reverse<T>>,
    due: fn(&T) -> UnixMs,
    now: UnixMs,
) -> Option<Reverse<T>> {
    let Reverse(first) = heap.peek()?;
    if due(first) > now {
        return None;
    }
    heap.pop()
}
