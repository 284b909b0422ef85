//! Access to a whole cold tier, row by row. Only a copy needs it, and no node uses it.

use async_trait::async_trait;
use housecount_core::item::Item;

use super::Cold;
use crate::error::StoreResult;

/// A row with its keys as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
    /// The item.
    pub item: Item,
}

/// A page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// The rows. Rows of one partition key follow each other, in the order of their sort keys.
    pub rows: Vec<StoredRow>,
    /// Keys of foreign rows, which have attributes of types that housecount doesn't write.
    pub foreign: Vec<(String, String)>,
    /// Keys of the last row that was read; `None` at the end.
    pub next: Option<(String, String)>,
}

/// A cold tier that can be copied from and to.
#[async_trait]
pub trait Bulk: Cold {
    /// Reads a page of all rows after these keys, about 1 MB.
    async fn scan(&self, after: Option<(String, String)>) -> StoreResult<ScanPage>;

    /// Puts rows, replacing existing ones. Each row must have another key.
    async fn put_rows(&self, rows: Vec<StoredRow>) -> StoreResult<()>;

    /// Approximate number of rows, for a progress bar. DynamoDB counts every six hours.
    async fn rows_about(&self) -> StoreResult<u64>;
}
