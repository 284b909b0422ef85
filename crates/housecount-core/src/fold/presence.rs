//! Rule of presence. **The one place that defines "viewer".**
//!
//! # The rule
//! At time `now` a session is online under two conditions. Its latest beat is later than every
//! leave that has taken effect, and is less than `ttl` old. A leave takes effect `leave_grace`
//! after its time, and covers every beat at or before its time. A leave without a session covers
//! all of the viewer's sessions on that stage. A displacement covers the same beats of its own
//! session, and takes effect at its time.
//!
//! So a reload (leave, then beat) never flaps the count, and a late beat older than a leave brings
//! no session back. A viewer is online on a stage while any of its sessions there is.

use super::Fold;
use super::expiry_queue::second;
use super::seat::{NOWHERE, SeatFlag, SeatIndex};
use crate::limits::STAGE_IDLE_MS;
use crate::mutants::{Mutant, is_on};
use crate::time::UnixMs;

/// Online viewers and sessions, on a stage or in all.
///
/// ```
/// use housecount_core::fold::Count;
///
/// // Ann watches in two tabs.
/// let count = Count { viewers: 1, sessions: 2 };
/// assert!(count.viewers <= count.sessions);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Distinct online viewers.
    pub viewers: u64,
    /// Online sessions.
    pub sessions: u64,
}

/// Online viewers, sessions and stages in all. A viewer on two stages is one viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Distinct online viewers, and online sessions.
    pub count: Count,
    /// Stages with at least one online viewer.
    pub stages: u64,
}

impl Fold {
    /// Applies the rule of presence. No other code does.
    fn is_online(&self, seat: SeatIndex) -> bool {
        let known = &self.seats[seat];
        if known.is_unresolved() || known.is(SeatFlag::Restored) {
            return false;
        }
        let in_effect =
            |seat| self.seats.leave_until(seat, self.now.minus(self.rules.leave_grace_ms));
        let (beat, _) = self.seats.last(seat);
        // A leave without a session is a leave of all the viewer's sessions on the stage.
        let unnamed = self.seats.unnamed_here(seat).filter(|_| !is_on(Mutant::LeaveAll));
        beat.plus(self.rules.ttl_ms) > self.now
            && beat > in_effect(seat)
            && beat > self.seats.displaced_until(seat, self.now)
            && unnamed.is_none_or(|unnamed| beat > in_effect(unnamed))
    }

    /// Updates the counts by the rule for one session.
    pub(super) fn update_counts(&mut self, seat: SeatIndex) {
        let online = self.is_online(seat);
        if online == self.seats[seat].is(SeatFlag::Online) {
            return;
        }
        self.mark_changed(seat, self.now);
        let stage = self.seats[seat].stage;
        let (are_others_here, are_others) = self.seats.are_others_online(seat);
        self.seats.count_labels(seat, online);
        self.seats.set_online(seat, online);
        self.seats.stages.mark_changed(stage);

        step(&mut self.totals.count.sessions, online);
        if !are_others {
            step(&mut self.totals.count.viewers, online);
        }
        let known = &mut self.seats.stages[stage];
        step(&mut known.count.sessions, online);
        if are_others_here {
            return;
        }
        step(&mut known.count.viewers, online);
        known.peak = known.peak.max(known.count.viewers);
        if known.count.viewers == u64::from(online) {
            step(&mut self.totals.stages, online);
        }
        if known.online.is_empty() {
            known.idle_since = self.now;
            if !std::mem::replace(&mut known.is_queued, true) {
                self.idle_stages.push_back((self.now, stage));
            }
        }
    }

