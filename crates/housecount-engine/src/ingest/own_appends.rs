//! Positions of each partition's records that this node appended.

use std::collections::BTreeSet;

use housecount_backend::log::Position;
use parking_lot::Mutex;

/// Positions of records, by partition, that this node has appended and not read back from the log
/// yet. Their events are folded. The follower must find each record in the log; if it does not, the
/// log has lost it.
#[derive(Debug)]
pub struct OwnAppends(Mutex<Vec<PartitionAppends>>);

/// This node's records of a partition.
#[derive(Clone, Debug, Default)]
struct PartitionAppends {
    last: Position,
    /// Position up to which the follower has read.
    read_to: Position,
    /// Records that the follower has not reached. There are at most a few, since it reads the log
    /// twenty times per second.
    unread: BTreeSet<Position>,
}

/// Result of the follower's check of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnRecordCheck {
    /// The record is this node's own, and so is folded already.
    pub is_own: bool,
    /// A record of this node that should have come before this one has gone from the log.
    pub is_lost: bool,
}

impl OwnAppends {
    /// Creates an empty list for each partition.
    #[must_use]
    pub fn new(partitions: u16) -> OwnAppends {
        OwnAppends(Mutex::new(vec![PartitionAppends::default(); usize::from(partitions)]))
    }

    fn with_partition<T: Default>(
        &self,
        partition: u16,
        with: impl FnOnce(&mut PartitionAppends) -> T,
    ) -> T {
        self.0.lock().get_mut(usize::from(partition)).map(with).unwrap_or_default()
    }

    /// Returns the position of the last own record of a partition.
    pub fn last(&self, partition: u16) -> Position {
        self.with_partition(partition, |own| own.last)
    }

    /// Records that an append was acknowledged and folded.
    pub fn record_append(&self, partition: u16, position: Position) {
        self.with_partition(partition, |own| {
            own.last = own.last.max(position);
            // A record that was read before this call was folded twice, which changes nothing.
            if position > own.read_to {
                own.unread.insert(position);
            }
        });
    }

    /// Records that the follower has reached a record, and returns what that shows.
    pub fn check_record(&self, partition: u16, position: Position) -> OwnRecordCheck {
        self.with_partition(partition, |own| {
            own.read_to = position;
            let mut found = OwnRecordCheck::default();
            while own.unread.first().is_some_and(|first| *first < position) {
                own.unread.pop_first();
                found.is_lost = true;
            }
            found.is_own = own.unread.remove(&position);
            found
        })
    }

    /// Clears a partition after its log has lost data: no record in it counts as known any more.
    pub fn reset(&self, partition: u16) {
        self.with_partition(partition, |own| *own = PartitionAppends::default());
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    #[test]
    fn what_was_acknowledged_is_found_once_or_is_lost() {
        let at = |seq| Position { at: UnixMs(5), seq };
        let found = |is_own, is_lost| OwnRecordCheck { is_own, is_lost };
        let acknowledged = OwnAppends::new(2);
        acknowledged.record_append(1, at(7));
        acknowledged.record_append(1, at(3));
        assert_eq!((acknowledged.last(0), acknowledged.last(1)), (Position::START, at(7)));
        assert_eq!(
            acknowledged.check_record(0, at(3)),
            found(false, false),
            "the record is in another partition"
        );
        assert_eq!(
            acknowledged.check_record(1, at(2)),
            found(false, false),
            "the record is of another node"
        );
        assert_eq!(acknowledged.check_record(1, at(3)), found(true, false));
        assert_eq!(acknowledged.check_record(1, at(4)), found(false, false));
        acknowledged.record_append(1, at(4)); // the follower was faster than the append's answer
        assert_eq!(
            acknowledged.check_record(1, at(9)),
            found(false, true),
            "the record at 7 is missing"
        );
        acknowledged.record_append(1, at(10));
        acknowledged.reset(1);
        assert_eq!(acknowledged.last(1), Position::START);
        assert_eq!(
            acknowledged.check_record(1, at(10)),
            found(false, false),
            "the log may have been created again"
        );
    }
}
