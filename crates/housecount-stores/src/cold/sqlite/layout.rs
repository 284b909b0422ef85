//! File of an embedded cold tier: its table, how it is opened, and its errors with their remedies.

use std::path::Path;
use std::time::Duration;

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_codec::bytes::DecodeError;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::read_only::ReadOnly;

/// Name of the database's file.
pub(super) const DATABASE: &str = "items.sqlite";
/// File of the store of versions before 2026-12, an emulator's.
const FORMER_DATABASE: &str = "cold.sqlite";
/// `hcct`, in SQLite's `application_id`, which names the program that a file belongs to.
const APPLICATION_ID: i64 = 0x6863_6374;
/// Version of the layout, in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;
/// Longest wait of a call for a lock. Only recovery after a kill takes a lock that other calls wait
/// for.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// `ttl` repeats the item's attribute `ttl`, so that the sweep finds expired rows by the index
/// alone.
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE IF NOT EXISTS item (pk TEXT NOT NULL, sk TEXT NOT NULL, ttl INTEGER, body BLOB NOT NULL,
        PRIMARY KEY (pk, sk)) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS item_ttl ON item (ttl) WHERE ttl IS NOT NULL;
    PRAGMA application_id = 1751343988;
    PRAGMA user_version = 1;
    COMMIT;
";

/// Error of a call on rows.
#[derive(Debug)]
pub(super) enum RowError {
    Sql(rusqlite::Error),
    /// A row is not as it was written.
    Damaged {
        pk: String,
        sk: String,
        cause: DecodeError,
    },
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> RowError {
        RowError::Sql(error)
    }
}

impl RowError {
    /// Converts it into an error for callers: the file, the cause and the remedy.
    pub(super) fn of(self, path: &Path) -> StoreError {
        let (kind, cause, way_out) = match self {
            RowError::Damaged { pk, sk, cause } => {
                let cause = format!("the row {pk} / {sk} is damaged: {cause}");
                (
                    ErrorKind::Corrupt,
                    cause,
                    Some("put back a copy of the file, then run: housecount verify"),
                )
            }
            RowError::Sql(error) => {
                let (kind, way_out) = judge(&error);
                (kind, error.to_string(), way_out)
            }
        };
        let way_out = way_out.map(|way_out| format!("; {way_out}")).unwrap_or_default();
        StoreError::new(
            kind,
            format!("the embedded cold tier {}: {cause}{way_out}", path.display()),
        )
    }
}

/// Returns the kind of SQLite's error, and the remedy if there is one.
///
/// The statements are always the same, so one that fails without an error code has met a damaged
/// file.
fn judge(error: &rusqlite::Error) -> (ErrorKind, Option<&'static str>) {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
            let way_out = "the file is damaged: put back a copy of it, then run: housecount verify";
            (ErrorKind::Corrupt, Some(way_out))
        }
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Unavailable, Some("make room on its disk; writes are tried again"))
        }
        Some(ErrorCode::SystemIoFailure) => (
            ErrorKind::Unavailable,
            Some("check its disk for room and errors; calls are tried again"),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            let way_out = "let the user that runs housecount write to the folder and its files";
            (ErrorKind::Unavailable, Some(way_out))
        }
        _ => (ErrorKind::Unavailable, None),
    }
}

/// Refuses a folder that has only the store of an earlier version.
pub(super) fn refuse_former(folder: &Path) -> StoreResult<()> {
    if folder.join(DATABASE).exists() || !folder.join(FORMER_DATABASE).exists() {
        return Ok(());
    }
    let text = format!(
        "{} has the store of an earlier housecount ({FORMER_DATABASE}), which this version can't read; rename the folder to start \
         empty, and export its watch time with the earlier version",
        folder.display()
    );
    Err(StoreError::new(ErrorKind::Schema, text))
}

/// Opens the database for writing, and creates the layout of a new one.
pub(super) fn open_writer(path: &Path) -> StoreResult<Connection> {
    let connection = Connection::open(path).map_err(|e| RowError::Sql(e).of(path))?;
    prepare(&connection, path)?;
    Ok(connection)
}

