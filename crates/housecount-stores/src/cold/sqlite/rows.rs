//! Rows of the table. Each function runs one or a few statements, and returns the units that
//! DynamoDB would have charged.
//!
//! Callers have a transaction open around every write.

use housecount_backend::cold::{
    Condition, KeyedItem, KeyedRow, Page, PutOutcome, TransactOutcome, Write,
};
use housecount_core::body;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::KeyRange;
use housecount_core::limits::SWEEP_ROWS_MAX;
use housecount_core::snapshot::is_expired;
use housecount_core::time::UnixMs;
use housecount_core::units::{self, Consistency, Units};
use rusqlite::{Connection, OptionalExtension, Rows, params};

use super::layout::RowError;

/// Bytes of items after which DynamoDB ends a page of a Query (API reference, 2026-10).
const PAGE_BYTES: u64 = 1_024 * 1_024;

/// Keys of an item as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredKey {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl StoredKey {
    pub(super) fn of(key: &housecount_core::keys::Key) -> StoredKey {
        StoredKey { pk: key.pk(), sk: key.sk() }
    }

    fn bytes(&self, item: &Item) -> u64 {
        units::item_bytes(&self.pk, &self.sk, item)
    }
}

pub(super) fn decoded(pk: &str, sk: &str, body: &[u8]) -> Result<Item, RowError> {
    let damaged = |cause| RowError::Damaged { pk: pk.to_string(), sk: sk.to_string(), cause };
    body::decode(pk, sk, body).map_err(damaged)
}

/// Finds the item at a key.
fn find(connection: &Connection, key: &StoredKey) -> Result<Option<Item>, RowError> {
    let mut select =
        connection.prepare_cached("SELECT body FROM item WHERE pk = ?1 AND sk = ?2")?;
    let mut rows = select.query(params![key.pk, key.sk])?;
    match rows.next()? {
        Some(row) => {
            Ok(Some(decoded(&key.pk, &key.sk, row.get_ref(0)?.as_blob().unwrap_or_default())?))
        }
        None => Ok(None),
    }
}

