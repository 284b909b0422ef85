//! Capacity units that DynamoDB bills, by its own rules (Developer Guide, "DynamoDB item sizes and
//! formats", "DynamoDB read and write operations", 2026-10).
//!
//! The tests below are the guide's own examples. Some rules are surprising:
//!
//! - A batch is billed item by item, each rounded up to a KB.
//! - A write is as large as the larger of the item before and after, also for an update of one
//!   attribute.
//! - A refused conditional write is billed.
//! - A Query is rounded once, over all it reads.
//! - Deletion by TTL is not billed at all.

use crate::item::{Attr, Item};

/// Bytes of a write unit.
pub const WRITE_BYTES: u64 = 1_024;
/// Bytes of a read unit.
pub const READ_BYTES: u64 = 4_096;
/// Bytes of an item's index entry, beyond its own bytes. They are stored and billed as storage, but
/// not in units.
pub const INDEX_BYTES: u64 = 100;

/// Capacity units. Reads are in halves, because an eventually consistent one is half a unit. Sums
/// saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Write units.
    pub writes: u64,
    /// Halves of read units.
    pub read_halves: u64,
}

impl Units {
    /// Returns write units only.
    #[must_use]
    pub fn writes(writes: u64) -> Units {
        Units { writes, read_halves: 0 }
    }

    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Units) -> Units {
        Units {
            writes: self.writes.saturating_add(other.writes),
            read_halves: self.read_halves.saturating_add(other.read_halves),
        }
    }

    /// Returns the units multiplied by `n`.
    #[must_use]
    pub fn times(self, n: u64) -> Units {
        Units {
            writes: self.writes.saturating_mul(n),
            read_halves: self.read_halves.saturating_mul(n),
        }
    }

    /// Returns the difference from an earlier count, zero if that is larger.
    #[must_use]
    pub fn since(self, before: Units) -> Units {
        Units {
            writes: self.writes.saturating_sub(before.writes),
            read_halves: self.read_halves.saturating_sub(before.read_halves),
        }
    }
}

/// Consistency of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// May miss the last writes.
    Eventual,
    /// Sees every earlier write.
    Strong,
    /// Sees all of a transaction or nothing.
    Transactional,
}

/// Returns the units of a put, an update or a delete. `bytes` is the larger size of the item before
/// and after. A write that its condition refuses takes as many.
#[must_use]
pub fn write(bytes: u64) -> Units {
    Units::writes(bytes.div_ceil(WRITE_BYTES).max(1))
}

/// Returns the units of a write in a transaction: once to prepare, once to commit.
#[must_use]
pub fn write_in_transaction(bytes: u64) -> Units {
    write(bytes).times(2)
}

/// Returns the units of a BatchWriteItem: item by item, as if each were put alone.
#[must_use]
pub fn write_batch(items: impl IntoIterator<Item = u64>) -> Units {
    items.into_iter().map(write).fold(Units::default(), Units::plus)
}

/// Returns the units of a GetItem of an item of this size (zero without an item). For a Query,
/// `bytes` is the size of all items read, also of those that it filtered out.
#[must_use]
pub fn read(bytes: u64, consistency: Consistency) -> Units {
    let halves = match consistency {
        Consistency::Eventual => 1,
        Consistency::Strong => 2,
        Consistency::Transactional => 4,
    };
    Units { writes: 0, read_halves: bytes.div_ceil(READ_BYTES).max(1).saturating_mul(halves) }
}

/// Returns the units of a BatchGetItem: item by item, as if each were read alone.
#[must_use]
pub fn read_batch(items: impl IntoIterator<Item = u64>, consistency: Consistency) -> Units {
    items.into_iter().map(|bytes| read(bytes, consistency)).fold(Units::default(), Units::plus)
}

/// Returns the units of the deletion of an expired item, which are zero.
#[must_use]
pub fn expire(_bytes: u64) -> Units {
    Units::default()
}

/// Returns an item's bytes: the names of its attributes and their values, with its keys under the
/// names `pk` and `sk`.
#[must_use]
pub fn item_bytes(pk: &str, sk: &str, item: &Item) -> u64 {
    let keys = "pk".len() + pk.len() + "sk".len() + sk.len();
    let attributes = item.iter().map(|(name, value)| name.len() as u64 + attr_bytes(value));
    attributes.fold(keys as u64, u64::saturating_add)
}

