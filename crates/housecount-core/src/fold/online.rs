//! Online seats of one stage, in the order of their viewers' handles.
//!
//! The order is the same on every node that reads the log, and a viewer's seats are neighbours. A
//! page of a stage's viewers can therefore start at any place of the list, and costs only its rows.
//! A viewer who is online throughout is on exactly one page.
//!
//! The list is the two lower levels of a B-tree: sorted runs of bounded length, in order. It takes
//! about 11 bytes per seat.

use smallvec::{SmallVec, smallvec};

use super::seat::SeatIndex;
use crate::limits::ONLINE_RUN_MAX;

/// Length at which a run is split in two. It is shorter in tests, so that the fold's property tests
/// split and merge runs.
const RUN_MAX: usize = if cfg!(test) { 4 } else { ONLINE_RUN_MAX };

/// A seat and its place in the order: the viewer's half of the handle, then the seat's index.
type Entry = (u32, SeatIndex);

/// A sorted run of entries.
#[derive(Debug, Default)]
struct Run {
    /// Lower bound of this run's entries. All entries of earlier runs are smaller.
    from: Entry,
    entries: Vec<Entry>,
}

/// The online seats of one stage, sorted by the viewer's half of the handle.
#[derive(Debug)]
pub(super) struct OnlineSeats {
    /// Runs in order, at least one. Only the first may be empty.
    runs: SmallVec<[Run; 1]>,
}

impl Default for OnlineSeats {
    fn default() -> OnlineSeats {
        OnlineSeats { runs: smallvec![Run::default()] }
    }
}

impl OnlineSeats {
    /// Returns whether no seat is online.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.len() == 1 && self.runs[0].entries.is_empty()
    }

    /// Adds a seat that is not in the list.
    pub(super) fn insert(&mut self, head: u32, seat: SeatIndex) {
        let entry = (head, seat);
        let at = self.run_of(entry);
        let entries = &mut self.runs[at].entries;
        if let Err(place) = entries.binary_search(&entry) {
            entries.insert(place, entry);
        }
        if entries.len() > RUN_MAX {
            let upper = entries.split_off(entries.len() / 2);
            entries.shrink_to(RUN_MAX * 3 / 4);
            if let Some(from) = upper.first().copied() {
                self.runs.insert(at + 1, Run { from, entries: upper });
            }
        }
    }

    /// Removes a seat from the list.
    pub(super) fn remove(&mut self, head: u32, seat: SeatIndex) {
        let entry = (head, seat);
        let at = self.run_of(entry);
        let entries = &mut self.runs[at].entries;
        if let Ok(place) = entries.binary_search(&entry) {
            entries.remove(place);
        }
        if entries.len() < RUN_MAX / 4 {
            self.merge(at);
        }
    }

    /// Returns the entries from `head` on, in order.
    pub(super) fn from(&self, head: u32) -> impl Iterator<Item = Entry> {
        let start = (head, 0);
        let at = self.run_of(start);
        let place = self.runs[at].entries.partition_point(|entry| *entry < start);
        let (first, others) = (&self.runs[at].entries[place..], &self.runs[at + 1..]);
        first.iter().chain(others.iter().flat_map(|run| &run.entries)).copied()
    }

    /// Returns the index of the run that an entry belongs to.
    fn run_of(&self, entry: Entry) -> usize {
        self.runs.partition_point(|run| run.from <= entry).saturating_sub(1)
    }

    /// Joins a short run with a neighbour, if one is empty or both together are at most half a run.
    /// Memory then shrinks with the audience.
    fn merge(&mut self, at: usize) {
        let are_short = |first: &usize| {
            let lens = self
                .runs
                .get(*first..first + 2)
                .map(|two| [&two[0], &two[1]].map(|run| run.entries.len()));
            lens.is_some_and(|[a, b]| a == 0 || b == 0 || a + b <= RUN_MAX / 2)
        };
        let Some(first) = [Some(at), at.checked_sub(1)].into_iter().flatten().find(are_short)
        else {
            let entries = &mut self.runs[at].entries;
            if entries.len() < entries.capacity() / 4 {
                entries.shrink_to(entries.len() * 2);
            }
            return;
        };
        let upper = self.runs.remove(first + 1);
        self.runs[first].entries.extend(upper.entries);
        self.runs[first].entries.shrink_to(RUN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(list: &OnlineSeats) {
        for (n, run) in list.runs.iter().enumerate() {
            assert!(run.entries.is_sorted() && run.entries.len() <= RUN_MAX);
            assert!(run.entries.first().is_none_or(|first| run.from <= *first));
            assert!(n == 0 || !run.entries.is_empty(), "no run is empty");
            let next = list.runs.get(n + 1).map(|run| run.from);
            assert!(next.is_none_or(|next| run.entries.last().is_none_or(|last| *last < next)));
        }
    }

    proptest! {
        /// Compares with a set that is obviously right.
        #[test]
        fn lists_what_a_set_lists(steps in proptest::collection::vec((any::<bool>(), 0u32..6, 0u32..12), 1..200)) {
            let (mut list, mut set) = (OnlineSeats::default(), BTreeSet::new());
            for (online, head, seat) in steps {
                let head = head * 0x2000_0000;
                if online {
                    list.insert(head, seat);
                    set.insert((head, seat));
                } else {
                    list.remove(head, seat);
                    set.remove(&(head, seat));
                }
                check(&list);
                prop_assert_eq!(list.is_empty(), set.is_empty());
                for from in (0..7).map(|n| n * 0x2000_0000) {
                    let listed: Vec<Entry> = list.from(from).collect();
                    prop_assert_eq!(listed, set.range((from, 0)..).copied().collect::<Vec<_>>());
                }
            }
        }
    }

    /// A run never grows beyond its bound, and the memory of removed seats is freed.
    #[test]
    fn online_run_max_is_kept_and_memory_given_back() {
        assert_eq!(RUN_MAX, ONLINE_RUN_MAX.min(4), "tests use short runs");
        let mut list = OnlineSeats::default();
        (0..10_000u32).for_each(|seat| list.insert(seat.wrapping_mul(0x9e37_79b9), seat));
        check(&list);
        assert_eq!(list.from(0).count(), 10_000);
        (1..10_000u32).for_each(|seat| list.remove(seat.wrapping_mul(0x9e37_79b9), seat));
        assert_eq!((list.runs.len(), list.from(0).count()), (1, 1));
        assert!(list.runs[0].entries.capacity() <= RUN_MAX);
    }
}
