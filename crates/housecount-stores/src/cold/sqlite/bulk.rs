//! All rows of an embedded cold tier, for a copy.

use async_trait::async_trait;
use housecount_backend::cold::bulk::{Bulk, ScanPage, StoredRow};
use housecount_backend::error::StoreResult;
use rusqlite::{Connection, params};

use super::SqliteCold;
use super::layout::RowError;
use super::rows::{StoredKey, decoded, insert};

/// Bytes of bodies after which a page ends, as in DynamoDB.
const PAGE_BYTES: usize = 1_024 * 1_024;
/// Greatest number of rows of a page.
const PAGE_ROWS: i64 = 1_000;

fn scan(connection: &Connection, after: Option<(String, String)>) -> Result<ScanPage, RowError> {
    let (pk, sk) = after.unwrap_or_default();
    let sql = "SELECT pk, sk, body FROM item WHERE (pk, sk) > (?1, ?2) ORDER BY pk, sk LIMIT ?3";
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query(params![pk, sk, PAGE_ROWS])?;
    let (mut page, mut bytes) = (ScanPage::default(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = found.next()?
    {
        let (pk, sk): (String, String) = (row.get(0)?, row.get(1)?);
        let body = row.get_ref(2)?.as_blob().unwrap_or_default();
        let item = decoded(&pk, &sk, body)?;
        bytes += body.len();
        page.next = Some((pk.clone(), sk.clone()));
        page.rows.push(StoredRow { pk, sk, item });
    }
    Ok(page)
}

#[async_trait]
impl Bulk for SqliteCold {
    async fn scan(&self, after: Option<(String, String)>) -> StoreResult<ScanPage> {
        self.read(move |connection| scan(connection, after)).await
    }

    async fn put_rows(&self, rows: Vec<StoredRow>) -> StoreResult<()> {
        self.write(move |transaction| {
            rows.into_iter().try_for_each(|StoredRow { pk, sk, item }| {
                insert(transaction, &StoredKey { pk, sk }, &item)
            })
        })
        .await
    }

    async fn rows_about(&self) -> StoreResult<u64> {
        let count = |connection: &Connection| {
            Ok(connection.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0))?)
        };
        Ok(u64::try_from(self.read(count).await?).unwrap_or(0))
    }
}
