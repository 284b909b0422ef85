//! A log in a folder of this machine, for one process: SQLite in WAL mode, through `rusqlite`.
//!
//! An append is acknowledged when its commit has been written to the write-ahead log, that is, handed to the
//! operating system: kill -9 loses nothing. A second thread asks the operating system every half second to put
//! it on the disk, so a power cut loses at most the last second (SQLite's checksums end the log at the first
//! torn frame). Appends that come while one is being committed join the next commit.
//!
//! SQLite because the embedded cold tier brings it anyway: one engine, one set of habits, nothing more to build.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::memory::next_position;
use super::{Log, Origin, Position, Tail};
use crate::clock::{OwnClock, mono_ms};
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::lock::FolderLock;
use crate::workers::aside;

/// How often what has been handed to the operating system is forced to the disk.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// Layout version, in SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 3;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS record (at INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (at, seq)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS origin (one INTEGER PRIMARY KEY CHECK (one = 1), born INTEGER NOT NULL,
        whole INTEGER NOT NULL, attended INTEGER NOT NULL, committed INTEGER NOT NULL DEFAULT 0,
        key INTEGER NOT NULL DEFAULT 0);
";

/// From layout 1, which knew no ledger.
const FROM_1_TO_2: &str = "
    BEGIN;
    ALTER TABLE origin ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 2;
    COMMIT;
";

/// From layout 2, which knew no handles.
const FROM_2_TO_3: &str = "
    BEGIN;
    ALTER TABLE origin ADD COLUMN key INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 3;
    COMMIT;
";

/// See the module's text. It has one partition: one file is written in one order anyway.
#[derive(Debug)]
pub struct FileLog {
    /// Taken away to end the writer.
    orders: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
    reader: Arc<Mutex<Connection>>,
    clock: Arc<OwnClock>,
    _lock: FolderLock,
}

/// What the writing thread is asked to do. It answers every order.
enum Order {
    Append(Bytes, oneshot::Sender<StoreResult<Position>>),
    Tend { before: UnixMs, attended: UnixMs, reply: oneshot::Sender<StoreResult<()>> },
    MarkWhole(UnixMs, oneshot::Sender<StoreResult<()>>),
    NoteCommitted(UnixMs, oneshot::Sender<StoreResult<()>>),
    TakeKey(HandleKey, oneshot::Sender<StoreResult<()>>),
}

impl FileLog {
    /// Opens the log in `folder`, making it if it isn't there.
    ///
    /// # Errors
    /// The folder is held by another process, can't be written, or holds something else.
    pub fn open(folder: &Path) -> StoreResult<FileLog> {
        let lock = FolderLock::take(folder)?;
        let path = folder.join("log.sqlite");
        let writer = connect(&path)?;
        prepare(&writer, &path)?;
        let last = last_position(&writer).map_err(|e| failed(&path, e))?;
        let clock = Arc::new(OwnClock::starting_at_least(last.at));
        let born = clock.now();
        let sql = "INSERT OR IGNORE INTO origin VALUES (1, ?1, 0, 0, 0, 0)";
        writer.execute(sql, [to_sql(born)]).map_err(|e| failed(&path, e))?;
        let reader = Arc::new(Mutex::new(connect(&path)?));

        let (orders, inbox) = channel();
        let (dirty, to_sync) = sync_channel(1);
        let thread = Writer { connection: writer, path: path.clone(), clock: clock.clone(), last, dirty };
        let writer = spawn("log-writer", move || thread.run(&inbox))?;
        let mut wal = path.into_os_string();
        wal.push("-wal");
        spawn("log-sync", move || sync_behind(&PathBuf::from(wal), &to_sync))?;
        Ok(FileLog { orders: Some(orders), writer: Some(writer), reader, clock, _lock: lock })
    }

