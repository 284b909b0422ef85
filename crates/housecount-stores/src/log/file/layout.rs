//! Database of a file log: its tables, and how rows are read.
//!
//! SQLite keeps values of any type that another program writes. A record that isn't a blob is read
//! as an empty one, which no reader can decode. A time that isn't an integer is read as zero. A row
//! without a position is skipped.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{PartitionMeta, Position, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Version of the layout, in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 3;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS record (at INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (at, seq)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS origin (one INTEGER PRIMARY KEY CHECK (one = 1), born INTEGER NOT NULL,
        whole INTEGER NOT NULL, attended INTEGER NOT NULL, committed INTEGER NOT NULL DEFAULT 0,
        key INTEGER NOT NULL DEFAULT 0);
";

/// Migration from layout 1, which had no commit time of the ledger.
const FROM_1_TO_2: &str = "
    BEGIN;
    ALTER TABLE origin ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 2;
    COMMIT;
";

/// Migration from layout 2, which had no key of handles.
const FROM_2_TO_3: &str = "
    BEGIN;
    ALTER TABLE origin ADD COLUMN key INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 3;
    COMMIT;
";

pub(super) fn connect(path: &Path) -> StoreResult<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // NORMAL: SQLite doesn't fsync at a commit (the sync thread does it), but before and after
        // each checkpoint.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    };
    open().map_err(|e| failed(path, e))
}

pub(super) fn prepare(connection: &Connection, path: &Path) -> StoreResult<()> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| failed(path, e))?;
    if !(0..=SCHEMA_VERSION).contains(&version) {
        return Err(StoreError::new(
            ErrorKind::Schema,
            format!(
                "{} has layout version {version}; this program knows {SCHEMA_VERSION}: \
                 open it with the housecount that wrote it, or choose another folder",
                path.display()
            ),
        ));
    }
    connection.execute_batch(SCHEMA).map_err(|e| failed(path, e))?;
    if version == 1 {
        connection.execute_batch(FROM_1_TO_2).map_err(|e| failed(path, e))?;
    }
    if version == 1 || version == 2 {
        connection.execute_batch(FROM_2_TO_3).map_err(|e| failed(path, e))?;
    }
    connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(|e| failed(path, e))
}

pub(super) fn failed(path: &Path, error: rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            ErrorKind::Corrupt
        }
        _ => ErrorKind::Unavailable,
    };
    StoreError::caused(kind, format!("the file log {}", path.display()), error)
}

/// Converts a time for SQLite, whose integers are signed. Real times are far below 2^63.
pub(super) fn to_sql(at: UnixMs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn from_sql(at: i64) -> UnixMs {
    UnixMs(u64::try_from(at).unwrap_or(0))
}

/// Reads an integer of a row, or zero if the value has another type.
fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    Ok(row.get_ref(column)?.as_i64().unwrap_or(0))
}

fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    let seq = u64::try_from(integer(row, 1)?).unwrap_or(0);
    Ok(Position { at: from_sql(integer(row, 0)?), seq })
}

/// Creates the log's metadata unless it exists, with `now` as the time of creation.
pub(super) fn begin(connection: &Connection, now: UnixMs) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM origin WHERE typeof(born) <> 'integer' OR born <= 0", [])?;
    connection.execute("INSERT OR IGNORE INTO origin VALUES (1, ?1, 0, 0, 0, 0)", [to_sql(now)])?;
    Ok(())
}

pub(super) fn last_position(connection: &Connection) -> rusqlite::Result<Position> {
    let sql = "SELECT at, seq FROM record WHERE typeof(at) = 'integer' AND typeof(seq) = 'integer'
        ORDER BY at DESC, seq DESC LIMIT 1";
    Ok(connection.query_row(sql, [], position).optional()?.unwrap_or(Position::START))
}

fn origin(row: &Row<'_>) -> rusqlite::Result<PartitionMeta> {
    let time = |column| integer(row, column).map(from_sql);
    let key = HandleKey(integer(row, 4)?.cast_unsigned());
    Ok(PartitionMeta {
        created_at: time(0)?,
        is_complete: integer(row, 1)? == 1,
        last_tended_at: time(2)?,
        committed: time(3)?,
        key,
    })
}

/// Reads the records after a position, with a clock that was read before. `None` if the log has no
/// metadata.
pub(super) fn read_tail(
    connection: &Connection,
    after: Position,
    clock: UnixMs,
) -> rusqlite::Result<Option<ReadResult>> {
    // One transaction, so that records and metadata are of the same moment.
    let transaction = connection.unchecked_transaction()?;
    let seq = i64::try_from(after.seq).unwrap_or(i64::MAX);
    let mut records = transaction
        .prepare_cached(
            "SELECT at, seq, body FROM record
             WHERE (at, seq) > (?1, ?2) AND typeof(at) = 'integer' AND typeof(seq) = 'integer' AND seq >= 0
             ORDER BY at, seq LIMIT ?3",
        )?
        .query_map(params![to_sql(after.at), seq, READ_RECORDS_MAX as i64 + 1], |row| {
            let body = row.get_ref(2)?.as_blob().unwrap_or_default();
            Ok((position(row)?, Bytes::copy_from_slice(body)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let sql = "SELECT born, whole, attended, committed, key FROM origin";
    let known = transaction.query_row(sql, [], origin).optional()?;
    let Some(origin) = known.filter(|origin| origin.created_at > UnixMs::ZERO) else {
        return Ok(None);
    };
    let start_exists = transaction
        .prepare_cached("SELECT 1 FROM record WHERE at = ?1 AND seq = ?2")?
        .exists(params![to_sql(after.at), seq])?;
    let more = records.len() > READ_RECORDS_MAX;
    records.truncate(READ_RECORDS_MAX);
    let last = records.last().map_or(after.at, |(position, _)| position.at);
    Ok(Some(ReadResult { records, more, start_exists, clock: clock.max(last), origin }))
}