    /// Applies a leave of a session that takes effect now.
    pub(super) fn apply_leave(&mut self, seat: SeatIndex) {
        if !self.seats[seat].is_without_session() {
            return self.update_counts(seat);
        }
        // Session "" can only be left by a leave without a session, which covers all the viewer's
        // sessions. The loop visits only sessions that the leave takes offline. A beat brought each
        // of them online, so the cost of a leave is paid by beats, however many sessions there are.
        let left = self.seats.leave_until(seat, self.now.minus(self.rules.leave_grace_ms));
        let gone: Vec<SeatIndex> =
            self.seats.online_until(seat, self.seats[seat].stage, left).collect();
        gone.into_iter().for_each(|other| self.update_counts(other));
    }

    /// Schedules the check of a seat with an event at `at`, if none is scheduled early enough.
    pub(super) fn schedule_check(&mut self, seat: SeatIndex, at: UnixMs) {
        let due = at.plus(self.rules.ttl_ms);
        let known = &mut self.seats[seat];
        if due <= self.now || second(due) > known.check_s {
            return;
        }
        if second(due) == known.check_s {
            if self.looks.has_come(second(due)) {
                self.looks.schedule_exact(due, seat);
            }
            return;
        }
        if known.is_unresolved() && known.check_s == NOWHERE {
            self.nameless += 1;
        }
        known.check_s = second(due);
        self.looks.put(second(due), seat);
    }

    /// Checks a seat whose time may be due. At `pop_due` at the latest, its age alone can't change
    /// it any more. `target` is the time of the current advance.
    pub(super) fn age(&mut self, seat: SeatIndex, target: UnixMs) {
        if !self.seats[seat].is_unresolved() {
            self.update_counts(seat);
        }
        if !self.keeps_proof {
            // Without proof this is the only place that prunes leaves. It drops those that lie
            // before any beat that is still accepted.
            let before = self.now.minus(self.rules.ttl_ms + self.rules.leave_grace_ms);
            self.seats.change_times(seat, |times| times.forget(before));
            self.seats.forget_displaced(seat, before);
        }
        let due = self.pop_due(seat);
        self.seats[seat].check_s = NOWHERE;
        if due > self.now {
            self.reschedule(seat, due, target);
            return;
        }
        if self.seats[seat].is_unresolved() {
            self.nameless -= 1;
        }
        if !self.keeps_proof {
            self.seats.remove(seat);
        }
    }

    /// Returns the time from which a seat no longer affects presence.
    pub(super) fn pop_due(&self, seat: SeatIndex) -> UnixMs {
        let (beat, left) = self.seats.last(seat);
        // An online session's next change by age is its expiry. Any other session is kept for its
        // leave.
        let displaced = self.seats.displacements(seat).last().copied().unwrap_or_default();
        let is_online = self.seats[seat].is(SeatFlag::Online);
        let latest = if is_online { beat } else { beat.max(left).max(displaced) };
        latest.plus(self.rules.ttl_ms)
    }

    /// Schedules the next check of a seat at `due`. `target` is the time of the current advance.
    pub(super) fn reschedule(&mut self, seat: SeatIndex, due: UnixMs, target: UnixMs) {
        self.seats[seat].check_s = second(due);
        if second(due) <= second(target) {
            self.looks.schedule_exact(due, seat);
        } else {
            self.looks.put(second(due), seat);
        }
    }

    /// Resets the peaks of stages that have long been idle, and removes stages without seats.
    pub(super) fn forget_idle_stages(&mut self) {
        while let Some((since, stage)) = self.idle_stages.front().copied() {
            if since.plus(STAGE_IDLE_MS) > self.now {
                break;
            }
            self.idle_stages.pop_front();
            let known = &mut self.seats.stages[stage];
            known.is_queued = false;
            if !known.online.is_empty() {
                continue;
            }
            if known.idle_since > since {
                known.is_queued = true;
                self.idle_stages.push_back((known.idle_since, stage));
                continue;
            }
            known.peak = 0;
            self.seats.stages.drop_if_unused(stage);
        }
    }
}

/// Changes a count by one.
pub(super) fn step(count: &mut u64, up: bool) {
    if up {
        *count += 1;
    } else {
        debug_assert!(*count > 0, "a count below zero");
        *count = count.saturating_sub(1);
    }
}