    async fn read_on(&self, after: Position) -> StoreResult<Tail> {
        let (reader, clock) = (self.reader.clone(), self.clock.clone());
        let read = aside(move || {
            let connection = reader.lock();
            // The clock first: whatever is appended after it lies at or after it.
            let now = clock.now();
            read_tail(&connection, after, now)
        });
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::caused(ErrorKind::Unavailable, "reading the file log", e)
        };
        read.await.map_err(|e| failed(e.into()))?.map_err(|e| failed(e.into()))
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<StoreResult<T>>) -> Order) -> StoreResult<T> {
        let gone = || StoreError::new(ErrorKind::Unavailable, "the file log's writer has stopped");
        let (reply, answer) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send(order(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for FileLog {
    /// The folder is given back only when everything ordered is written and the file is closed.
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> StoreResult<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_string())
        .spawn(run)
        .map_err(|e| StoreError::caused(ErrorKind::Unavailable, "starting the file log's thread", e))
}

fn connect(path: &Path) -> StoreResult<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // NORMAL: no fsync at a commit (the sync thread's work), one before and after each checkpoint.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    };
    open().map_err(|e| failed(path, e))
}

fn prepare(connection: &Connection, path: &Path) -> StoreResult<()> {
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| failed(path, e))?;
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

fn failed(path: &Path, error: rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    StoreError::caused(kind, format!("the file log {}", path.display()), error)
}

/// SQLite's integers are signed; no time that this program has ever seen comes near 2^63.
fn to_sql(at: UnixMs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn from_sql(at: i64) -> UnixMs {
    UnixMs(u64::try_from(at).unwrap_or(0))
}

fn last_position(connection: &Connection) -> rusqlite::Result<Position> {
    let sql = "SELECT at, seq FROM record ORDER BY at DESC, seq DESC LIMIT 1";
    let position = |row: &rusqlite::Row<'_>| {
        Ok(Position { at: from_sql(row.get(0)?), seq: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0) })
    };
    Ok(connection.query_row(sql, [], position).optional()?.unwrap_or(Position::START))
}

/// The one thread that writes.
struct Writer {
    connection: Connection,
    path: PathBuf,
    clock: Arc<OwnClock>,
    last: Position,
    dirty: SyncSender<()>,
}

/// How many orders one commit takes at most, so that none waits long.
const ORDERS_PER_COMMIT: usize = 256;

impl Writer {
    fn run(mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let orders: Vec<Order> =
                std::iter::once(first).chain(inbox.try_iter().take(ORDERS_PER_COMMIT)).collect();
            self.commit(orders);
            // Full: the sync thread has been told already.
            let _ = self.dirty.try_send(());
        }
    }

    /// Carries out the orders in one transaction, and answers them when it is committed.
    fn commit(&mut self, orders: Vec<Order>) {
        let before = self.last;
        match self.carry_out(&orders) {
            Ok(positions) => {
                let mut positions = positions.into_iter();
                for order in orders {
                    match order {
                        Order::Append(_, reply) => {
                            let _ = reply.send(Ok(positions.next().unwrap_or(self.last)));
                        }
                        Order::Tend { reply, .. }
                        | Order::MarkWhole(_, reply)
                        | Order::NoteCommitted(_, reply)
                        | Order::TakeKey(_, reply) => {
                            let _ = reply.send(Ok(()));
                        }
                    }
                }
            }
            Err(error) => {
                self.last = before;
                let text = error.to_string();
                let again = || {
                    StoreError::caused(
                        ErrorKind::Unavailable,
                        format!("writing the file log {}", self.path.display()),
                        text.clone(),
                    )
                };
                for order in orders {
                    match order {
                        Order::Append(_, reply) => drop(reply.send(Err(again()))),
                        Order::Tend { reply, .. }
                        | Order::MarkWhole(_, reply)
                        | Order::NoteCommitted(_, reply)
                        | Order::TakeKey(_, reply) => {
                            drop(reply.send(Err(again())));
                        }
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, orders: &[Order]) -> rusqlite::Result<Vec<Position>> {
        let transaction = self.connection.transaction()?;
        let mut positions = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                Order::Append(body, _) => {
                    self.last = next_position(self.last, self.clock.now());
                    let seq = i64::try_from(self.last.seq).unwrap_or(i64::MAX);
                    transaction
                        .prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3)")?
                        .execute(params![to_sql(self.last.at), seq, body.as_ref()])?;
                    positions.push(self.last);
                }
                Order::Tend { before, attended, .. } => {
                    // The last record stays: it is where the clock and the positions go on after a restart.
                    let keep = (*before).min(self.last.at);
                    transaction.execute("DELETE FROM record WHERE at < ?1", [to_sql(keep)])?;
                    transaction
                        .execute("UPDATE origin SET attended = MAX(attended, ?1)", [to_sql(*attended)])?;
                }
                Order::MarkWhole(born, _) => {
                    transaction.execute("UPDATE origin SET whole = 1 WHERE born = ?1", [to_sql(*born)])?;
                }
                Order::NoteCommitted(to, _) => {
                    let sql = "UPDATE origin SET committed = max(committed, ?1)";
                    transaction.execute(sql, [to_sql(*to)])?;
                }
                Order::TakeKey(key, _) => {
                    let sql = "UPDATE origin SET key = ?1 WHERE key = 0";
                    transaction.execute(sql, [key.0.cast_signed()])?;
                }
            }
        }
        transaction.commit()?;
        Ok(positions)
    }
}

