//! The cold tier: what is kept for good, in DynamoDB or in SQLite on this machine.
//!
//! Items are put by key and say the same thing however often they are put: so a put may be tried
//! again, and two nodes may do the same work at once. The contract below is checked for every
//! backend by one suite (tests/it/contract/cold.rs), and both backends count the same units for the
//! same calls.

pub mod bulk;
pub mod chunks;
#[cfg_attr(not(feature = "dynamodb"), path = "../without/dynamo_cold.rs")]
mod dynamodb;
mod outage;
#[cfg(feature = "dynamodb")]
mod scan;
#[cfg_attr(not(feature = "sqlite"), path = "../without/sqlite.rs")]
mod sqlite;
#[cfg(feature = "dynamodb")]
mod table;
mod target;
#[cfg(feature = "dynamodb")]
mod transact;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::time::UnixMs;

#[cfg(feature = "dynamodb")]
pub use self::dynamodb::DynamoCold;
pub use self::outage::WatchedCold;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteCold;
#[cfg(feature = "dynamodb")]
pub use self::table::{TableOptions, TableState};
pub use self::target::ColdTarget;
pub use crate::dynamo::Address;
use crate::error::StoreResult;
pub use crate::meter::{Meter, Purpose};

/// An item with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedItem {
    /// Where it lies.
    pub key: Key,
    /// What it says.
    pub item: Item,
}

/// Records by the key that they are stored at, the last one of each: as if they were put one after
/// the other. DynamoDB refuses a batch that names a key twice.
#[must_use]
pub fn by_stored_key(records: Vec<KeyedItem>) -> Vec<KeyedItem> {
    let stored = |record: KeyedItem| ((record.key.pk(), record.key.sk()), record);
    records.into_iter().map(stored).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// What must hold for a conditional put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no item at the key.
    Absent,
    /// There is none, or its number `attr` is at most `value`.
    AbsentOrAtMost {
        /// The attribute.
        attr: &'static str,
        /// The number.
        value: u64,
    },
    /// There is one, and its `attr` is still this.
    Equals {
        /// The attribute.
        attr: &'static str,
        /// What it is.
        value: Attr,
    },
}

/// What became of a conditional put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The item is there, by this call or by an earlier one with the very same item whose answer
    /// was lost.
    Done,
    /// The condition doesn't hold; this is what is there.
    ConditionFailed(Item),
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts an item, replacing what is there, if the condition holds.
    Put {
        /// The item.
        record: KeyedItem,
        /// The condition; none for always.
        condition: Option<Condition>,
    },
    /// Deletes the item at a key, if there is one.
    Delete(Key),
}

impl Write {
    /// The key that is written.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Write::Put { record, .. } => &record.key,
            Write::Delete(key) => key,
        }
    }
}

/// Outcome of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactOutcome {
    /// Every write is done.
    Done,
    /// A condition doesn't hold; no write is done.
    ConditionFailed,
}

/// How much of a range to read, and from which end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows at most.
    pub limit: usize,
    /// Greatest sort key first.
    pub backwards: bool,
    /// Go on behind this sort key.
    pub after: Option<String>,
    /// Whether what has just been written must be seen. Costs twice.
    pub consistent: bool,
}

impl Page {
    /// The first `limit` rows.
    #[must_use]
    pub fn first(limit: usize) -> Page {
        Page { limit, backwards: false, after: None, consistent: false }
    }

    /// The last `limit` rows, last one first.
    #[must_use]
    pub fn last(limit: usize) -> Page {
        Page { limit, backwards: true, after: None, consistent: false }
    }
}

/// A row of a range: its sort key and its item.
pub type KeyedRow = (String, Item);

/// The cold tier.
#[async_trait]
pub trait Cold: Send + Sync + fmt::Debug {
    /// That the tier is there and laid out as it must be.
    ///
    /// # Errors
    /// `Schema` names what is missing or different, and how to mend it.
    async fn check(&self) -> StoreResult<()>;

    /// Puts items, replacing what is there; of several at one key the last one stays. On an error
    /// some of them may be there: put them all again. `ConditionFailed` if one of them is invalid: putting
    /// them again is refused again.
    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()>;

    /// Puts an item if the condition holds.
    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome>;

    /// Does all of these writes at once or none of them. Each has another key; 100 at most
    /// (DynamoDB API reference, 2026-10). After an error they may be done: then `Absent` refuses
    /// them the next time, also for the very same item.
    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome>;

    /// The item at a key, read consistently; `None` if there is none.
    async fn get(&self, key: &Key) -> StoreResult<Option<Item>>;

    /// Rows of a range, in the order of their sort keys. Fewer than `limit` only if there are no
    /// more. Rows whose TTL has passed may be among them: readers look.
    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>>;

    /// Deletes what is at these keys; nothing where nothing is. As `put` otherwise.
    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()>;

    /// What it has consumed so far.
    fn meter(&self) -> Meter;

    /// The same tier for what callers of the API read: counted as [`Purpose::Reads`], whatever it
    /// is that they read.
    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold>;

    /// Bytes that lie there, as the store last counted them (DynamoDB: within six hours); `None`
    /// where it doesn't count.
    async fn stored_bytes(&self) -> StoreResult<Option<u64>> {
        Ok(None)
    }

    /// Deletes some items whose TTL has passed by `now`, a bounded number a call. True if there may
    /// be more. DynamoDB deletes them by itself, at no charge, so there is nothing to do.
    async fn sweep(&self, _now: UnixMs) -> StoreResult<bool> {
        Ok(false)
    }
}
