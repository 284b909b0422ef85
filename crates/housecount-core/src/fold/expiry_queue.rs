//! Schedule of seats to check again: lists by second, and the exact order only within a due second.
//!
//! A seat has one valid entry, the one in its `check_s`. A beat does not touch this schedule. When
//! the second is due, a seat with a later beat is scheduled again, once per `ttl`. The others are
//! handled in the order of their milliseconds. A later event that makes a seat due earlier within
//! that second adds an entry. Surplus entries have no effect.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::seat::{NOWHERE, SeatIndex};
use crate::time::UnixMs;

/// Schedule of seats to check again: lists by second, and a heap for the current second.
#[derive(Debug, Default)]
pub(super) struct ExpiryQueue {
    by_second: BTreeMap<u32, Vec<SeatIndex>>,
    soon: BinaryHeap<Reverse<(UnixMs, SeatIndex)>>,
    /// Latest second that is due.
    come_s: Option<u32>,
}

/// Returns the second of a time.
pub(super) fn second(at: UnixMs) -> u32 {
    u32::try_from(at.0 / 1_000).unwrap_or(NOWHERE).min(NOWHERE - 1)
}

impl ExpiryQueue {
    /// Schedules a check of a seat in a second.
    pub(super) fn put(&mut self, second: u32, seat: SeatIndex) {
        self.by_second.entry(second).or_default().push(seat);
    }

    /// Schedules a check of a seat at a time in a due second.
    pub(super) fn schedule_exact(&mut self, at: UnixMs, seat: SeatIndex) {
        self.soon.push(Reverse((at, seat)));
    }

    /// Returns whether a second is due, so that its seats are in order.
    pub(super) fn has_come(&self, second: u32) -> bool {
        self.come_s.is_some_and(|come| second <= come)
    }

    /// Removes seats of the next due second, at most `most`.
    pub(super) fn pop_due_second(
        &mut self,
        now: UnixMs,
        most: usize,
    ) -> Option<(u32, Vec<SeatIndex>)> {
        self.come_s = self.come_s.max(Some(self::second(now)));
        let mut first = self.by_second.first_entry()?;
        let second = *first.key();
        if second > self::second(now) {
            return None;
        }
        let seats = first.get_mut();
        if seats.len() <= most {
            return Some((second, first.remove()));
        }
        Some((second, seats.split_off(seats.len() - most)))
    }

    /// Returns the time of the next seat in the due seconds.
    pub(super) fn next_due(&self) -> Option<UnixMs> {
        self.soon.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes the next seat in the due seconds, and returns it with its time.
    pub(super) fn take_due(&mut self) -> Option<(UnixMs, SeatIndex)> {
        self.soon.pop().map(|Reverse(due)| due)
    }

    /// Returns the number of entries, stale ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.soon.len() + self.by_second.values().map(Vec::len).sum::<usize>()
    }
}
