//! When to look at a seat again: lists by second, and the exact order only within the second that
//! has come.
//!
//! A seat has one valid entry, the one in its `look_s`; a beat touches nothing here. When the
//! second comes, a seat that has beaten since is put off, once a `ttl`, and the others are taken in
//! the order of their milliseconds. A later event that makes a seat due earlier within that second
//! adds an entry. Surplus entries find nothing to do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::seat::{NOWHERE, SeatIndex};
use crate::time::UnixMs;

/// Schedule of seats to check again: lists by second, and a heap for the current second.
#[derive(Debug, Default)]
pub(super) struct ExpiryQueue {
    by_second: BTreeMap<u32, Vec<SeatIndex>>,
    soon: BinaryHeap<Reverse<(UnixMs, SeatIndex)>>,
    /// The latest second that has come.
    come_s: Option<u32>,
}

/// The second of a moment.
pub(super) fn second(at: UnixMs) -> u32 {
    u32::try_from(at.0 / 1_000).unwrap_or(NOWHERE).min(NOWHERE - 1)
}

impl ExpiryQueue {
    /// Looks at a seat in a second.
    pub(super) fn put(&mut self, second: u32, seat: SeatIndex) {
        self.by_second.entry(second).or_default().push(seat);
    }

    /// Looks at a seat at a moment of a second that has come.
    pub(super) fn schedule_exact(&mut self, at: UnixMs, seat: SeatIndex) {
        self.soon.push(Reverse((at, seat)));
    }

    /// Whether a second has come, so that its seats are in order.
    pub(super) fn has_come(&self, second: u32) -> bool {
        self.come_s.is_some_and(|come| second <= come)
    }

    /// Seats of the next second that has come, `most` at most.
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

    /// The moment of the next seat, of the seconds that have come.
    pub(super) fn next_due(&self) -> Option<UnixMs> {
        self.soon.peek().map(|Reverse((at, _))| *at)
    }

    /// The next seat, and its moment.
    pub(super) fn take_due(&mut self) -> Option<(UnixMs, SeatIndex)> {
        self.soon.pop().map(|Reverse(due)| due)
    }

    /// How many entries there are, stale ones too.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.soon.len() + self.by_second.values().map(Vec::len).sum::<usize>()
    }
}
