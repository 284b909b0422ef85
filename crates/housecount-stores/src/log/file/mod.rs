//! A log in a folder of this machine, for one process: SQLite in WAL mode, through `rusqlite`.
//!
//! An append is acknowledged when the operating system has its commit in the write-ahead log, so
//! kill -9 loses nothing. Every half second a second thread forces that log to the disk, so a power
//! cut loses at most the last second. (SQLite's checksums end the log at the first torn frame.)
//! Appends that arrive during a commit join the next one. No append is acknowledged if the file was
//! deleted, moved or replaced meanwhile (`folder.rs`).
//!
//! The engine is SQLite because the embedded cold tier uses it as well. One engine has one set of
//! habits, and nothing more to build.

mod layout;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::clock::MonotonicClock;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, Position, ReadResult};
use housecount_backend::threads::blocking::run_blocking;
use housecount_core::fold::HandleKey;
use housecount_core::limits::FILE_LOG_ORDERS_MAX;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::writer::{WriteCommand, WriterThread};
use crate::folder::DataFolder;

/// Name of the database's file.
const DATABASE: &str = "log.sqlite";

/// Log in SQLite files of this machine, for one process. It has one partition, because one file is
/// written in one order anyway.
#[derive(Debug)]
pub struct FileLog {
    /// Dropped to stop the writer.
    commands: Option<SyncSender<WriteCommand>>,
    writer: Option<JoinHandle<()>>,
    reader: Arc<Mutex<Connection>>,
    clock: Arc<MonotonicClock>,
    /// Released only after the writer has stopped.
    folder: Arc<DataFolder>,
}

/// Opens the log in `folder` as a [`Log`].
///
/// # Errors
/// Returns the errors of [`FileLog::open`].
pub(super) fn open(folder: &Path) -> StoreResult<Arc<dyn Log>> {
    Ok(Arc::new(FileLog::open(folder)?))
}

impl FileLog {
    /// Opens the log in `folder`, and creates it if it doesn't exist.
    ///
    /// # Errors
    /// Returns a `StoreError` if another process holds the folder, if the folder can't be written,
    /// or if it holds something else.
    pub fn open(folder: &Path) -> StoreResult<FileLog> {
        let mut folder = DataFolder::open(folder, DATABASE)?;
        let path = folder.path(DATABASE);
        let writer = layout::connect(&path)?;
        layout::prepare(&writer, &path)?;
        let last = layout::last_position(&writer).map_err(|e| layout::failed(&path, e))?;
        let clock = Arc::new(MonotonicClock::starting_at_least(last.at));
        layout::begin(&writer, clock.now()).map_err(|e| layout::failed(&path, e))?;
        let reader = Arc::new(Mutex::new(layout::connect(&path)?));
        // SQLite keeps acknowledged appends in the second file until it moves them to the first.
        let wal = format!("{DATABASE}-wal");
        for name in [DATABASE, &wal] {
            folder.watch(name)?;
        }
        let (wal, folder) = (folder.path(&wal), Arc::new(folder));

        let (orders, inbox) = sync_channel(FILE_LOG_ORDERS_MAX);
        let (dirty, to_sync) = sync_channel(1);
        let thread = WriterThread {
            connection: writer,
            folder: folder.clone(),
            clock: clock.clone(),
            last,
            dirty,
        };
        let writer = spawn("log-writer", move || thread.run(&inbox))?;
        spawn("log-sync", move || writer::sync_behind(&wal, &to_sync))?;
        Ok(FileLog { commands: Some(orders), writer: Some(writer), reader, clock, folder })
    }

    /// Reads the records after a position; `None` if the log has no metadata.
    async fn find(&self, after: Position) -> StoreResult<Option<ReadResult>> {
        let (reader, clock, folder) =
            (self.reader.clone(), self.clock.clone(), self.folder.clone());
        let shown = folder.path(DATABASE);
        let failed = move |e: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::caused(
                ErrorKind::Unavailable,
                format!("reading the file log {}", shown.display()),
                e,
            )
        };
        let read = run_blocking(move || {
            let connection = reader.lock();
            // The clock is read first, so that every later append has a position at or after it.
            let now = clock.now();
            let tail = layout::read_tail(&connection, after, now).map_err(|e| e.to_string())?;
            folder.check().map(|()| tail).map_err(|e| e.to_string())
        });
        read.await.map_err(|e| failed(e.into()))?.map_err(|e| failed(e.into()))
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<StoreResult<T>>) -> WriteCommand,
    ) -> StoreResult<T> {
        let gone = || StoreError::new(ErrorKind::Unavailable, "the file log's writer has stopped");
        let (reply, answer) = oneshot::channel();
        let orders = self.commands.as_ref().ok_or_else(gone)?;
        orders.try_send(order(reply)).map_err(|refused| match refused {
            TrySendError::Disconnected(_) => gone(),
            TrySendError::Full(_) => StoreError::new(
                ErrorKind::Unavailable,
                "too many writes wait for the file log's writer",
            ),
        })?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for FileLog {
    /// Waits for the writer. The folder is released only when all commands are done and the file is
    /// closed.
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> StoreResult<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_string()).spawn(run).map_err(|e| {
        StoreError::caused(ErrorKind::Unavailable, "starting the file log's thread", e)
    })
}

#[async_trait]
impl Log for FileLog {
    fn partitions(&self) -> u16 {
        1
    }

    async fn append(&self, _partition: u16, record: Bytes) -> StoreResult<Position> {
        self.order(|reply| WriteCommand::Append(record, reply)).await
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        let lost = || StoreError::new(ErrorKind::Unavailable, "the file log lost its records");
        let mut found = self.find(after).await?;
        if found.is_none() {
            self.order(WriteCommand::Begin).await?;
            found = self.find(after).await?;
        }
        let tail = found.ok_or_else(lost)?;
        if tail.origin.key != HandleKey::default() || key == HandleKey::default() {
            return Ok(tail);
        }
        self.order(|reply| WriteCommand::SetHandleKey(key, reply)).await?;
        self.read(partition, after, HandleKey::default()).await
    }

    async fn maintain(&self, _partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.order(|reply| WriteCommand::Tend { before, attended, reply }).await
    }

    async fn mark_complete(&self, _partition: u16, born: UnixMs) -> StoreResult<()> {
        self.order(|reply| WriteCommand::MarkWhole(born, reply)).await
    }

    async fn note_committed(&self, _partition: u16, to: UnixMs) -> StoreResult<()> {
        self.order(|reply| WriteCommand::NoteCommitted(to, reply)).await
    }

    async fn publish_counts(&self, _counts: &[(String, u64)]) -> StoreResult<()> {
        Err(StoreError::new(ErrorKind::Unsupported, "publish_counts needs a Redis log"))
    }
}
