//! The cold tier, which keeps data for good, in DynamoDB or in SQLite on this machine.
//!
//! Putting an item twice has the same effect as putting it once. So a put may be retried, and two
//! nodes may do the same work at once. One suite checks the contract below for every backend
//! (`crates/housecount-stores/tests/it/contract/cold.rs`). Both backends count the same units for
//! the same calls.

pub mod bulk;
mod cached;
pub mod lease;
mod outage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::time::UnixMs;

pub use self::cached::CachedCold;
pub use self::outage::WatchedCold;
use crate::error::StoreResult;
pub use crate::meter::{Meter, Purpose};

/// An item with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedItem {
    /// Key of the item.
    pub key: Key,
    /// Contents of the item.
    pub item: Item,
}

/// Sorts records by the key that they are stored at, and keeps the last one of each key.
///
/// The result is the same as if they were put one after the other. DynamoDB refuses a batch that
/// names a key twice.
#[must_use]
pub fn by_stored_key(records: Vec<KeyedItem>) -> Vec<KeyedItem> {
    let stored = |record: KeyedItem| ((record.key.pk(), record.key.sk()), record);
    records.into_iter().map(stored).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Condition of a conditional put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No item exists at the key.
    Absent,
    /// No item exists, or its number `attr` is at most `value`.
    AbsentOrAtMost {
        /// The attribute.
        attr: &'static str,
        /// The number.
        value: u64,
    },
    /// An item exists, and its `attr` still has this value.
    Equals {
        /// The attribute.
        attr: &'static str,
        /// The value.
        value: Attr,
    },
}

/// Outcome of a conditional put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The item is stored, by this call or by an earlier one with the same item whose answer was
    /// lost.
    Done,
    /// The condition doesn't hold. Holds the existing item.
    ConditionFailed(Item),
}

/// A write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts an item if the condition holds, replacing an existing one.
    Put {
        /// The item.
        record: KeyedItem,
        /// The condition; `None` to put always.
        condition: Option<Condition>,
    },
    /// Deletes the item at a key, if it exists.
    Delete(Key),
}

impl Write {
    /// Key that is written.
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
    /// A condition doesn't hold, and no write is done.
    ConditionFailed,
}

/// Number of a range's rows to read, and the end to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Greatest number of rows.
    pub limit: usize,
    /// Whether the greatest sort key comes first.
    pub backwards: bool,
    /// Sort key after which the page starts.
    pub after: Option<String>,
    /// Whether the read must see items that have just been written. It costs twice as much.
    pub consistent: bool,
}

impl Page {
    /// Returns a page of the first `limit` rows.
    #[must_use]
    pub fn first(limit: usize) -> Page {
        Page { limit, backwards: false, after: None, consistent: false }
    }

    /// Returns a page of the last `limit` rows, the last one first.
    #[must_use]
    pub fn last(limit: usize) -> Page {
        Page { limit, backwards: true, after: None, consistent: false }
    }
}

/// A row of a range: its sort key and its item.
pub type KeyedRow = (String, Item);

/// A cold tier: items by key, read by ranges.
///
/// ```
/// use std::sync::Arc;
///
/// use housecount_backend::cold::Cold;
/// use housecount_backend::error::StoreResult;
///
/// async fn is_usable(cold: Arc<dyn Cold>) -> StoreResult<()> {
///     cold.check().await
/// }
/// ```
#[async_trait]
pub trait Cold: Send + Sync + fmt::Debug {
    /// Checks that the tier exists and has the right layout.
    ///
    /// # Errors
    /// Returns `Schema`, whose text names what is missing or different, and how to fix it.
    async fn check(&self) -> StoreResult<()>;

    /// Puts items, replacing existing ones.
    ///
    /// If several have the same key, the last one stays. After an error some of them may be stored;
    /// put all of them again. Returns `Refused` if one of them is invalid; a retry is refused
    /// again.
    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()>;

    /// Puts an item if the condition holds.
    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome>;

    /// Does all of these writes at once, or none of them.
    ///
    /// Each write must have another key; 100 are the most (DynamoDB API reference, 2026-10). After
    /// an error they may be done. In that case `Absent` refuses them the next time, also for the
    /// same item.
    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome>;

    /// Reads the item at a key, consistently; `None` if no item exists.
    async fn get(&self, key: &Key) -> StoreResult<Option<Item>>;

    /// Reads rows of a range, in the order of their sort keys.
    ///
    /// Fewer than `limit` rows mean that there are no more. Rows whose TTL has passed may be among
    /// them, and readers must check.
    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>>;

    /// Deletes the items at these keys. Keys without an item are ignored. Errors are as for `put`.
    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()>;

    /// Capacity that this tier has consumed so far.
    fn meter(&self) -> Meter;

    /// The same tier for reads by callers of the API, all of which are metered as
    /// [`Purpose::Reads`].
    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold>;

    /// Bytes that are stored, as the store last counted them (DynamoDB: within six hours).
    ///
    /// `None` where the store doesn't count.
    async fn stored_bytes(&self) -> StoreResult<Option<u64>> {
        Ok(None)
    }

    /// Deletes some items whose TTL has passed by `now`, a bounded number per call. Returns true if
    /// there may be more.
    ///
    /// The default does nothing, since DynamoDB deletes such items by itself, at no charge.
    async fn sweep(&self, _now: UnixMs) -> StoreResult<bool> {
        Ok(false)
    }
}
