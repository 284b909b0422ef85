//! What of each partition was acknowledged to this node.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::log::Position;

/// Events by partition that this node has acknowledged and not read from the log yet. It has been
/// folded; the follower must find it in the log, and if it doesn't, the log has lost it.
#[derive(Debug)]
pub struct Acknowledged(Mutex<Vec<Own>>);

/// This node's records of a partition.
#[derive(Clone, Debug, Default)]
struct Own {
    last: Position,
    /// How far the follower has come.
    passed: Position,
    /// Those that the follower has not come to, at most a few: it reads the log twenty times a
    /// second.
    ahead: BTreeSet<Position>,
}

/// What the follower finds out about a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// It is this node's own, and so is folded already.
    pub is_own: bool,
    /// One of this node's that should have come before it is not in the log any more.
    pub is_lost: bool,
}

impl Acknowledged {
    /// Nothing yet.
    #[must_use]
    pub fn new(partitions: u16) -> Acknowledged {
        Acknowledged(Mutex::new(vec![Own::default(); usize::from(partitions)]))
    }

    fn with<T: Default>(&self, partition: u16, with: impl FnOnce(&mut Own) -> T) -> T {
        self.0.lock().get_mut(usize::from(partition)).map(with).unwrap_or_default()
    }

    /// The last one of a partition.
    pub fn last(&self, partition: u16) -> Position {
        self.with(partition, |own| own.last)
    }

    /// This one was acknowledged, and is folded.
    pub fn note(&self, partition: u16, position: Position) {
        self.with(partition, |own| {
            own.last = own.last.max(position);
            // One that was read before it was noted was folded twice, which changes nothing.
            if position > own.passed {
                own.ahead.insert(position);
            }
        });
    }

    /// The follower has come to a record.
    pub fn find(&self, partition: u16, position: Position) -> Found {
        self.with(partition, |own| {
            own.passed = position;
            let mut found = Found::default();
            while own.ahead.first().is_some_and(|first| *first < position) {
                own.ahead.pop_first();
                found.is_lost = true;
            }
            found.is_own = own.ahead.remove(&position);
            found
        })
    }

    /// The log has lost some of it: nothing that it has is taken as known.
    pub fn forget(&self, partition: u16) {
        self.with(partition, |own| *own = Own::default());
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    #[test]
    fn what_was_acknowledged_is_found_once_or_is_lost() {
        let at = |seq| Position { at: UnixMs(5), seq };
        let found = |is_own, is_lost| Found { is_own, is_lost };
        let acknowledged = Acknowledged::new(2);
        acknowledged.note(1, at(7));
        acknowledged.note(1, at(3));
        assert_eq!((acknowledged.last(0), acknowledged.last(1)), (Position::START, at(7)));
        assert_eq!(acknowledged.find(0, at(3)), found(false, false), "another partition's");
        assert_eq!(acknowledged.find(1, at(2)), found(false, false), "another node's");
        assert_eq!(acknowledged.find(1, at(3)), found(true, false));
        assert_eq!(acknowledged.find(1, at(4)), found(false, false));
        acknowledged.note(1, at(4)); // the follower was faster than the answer
        assert_eq!(acknowledged.find(1, at(9)), found(false, true), "the one at 7 is gone");
        acknowledged.note(1, at(10));
        acknowledged.forget(1);
        assert_eq!(acknowledged.last(1), Position::START);
        assert_eq!(
            acknowledged.find(1, at(10)),
            found(false, false),
            "the log may have begun anew"
        );
    }
}
