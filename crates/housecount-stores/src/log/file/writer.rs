//! Threads of a file log: one writes it, and one forces it to the disk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use bytes::Bytes;
use housecount_backend::clock::{MonotonicClock, mono_ms};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::Position;
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::layout::{begin, to_sql};
use crate::folder::DataFolder;

/// Interval at which data that the operating system has is forced to the disk.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// Command to the writer thread. The writer answers every command.
pub(super) enum WriteCommand {
    Append(Bytes, oneshot::Sender<StoreResult<Position>>),
    Tend {
        before: UnixMs,
        attended: UnixMs,
        reply: oneshot::Sender<StoreResult<()>>,
    },
    MarkWhole(UnixMs, oneshot::Sender<StoreResult<()>>),
    NoteCommitted(UnixMs, oneshot::Sender<StoreResult<()>>),
    SetHandleKey(HandleKey, oneshot::Sender<StoreResult<()>>),
    /// Creates the log's metadata if the log has none.
    Begin(oneshot::Sender<StoreResult<()>>),
}

/// State of the only thread that writes.
pub(super) struct WriterThread {
    pub(super) connection: Connection,
    pub(super) folder: Arc<DataFolder>,
    pub(super) clock: Arc<MonotonicClock>,
    pub(super) last: Position,
    pub(super) dirty: SyncSender<()>,
}

/// Greatest number of commands in one commit, so that no command waits long.
const ORDERS_PER_COMMIT: usize = 256;

impl WriterThread {
    pub(super) fn run(mut self, inbox: &Receiver<WriteCommand>) {
        while let Ok(first) = inbox.recv() {
            let orders: Vec<WriteCommand> =
                std::iter::once(first).chain(inbox.try_iter().take(ORDERS_PER_COMMIT)).collect();
            self.commit(orders);
            // A full channel means that the sync thread has already been notified.
            let _ = self.dirty.try_send(());
        }
    }

    /// Executes the commands in one transaction. Answers them once it is committed and the file is
    /// still in its place.
    fn commit(&mut self, orders: Vec<WriteCommand>) {
        let before = self.last;
        let done = self.execute(&orders).map_err(|error| {
            self.last = before;
            error.to_string()
        });
        // Records in a deleted file are lost at a restart. The record stays in the file, in case
        // the file comes back.
        let done = done.and_then(|positions| {
            self.folder.check().map(|()| positions).map_err(|error| error.to_string())
        });
        let mut positions = match &done {
            Ok(positions) => positions.iter(),
            Err(_) => [].iter(),
        };
        let failed = done.as_ref().err().map(|cause| {
            let text =
                format!("writing the file log {}", self.folder.path(super::DATABASE).display());
            move || StoreError::caused(ErrorKind::Unavailable, text.clone(), cause.clone())
        });
        for order in orders {
            match order {
                WriteCommand::Append(_, reply) => {
                    let position = *positions.next().unwrap_or(&self.last);
                    let _ =
                        reply.send(failed.as_ref().map_or(Ok(position), |failed| Err(failed())));
                }
                WriteCommand::Tend { reply, .. }
                | WriteCommand::MarkWhole(_, reply)
                | WriteCommand::NoteCommitted(_, reply)
                | WriteCommand::SetHandleKey(_, reply)
                | WriteCommand::Begin(reply) => {
                    let _ = reply.send(failed.as_ref().map_or(Ok(()), |failed| Err(failed())));
                }
            }
        }
    }

    fn execute(&mut self, orders: &[WriteCommand]) -> rusqlite::Result<Vec<Position>> {
        let transaction = self.connection.transaction()?;
        let mut positions = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                WriteCommand::Append(body, _) => {
                    self.last = self.last.next(self.clock.now());
                    let seq = i64::try_from(self.last.seq).unwrap_or(i64::MAX);
                    transaction
                        .prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3)")?
                        .execute(params![to_sql(self.last.at), seq, body.as_ref()])?;
                    positions.push(self.last);
                }
                WriteCommand::Tend { before, attended, .. } => {
                    // The last record stays, because the clock and the positions continue from it
                    // after a restart.
                    let keep = (*before).min(self.last.at);
                    transaction.execute("DELETE FROM record WHERE at < ?1", [to_sql(keep)])?;
                    transaction.execute(
                        "UPDATE origin SET attended = MAX(CAST(attended AS INTEGER), ?1)",
                        [to_sql(*attended)],
                    )?;
                }
                WriteCommand::MarkWhole(born, _) => {
                    transaction
                        .execute("UPDATE origin SET whole = 1 WHERE born = ?1", [to_sql(*born)])?;
                }
                WriteCommand::NoteCommitted(to, _) => {
                    let sql = "UPDATE origin SET committed = MAX(CAST(committed AS INTEGER), ?1)";
                    transaction.execute(sql, [to_sql(*to)])?;
                }
                WriteCommand::SetHandleKey(key, _) => {
                    let sql = "UPDATE origin SET key = ?1 WHERE CAST(key AS INTEGER) = 0";
                    transaction.execute(sql, [key.0.cast_signed()])?;
                }
                WriteCommand::Begin(_) => begin(&transaction, self.clock.now())?,
            }
        }
        transaction.commit()?;
        Ok(positions)
    }
}

/// Forces the write-ahead log to the disk, [`SYNC_EVERY`] after new data has been written to it.
pub(super) fn sync_behind(wal: &Path, dirty: &Receiver<()>) {
    let (mut file, mut is_failing) = (None, false);
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
        match (file.as_ref().map(File::sync_data), is_failing) {
            (Some(Err(error)), _) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, wal = %wal.display(), "the file log can't be synced to disk");
                }
                file = None;
            }
            (Some(Ok(())), true) => {
                is_failing = false;
                tracing::info!(wal = %wal.display(), "the file log is synced to disk again");
            }
            _ => {}
        }
    }
}
