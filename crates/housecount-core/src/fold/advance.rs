//! Time moves on: leaves take effect, and sessions that no longer beat go offline.

use std::cmp::Reverse;

use super::{Fold, expiry_queue};
use crate::time::UnixMs;

impl Fold {
    /// Moves time on to `now`: what became due takes effect. An earlier `now` changes nothing.
    pub fn advance(&mut self, now: UnixMs) {
        while !self.advance_some(now, usize::MAX) {}
    }

    /// Moves time on towards `now`, with `seats_max` seats at most. False if seats are left: then
    /// time has come to the moment of the last one. A caller that holds a lock lets others have it,
    /// and calls again.
    pub fn advance_some(&mut self, now: UnixMs, seats_max: usize) -> bool {
        if now < self.now {
            return true;
        }
        let mut left = seats_max;
        // Nothing changes yet: seats of a second that has come are put in the order of their
        // moments.
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
            && self.seats.get(seat).is_some()
        {
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
