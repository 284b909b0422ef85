//! Passing of time: leaves take effect, and sessions without recent beats go offline.

use std::cmp::Reverse;

use super::seat::SeatFlag;
use super::{Fold, expiry_queue};
use crate::time::UnixMs;

impl Fold {
    /// Advances the time to `now`, and applies all changes that are due. An earlier `now` changes
    /// nothing.
    pub fn advance(&mut self, now: UnixMs) {
        while !self.advance_some(now, usize::MAX) {}
    }

    /// Advances the time towards `now`, with at most `seats_max` seats. Returns false if seats are
    /// left; the time is then that of the last seat. A caller that holds a lock can then release
    /// it, and call again.
    pub fn advance_some(&mut self, now: UnixMs, seats_max: usize) -> bool {
        if now < self.now {
            return true;
        }
        let mut left = seats_max;
        // No state changes in this loop. It puts the seats of due seconds in the order of their
        // times.
        while let Some((second, seats)) = self.looks.pop_due_second(now, left) {
            left -= seats.len();
            for seat in seats {
                if self.seats.get(seat).is_some_and(|known| known.check_s == second) {
                    self.reschedule(seat, self.pop_due(seat), now);
                }
            }
            if left == 0 {
                return false;
            }
        }
        loop {
            let leave = self.pending.peek().map(|Reverse((at, _))| *at);
            let look = self.looks.next_due();
            let Some(at) = leave.into_iter().chain(look).min().filter(|at| *at <= now) else {
                break;
            };
            if left == 0 {
                return false;
            }
            left -= 1;
            self.now = at.max(self.now);
            if leave == Some(at) {
                self.effect_next_leave();
            } else {
                self.age_next(now);
            }
        }
        self.now = now;
        self.forget_idle_stages();
        true
    }

    fn effect_next_leave(&mut self) {
        if let Some(Reverse((_, seat))) = self.pending.pop()
            && let Some(known) = self.seats.get(seat)
        {
            if known.is(SeatFlag::Displaced) {
                self.update_counts(seat);
            }
            self.apply_leave(seat);
        }
    }

    fn age_next(&mut self, target: UnixMs) {
        if let Some((due, seat)) = self.looks.take_due()
            && self.seats.get(seat).is_some_and(|known| known.check_s == expiry_queue::second(due))
        {
            self.age(seat, target);
        }
    }
}
