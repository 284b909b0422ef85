//! A whole cold tier, row by row: what a copy needs beyond the contract of a cold tier. No node
//! uses it.

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
    /// The rows. Those of one partition key follow each other, in the order of their sort keys.
    pub rows: Vec<StoredRow>,
    /// Keys of rows with attributes of types that housecount doesn't write: another program's.
    pub foreign: Vec<(String, String)>,
    /// Keys of the last row that was read; `None` at the end.
    pub next: Option<(String, String)>,
}

/// A cold tier that can be copied from and to.
#[async_trait]
pub trait Bulk: Cold {
    /// Reads a page of all rows, 1 MB or so, after these keys.
    async fn scan(&self, after: Option<(String, String)>) -> StoreResult<ScanPage>;

    /// Puts rows, replacing what is there. Each has another key.
    async fn put_rows(&self, rows: Vec<StoredRow>) -> StoreResult<()>;

    /// Number of rows, for a progress bar: DynamoDB counts every six hours.
    async fn rows_about(&self) -> StoreResult<u64>;
}