/// Bytes of the item at a key as DynamoDB counts them; zero without an item. A damaged item may be
/// replaced, and counts as zero.
fn bytes_at(connection: &Connection, key: &StoredKey) -> Result<u64, RowError> {
    match find(connection, key) {
        Ok(item) => Ok(item.map_or(0, |item| key.bytes(&item))),
        Err(RowError::Damaged { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Reads the item at a key, consistently.
pub(super) fn get(
    connection: &Connection,
    key: &StoredKey,
) -> Result<(Option<Item>, Units), RowError> {
    let item = find(connection, key)?;
    let bytes = item.as_ref().map_or(0, |item| key.bytes(item));
    Ok((item, units::read(bytes, Consistency::Strong)))
}

/// Reads rows of a range. Units are counted by the pages into which DynamoDB would split them.
pub(super) fn query(
    connection: &Connection,
    range: &KeyRange,
    page: &Page,
) -> Result<(Vec<KeyedRow>, Units), RowError> {
    let sql = match (page.backwards, page.after.is_some()) {
        (false, false) => {
            "SELECT sk, body FROM item WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 ORDER BY sk LIMIT ?5"
        }
        (false, true) => {
            "SELECT sk, body FROM item WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 AND sk > ?4 ORDER BY sk LIMIT ?5"
        }
        (true, false) => {
            "SELECT sk, body FROM item WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 ORDER BY sk DESC LIMIT ?5"
        }
        (true, true) => {
            "SELECT sk, body FROM item WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 AND sk < ?4 ORDER BY sk DESC LIMIT ?5"
        }
    };
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let after = page.after.as_deref().unwrap_or_default();
    let mut select = connection.prepare_cached(sql)?;
    let found = select.query(params![range.pk, range.first, range.last, after, limit])?;
    let consistency = if page.consistent { Consistency::Strong } else { Consistency::Eventual };
    counted(found, &range.pk, consistency)
}

fn counted(
    mut found: Rows<'_>,
    pk: &str,
    consistency: Consistency,
) -> Result<(Vec<KeyedRow>, Units), RowError> {
    let (mut rows, mut units) = (Vec::new(), Units::default());
    let (mut page_bytes, mut page_rows) = (0, 0);
    while let Some(row) = found.next()? {
        let sk: String = row.get(0)?;
        let item = decoded(pk, &sk, row.get_ref(1)?.as_blob().unwrap_or_default())?;
        let bytes = units::item_bytes(pk, &sk, &item);
        if page_rows > 0 && page_bytes + bytes > PAGE_BYTES {
            units = units.plus(units::read(page_bytes, consistency));
            (page_bytes, page_rows) = (0, 0);
        }
        (page_bytes, page_rows) = (page_bytes + bytes, page_rows + 1);
        rows.push((sk, item));
    }
    Ok((rows, units.plus(units::read(page_bytes, consistency))))
}

/// Puts an item, replacing an existing one. Returns the bytes of the larger of both.
fn replace(connection: &Connection, key: &StoredKey, item: &Item) -> Result<u64, RowError> {
    let before = bytes_at(connection, key)?;
    insert(connection, key, item)?;
    Ok(before.max(key.bytes(item)))
}

pub(super) fn insert(
    connection: &Connection,
    key: &StoredKey,
    item: &Item,
) -> Result<(), RowError> {
    let ttl = match item.get("ttl") {
        Some(Attr::N(seconds)) => i64::try_from(*seconds).ok(),
        _ => None,
    };
    let body = body::encode(&key.pk, &key.sk, item);
    connection
        .prepare_cached("INSERT OR REPLACE INTO item (pk, sk, ttl, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key.pk, key.sk, ttl, body])?;
    Ok(())
}

/// Deletes the item at a key, if it exists. Returns its bytes.
fn remove(connection: &Connection, key: &StoredKey) -> Result<u64, RowError> {
    let before = bytes_at(connection, key)?;
    connection
        .prepare_cached("DELETE FROM item WHERE pk = ?1 AND sk = ?2")?
        .execute(params![key.pk, key.sk])?;
    Ok(before)
}

pub(super) fn put(connection: &Connection, records: &[KeyedItem]) -> Result<Units, RowError> {
    records.iter().try_fold(Units::default(), |units, record| {
        let bytes = replace(connection, &StoredKey::of(&record.key), &record.item)?;
        Ok(units.plus(units::write(bytes)))
    })
}

pub(super) fn delete(connection: &Connection, keys: &[StoredKey]) -> Result<Units, RowError> {
    keys.iter().try_fold(Units::default(), |units, key| {
        Ok(units.plus(units::write(remove(connection, key)?)))
    })
}

/// Whether a condition holds for the existing item.
fn holds(there: Option<&Item>, condition: &Condition) -> bool {
    match (there, condition) {
        (there, Condition::Equals { attr, value }) => {
            there.is_some_and(|there| there.get(*attr) == Some(value))
        }
        (None, Condition::Absent | Condition::AbsentOrAtMost { .. }) => true,
        (Some(_), Condition::Absent) => false,
        (Some(there), Condition::AbsentOrAtMost { attr, value }) => {
            matches!(there.get(*attr), Some(Attr::N(n)) if n <= value)
        }
    }
}

/// Outcome of a conditional put.
pub(super) struct PutIf {
    pub(super) put: PutOutcome,
    /// False where the same item was already stored.
    pub(super) is_written: bool,
    pub(super) units: Units,
}

/// Puts an item if the condition holds, or if the same item is already stored.
pub(super) fn put_if(
    connection: &Connection,
    record: &KeyedItem,
    condition: &Condition,
) -> Result<PutIf, RowError> {
    let key = StoredKey::of(&record.key);
    let there = find(connection, &key)?;
    let before = there.as_ref().map_or(0, |there| key.bytes(there));
    let is_written = holds(there.as_ref(), condition);
    if is_written {
        insert(connection, &key, &record.item)?;
    }
    let put = match there {
        _ if is_written => PutOutcome::Done,
        Some(there) if there == record.item => PutOutcome::Done,
        there => PutOutcome::ConditionFailed(there.unwrap_or_default()),
    };
    // DynamoDB charges a refused write as well.
    let units = units::write(before.max(key.bytes(&record.item)));
    Ok(PutIf { put, is_written, units })
}

/// Does all writes, or none if a condition doesn't hold.
pub(super) fn transact(
    connection: &Connection,
    writes: &[Write],
) -> Result<(TransactOutcome, Units), RowError> {
    for write in writes {
        if let Write::Put { record, condition: Some(condition) } = write
            && !holds(find(connection, &StoredKey::of(&record.key))?.as_ref(), condition)
        {
            let units = writes.iter().map(refused_units).fold(Units::default(), Units::plus);
            return Ok((TransactOutcome::ConditionFailed, units));
        }
    }
    let mut units = Units::default();
    for write in writes {
        let bytes = match write {
            Write::Put { record, .. } => {
                replace(connection, &StoredKey::of(&record.key), &record.item)?
            }
            Write::Delete(key) => remove(connection, &StoredKey::of(key))?,
        };
        units = units.plus(units::write_in_transaction(bytes));
    }
    Ok((TransactOutcome::Done, units))
}

fn refused_units(write: &Write) -> Units {
    units::write_in_transaction(match write {
        Write::Put { record, .. } => StoredKey::of(&record.key).bytes(&record.item),
        Write::Delete(_) => 0,
    })
}

/// Deletes at most [`SWEEP_ROWS_MAX`] rows whose TTL has passed, the oldest first. Returns whether
/// there may be more.
pub(super) fn sweep(connection: &Connection, now: UnixMs) -> Result<bool, RowError> {
    let now_s = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(
        "SELECT pk, sk, body FROM item WHERE ttl <= ?1 AND ttl > 0 ORDER BY ttl LIMIT ?2",
    )?;
    let mut found = select.query(params![now_s, SWEEP_ROWS_MAX as i64])?;
    let mut expired = Vec::new();
    while let Some(row) = found.next()? {
        let (pk, sk): (String, String) = (row.get(0)?, row.get(1)?);
        // The body decides, since it has a checksum: damage to the index must delete nothing.
        let item = decoded(&pk, &sk, row.get_ref(2)?.as_blob().unwrap_or_default());
        let is_expired = item.is_ok_and(|item| is_expired(&item, now));
        expired.push((StoredKey { pk, sk }, is_expired));
    }
    for (key, is_expired) in &expired {
        let sql = match is_expired {
            true => "DELETE FROM item WHERE pk = ?1 AND sk = ?2",
            // The row stays, for readers to report. Without `ttl` the sweep doesn't read it again.
            false => "UPDATE item SET ttl = NULL WHERE pk = ?1 AND sk = ?2",
        };
        connection.prepare_cached(sql)?.execute(params![key.pk, key.sk])?;
    }
    Ok(expired.len() == SWEEP_ROWS_MAX)
}

/// Checks that the table answers.
pub(super) fn probe(connection: &Connection) -> Result<(), RowError> {
    connection
        .prepare_cached("SELECT 1 FROM item LIMIT 1")?
        .query_row([], |_| Ok(()))
        .optional()?;
    Ok(())
}
