//! Cheap checks that the record after which a partition is read still exists, without fetching it
//! at each poll.
//!
//! A record has up to 1 MB, and an idle node polls 20 times per second. So a poll asks for the
//! number of records instead. As long as it equals the old number plus the new records, the earlier
//! records are unchanged. Where it differs, because records were trimmed or lost, the record itself
//! is fetched. It is also fetched after a change of the server, and from time to time. The reason
//! is a failover to a server whose clock is behind: it could replace as many records as it lost.

use housecount_backend::log::Position;
use housecount_core::limits::POLLS_UNCHECKED_MAX;
use parking_lot::Mutex;

/// Number of records of a partition when its last record was known to exist.
#[derive(Clone, Copy, Debug, Default)]
struct KnownLength {
    after: Position,
    /// Records up to `after`, including that one.
    length: u64,
    /// Number of times that the log had moved to another server.
    moves: u64,
    polls_unchecked: u32,
}

/// Known lengths of all partitions.
#[derive(Debug)]
pub(super) struct KnownLengths(Vec<Mutex<Option<KnownLength>>>);

impl KnownLengths {
    pub(super) fn new(partitions: u16) -> KnownLengths {
        KnownLengths((0..partitions).map(|_| Mutex::default()).collect())
    }

    /// Returns the number of records besides new ones that proves that the record at `after`
    /// exists. `None` if the record must be fetched.
    pub(super) fn get(&self, partition: u16, after: Position, moves: u64) -> Option<u64> {
        let mut known = self.0.get(usize::from(partition))?.lock();
        let place = known.as_mut().filter(|place| place.after == after && place.moves == moves)?;
        place.polls_unchecked += 1;
        (place.polls_unchecked <= POLLS_UNCHECKED_MAX).then_some(place.length)
    }

    /// Records that a partition was read to its end, and that its last record at `after` exists.
    /// `is_checked` tells whether the read fetched a record to check.
    pub(super) fn reached(
        &self,
        partition: u16,
        after: Position,
        length: u64,
        moves: u64,
        is_checked: bool,
    ) {
        let Some(known) = self.0.get(usize::from(partition)) else { return };
        let mut known = known.lock();
        let polls_unchecked = match &*known {
            Some(place) if !is_checked => place.polls_unchecked,
            _ => 0,
        };
        *known = Some(KnownLength { after, length, moves, polls_unchecked });
    }

    /// Removes the known length of a partition.
    pub(super) fn forget(&self, partition: u16) {
        if let Some(known) = self.0.get(usize::from(partition)) {
            *known.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    fn at(ms: u64) -> Position {
        Position { at: UnixMs(ms), seq: 0 }
    }

    #[test]
    fn a_length_is_known_of_the_same_place_on_the_same_server() {
        let lengths = KnownLengths::new(2);
        assert_eq!(lengths.get(0, at(1), 0), None);
        lengths.reached(0, at(1), 5, 0, true);
        assert_eq!(lengths.get(0, at(1), 0), Some(5));
        for (partition, place, moves) in
            [(1, at(1), 0), (0, at(2), 0), (0, at(1), 1), (2, at(1), 0)]
        {
            assert_eq!(lengths.get(partition, place, moves), None);
        }
        lengths.reached(0, at(2), 6, 0, false);
        assert_eq!((lengths.get(0, at(1), 0), lengths.get(0, at(2), 0)), (None, Some(6)));
        lengths.forget(0);
        assert_eq!(lengths.get(0, at(2), 0), None);
    }

    #[test]
    fn polls_unchecked_max_is_how_often_a_length_is_enough() {
        let lengths = KnownLengths::new(1);
        lengths.reached(0, at(1), 5, 0, true);
        for _ in 0..POLLS_UNCHECKED_MAX {
            assert_eq!(lengths.get(0, at(1), 0), Some(5));
            lengths.reached(0, at(1), 5, 0, false);
        }
        assert_eq!(lengths.get(0, at(1), 0), None);
        lengths.reached(0, at(1), 5, 0, true);
        assert_eq!(lengths.get(0, at(1), 0), Some(5));
    }
}