/// Forces the write-ahead log to the disk [`SYNC_EVERY`] after something new has come into it.
fn sync_behind(wal: &Path, dirty: &Receiver<()>) {
    let mut file = None;
    while dirty.recv().is_ok() {
        let until_ms = mono_ms() + SYNC_EVERY.as_millis() as u64;
        loop {
            let left = Duration::from_millis(until_ms.saturating_sub(mono_ms()));
            match dirty.recv_timeout(left) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        if file.is_none() {
            file = File::open(wal).ok();
        }
        if let Some(Err(error)) = file.as_ref().map(File::sync_data) {
            tracing::error!(%error, wal = %wal.display(), "the file log can't be forced to the disk");
            file = None;
        }
    }
}

fn read_tail(connection: &Connection, after: Position, clock: UnixMs) -> rusqlite::Result<Tail> {
    // One transaction, so that records and origin are of one moment.
    let transaction = connection.unchecked_transaction()?;
    let seq = i64::try_from(after.seq).unwrap_or(i64::MAX);
    let records = transaction
        .prepare_cached(
            "SELECT at, seq, body FROM record WHERE (at, seq) > (?1, ?2) ORDER BY at, seq LIMIT ?3",
        )?
        .query_map(params![to_sql(after.at), seq, READ_RECORDS_MAX + 1], |row| {
            let seq = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
            let body: Vec<u8> = row.get(2)?;
            Ok((Position { at: from_sql(row.get(0)?), seq }, Bytes::from(body)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let origin =
        transaction.query_row("SELECT born, whole, attended, committed, key FROM origin", [], |row| {
            let time = |i| row.get(i).map(from_sql);
            let key = HandleKey(row.get::<_, i64>(4)?.cast_unsigned());
            Ok(Origin { born: time(0)?, whole: row.get(1)?, attended: time(2)?, committed: time(3)?, key })
        })?;
    let holds_after = transaction
        .prepare_cached("SELECT 1 FROM record WHERE at = ?1 AND seq = ?2")?
        .exists(params![to_sql(after.at), seq])?;
    let more = records.len() > READ_RECORDS_MAX;
    let mut records = records;
    records.truncate(READ_RECORDS_MAX);
    let last = records.last().map_or(after.at, |(position, _)| position.at);
    Ok(Tail { records, more, holds_after, clock: clock.max(last), origin })
}

#[async_trait]
impl Log for FileLog {
    fn partitions(&self) -> u16 {
        1
    }

    async fn append(&self, _partition: u16, record: Bytes) -> StoreResult<Position> {
        self.order(|reply| Order::Append(record, reply)).await
    }

    async fn read(&self, partition: u16, after: Position, key: HandleKey) -> StoreResult<Tail> {
        let tail = self.read_on(after).await?;
        if tail.origin.key != HandleKey::default() || key == HandleKey::default() {
            return Ok(tail);
        }
        self.order(|reply| Order::TakeKey(key, reply)).await?;
        self.read(partition, after, HandleKey::default()).await
    }

    async fn tend(&self, _partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.order(|reply| Order::Tend { before, attended, reply }).await
    }

    async fn mark_whole(&self, _partition: u16, born: UnixMs) -> StoreResult<()> {
        self.order(|reply| Order::MarkWhole(born, reply)).await
    }

    async fn note_committed(&self, _partition: u16, to: UnixMs) -> StoreResult<()> {
        self.order(|reply| Order::NoteCommitted(to, reply)).await
    }

    async fn publish(&self, _counts: &[(String, u64)]) -> StoreResult<()> {
        Err(StoreError::new(ErrorKind::Unsupported, "publish_counts needs a Redis log"))
    }
}