/// Returns a value's bytes. Binary counts raw. A number counts one byte, and one for every two
/// digits between its leading and trailing zeros. A map counts three, and one for each element.
#[must_use]
pub fn attr_bytes(value: &Attr) -> u64 {
    match value {
        Attr::S(text) => text.len() as u64,
        Attr::B(bytes) => bytes.len() as u64,
        Attr::Bool(_) => 1,
        Attr::N(n) => {
            let digits = n.to_string();
            1 + (digits.trim_end_matches('0').len() as u64).div_ceil(2)
        }
        Attr::StringMap(map) => {
            3 + map.iter().map(|(key, text)| (key.len() + 1 + text.len()) as u64).sum::<u64>()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KB: u64 = 1_024;

    /// Columns: the guide's example, our units, the guide's units in half read units or write
    /// units.
    #[test]
    fn the_guides_examples() {
        use Consistency::{Eventual, Strong, Transactional};
        let reads: [(&str, Units, u64); 11] = [
            ("a strongly consistent read of up to 4 KB: one", read(4 * KB, Strong), 2),
            ("an eventually consistent one: half", read(4 * KB, Eventual), 1),
            ("a transactional one: two", read(4 * KB, Transactional), 4),
            ("3,500 bytes are as 4 KB", read(3_500, Strong), 2),
            ("8 KB strongly: 2", read(8 * KB, Strong), 4),
            ("8 KB eventually: 1", read(8 * KB, Eventual), 2),
            ("8 KB in a transaction: 4", read(8 * KB, Transactional), 8),
            ("an item that isn't there is counted as well", read(0, Strong), 2),
            (
                "BatchGetItem of 1.5 KB and 6.5 KB: 4 KB + 8 KB",
                read_batch([1_536, 6_656], Strong),
                6,
            ),
            ("Query of items of 40.8 KB altogether: 44 KB", read(41_780, Strong), 22),
            ("the same, eventually", read(41_780, Eventual), 11),
        ];
        for (what, units, halves) in reads {
            assert_eq!(units, Units { writes: 0, read_halves: halves }, "{what}");
        }
        let writes: [(&str, Units, u64); 9] = [
            ("a write of up to 1 KB: one", write(KB), 1),
            ("500 bytes are as 1 KB", write(500), 1),
            ("2 KB: 2", write(2 * KB), 2),
            ("a byte more than 1 KB", write(KB + 1), 2),
            ("a delete of what isn't there: one", write(0), 1),
            ("2 KB in a transaction: 4", write_in_transaction(2 * KB), 4),
            ("BatchWriteItem of 500 bytes and 3.5 KB: 1 KB + 4 KB", write_batch([500, 3_584]), 5),
            ("25 items of 200 bytes in a batch: 25, not 5", write_batch([200; 25]), 25),
            ("deletion by TTL", expire(100 * KB), 0),
        ];
        for (what, units, writes) in writes {
            assert_eq!(units, Units::writes(writes), "{what}");
        }
    }

    #[test]
    fn items_are_names_and_values() {
        let number = |n| attr_bytes(&Attr::N(n));
        assert_eq!([0, 7, 10, 41, 100, 101, 1_790_000_000_123].map(number), [1, 2, 2, 2, 2, 3, 8]);
        let texts = Attr::StringMap([("k".to_string(), "vv".to_string())].into());
        let item = Item::from([
            ("text".to_string(), Attr::S("Zoë".to_string())),
            ("raw".to_string(), Attr::B(vec![0; 30])),
            ("yes".to_string(), Attr::Bool(true)),
            ("map".to_string(), texts),
        ]);
        assert_eq!(
            item_bytes("P", "SK", &item),
            (2 + 1 + 2 + 2) + (4 + 4) + (3 + 30) + (3 + 1) + (3 + 3 + 4)
        );
    }

    proptest! {
        #[test]
        fn more_bytes_never_cost_less(a: u64, b: u64) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(write(less).writes <= write(more).writes);
            for consistency in [Consistency::Eventual, Consistency::Strong, Consistency::Transactional] {
                prop_assert!(read(less, consistency).read_halves <= read(more, consistency).read_halves);
            }
        }
    }
}
