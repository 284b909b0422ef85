//! What of each partition was acknowledged to this node.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::log::Position;

/// Events by partition that this node has acknowledged and not read from the log yet. It has been
/// folded; the follower must find it in the log, and if it doesn't, the log has lost it.
#[derive(Debug)]
pub struct OwnAppends(Mutex<Vec<PartitionAppends>>);

/// This node's records of a partition.
#[derive(Clone, Debug, Default)]
struct PartitionAppends {
    last: Position,
    /// How far the follower has come.
    read_to: Position,
    /// Those that the follower has not come to, at most a few: it reads the log twenty times a
    /// second.
    unread: BTreeSet<Position>,
}

/// What the follower finds out about a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnRecordCheck {
    /// It is this node's own, and so is folded already.
    pub is_own: bool,
    /// One of this node's that should have come before it is not in the log any more.
    pub is_lost: bool,
}

impl OwnAppends {
    /// Nothing yet.
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

    /// The last one of a partition.
    pub fn last(&self, partition: u16) -> Position {
        self.with_partition(partition, |own| own.last)
    }

    /// This one was acknowledged, and is folded.
    pub fn record_append(&self, partition: u16, position: Position) {
        self.with_partition(partition, |own| {
            own.last = own.last.max(position);
            // One that was read before it was noted was folded twice, which changes nothing.
            if position > own.read_to {
                own.unread.insert(position);
            }
        });
    }

    /// The follower has come to a record.
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

    /// The log has lost some of it: nothing that it has is taken as known.
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
        assert_eq!(acknowledged.check_record(0, at(3)), found(false, false), "another partition's");
        assert_eq!(acknowledged.check_record(1, at(2)), found(false, false), "another node's");
        assert_eq!(acknowledged.check_record(1, at(3)), found(true, false));
        assert_eq!(acknowledged.check_record(1, at(4)), found(false, false));
        acknowledged.record_append(1, at(4)); // the follower was faster than the answer
        assert_eq!(acknowledged.check_record(1, at(9)), found(false, true), "the one at 7 is gone");
        acknowledged.record_append(1, at(10));
        acknowledged.reset(1);
        assert_eq!(acknowledged.last(1), Position::START);
        assert_eq!(
            acknowledged.check_record(1, at(10)),
            found(false, false),
            "the log may have begun anew"
        );
    }
}