/// Opens a database that is lost with the connection. For tests.
pub(super) fn open_memory() -> StoreResult<Connection> {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().map_err(|e| RowError::Sql(e).of(path))?;
    prepare(&connection, path)?;
    Ok(connection)
}

fn prepare(connection: &Connection, path: &Path) -> StoreResult<()> {
    let set = || -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // FULL: a commit returns when the write-ahead log is on the disk.
        connection.pragma_update(None, "synchronous", "full")
    };
    set().map_err(|e| RowError::Sql(e).of(path))?;
    if version(connection).map_err(|e| RowError::Sql(e).of(path))?.is_none() {
        return connection.execute_batch(SCHEMA).map_err(|e| RowError::Sql(e).of(path));
    }
    check(connection, path)
}

/// Opens a connection that reads beside the writer of this process.
pub(super) fn open_beside(path: &Path) -> StoreResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        Ok(connection)
    };
    open().map_err(|e: rusqlite::Error| RowError::Sql(e).of(path))
}

/// Opens a connection that changes no file, whether or not a node has the database open.
pub(super) fn open_to_read(read_only: &ReadOnly, path: &Path) -> StoreResult<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let open = || {
        let connection = Connection::open_with_flags(&read_only.uri, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        Ok(connection)
    };
    let connection = open().map_err(|e: rusqlite::Error| RowError::Sql(e).of(path))?;
    check(&connection, path)?;
    Ok(connection)
}

/// Returns the application id and the layout version; `None` for an empty database.
fn version(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = (number("application_id")?, number("user_version")?);
    let is_empty: bool =
        connection
            .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    Ok((!is_empty || found != (0, 0)).then_some(found))
}

/// Checks that it is a database of this program and of this layout.
fn check(connection: &Connection, path: &Path) -> StoreResult<()> {
    let found = version(connection).map_err(|e| RowError::Sql(e).of(path))?;
    let (kind, what) = match found {
        Some((APPLICATION_ID, SCHEMA_VERSION)) => return Ok(()),
        Some((APPLICATION_ID, version)) => (
            ErrorKind::Schema,
            format!(
                "has layout version {version}, and this program knows {SCHEMA_VERSION}; open it with the housecount that wrote \
                 it, or choose another folder"
            ),
        ),
        Some(_) => {
            (ErrorKind::Schema, "is not a store of housecount's; choose another folder".to_string())
        }
        None => (ErrorKind::Missing, "has no table of housecount's".to_string()),
    };
    Err(StoreError::new(kind, format!("{} {what}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/FORMATS.md promises this layout.
    #[test]
    fn the_layout_is_frozen() {
        let connection = open_memory().unwrap();
        assert_eq!(version(&connection).unwrap(), Some((APPLICATION_ID, SCHEMA_VERSION)));
        let sql = "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE sql IS NOT NULL";
        let found: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            found,
            "CREATE TABLE item (pk TEXT NOT NULL, sk TEXT NOT NULL, ttl INTEGER, body BLOB NOT NULL, \
             PRIMARY KEY (pk, sk)) STRICT, WITHOUT ROWID;\
             CREATE INDEX item_ttl ON item (ttl) WHERE ttl IS NOT NULL"
        );
    }

    #[test]
    fn a_commit_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&folder.path().join(DATABASE)).unwrap();
        let pragma = |name: &str| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_string().into());
        assert_eq!(pragma("synchronous"), 2.into(), "FULL: every commit is synced");
    }

    /// Versions 3.7.0 to 3.51.2 can lose commits when the write-ahead log is reset.
    #[test]
    fn sqlite_is_new_enough() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[test]
    fn another_programs_or_a_later_versions_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        let refused = |sql: &str| {
            let _ = std::fs::remove_file(&path);
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            let error = open_writer(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Schema);
            error.to_string()
        };
        assert!(refused("CREATE TABLE other (x)").contains("is not a store of housecount's"));
        let later = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2");
        assert!(refused(&later).contains("has layout version 2, and this program knows 1"));
    }
}
