//! The embedded cold tier: a table in a folder of this machine, for one process, in SQLite through
//! `rusqlite`.
//!
//! A write is acknowledged when its commit is on the disk, because SQLite syncs the write-ahead log
//! first (`synchronous = FULL`). So neither kill -9 nor a power cut loses an acknowledged write.
//! The file log only syncs every half second, since the next heartbeat replaces a lost one. Data
//! that is kept for good has no such replacement. No write is acknowledged if the file was deleted,
//! moved or replaced meanwhile (`folder.rs`).
//!
//! One connection writes and a few read. In WAL mode neither waits for the other. All of them work
//! on threads beside the async workers. Core's rules count what DynamoDB would have charged, so
//! that costs can be compared.

mod bulk;
mod layout;
mod pool;
mod read_only;
mod rows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use housecount_backend::cold::bulk::Bulk;
use housecount_backend::cold::{
    Cold, Condition, KeyedItem, KeyedRow, Page, PutOutcome, TransactOutcome, Write, by_stored_key,
};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::meter::{Meter, Purpose};
use housecount_core::item::Item;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::COLD_READERS_MAX;
use housecount_core::time::UnixMs;
use housecount_core::units;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::layout::{DATABASE, RowError};
use self::pool::ReaderPool;
use self::read_only::{ReadOnly, Unchanged};
use self::rows::StoredKey;
use crate::folder::DataFolder;

/// Bytes of the largest item, DynamoDB's limit. Every item stored here must fit there.
const STORED_ITEM_BYTES_MAX: u64 = 400 * 1_024;

/// The embedded cold tier. Clones share it.
#[derive(Clone, Debug)]
pub struct SqliteCold {
    store: Arc<Store>,
    meter: Meter,
    /// Purpose that reads are metered as, instead of the purpose of their keys.
    read_for: Option<Purpose>,
}

/// The open database. Fields are dropped in this order: the last connection cleans up, and then the
/// folder is released.
#[derive(Debug)]
struct Store {
    /// `None` where the writer's connection also reads.
    readers: Option<ReaderPool>,
    writer: ReaderPool,
    path: PathBuf,
    guard: WriterGuard,
}

/// Condition that must hold, or a call returns an error.
#[derive(Debug)]
enum WriterGuard {
    /// The folder is held, and its files are still the ones that were opened.
    Folder(Box<DataFolder>),
    /// The file is unchanged, if it is read as one that never changes.
    Reader(Option<Unchanged>),
    /// The database is in memory.
    Nothing,
}

impl WriterGuard {
    fn check(&self) -> StoreResult<()> {
        match self {
            WriterGuard::Folder(folder) => folder.check(),
            WriterGuard::Reader(Some(unchanged)) if !unchanged.is_so() => Err(StoreError::new(
                // Not a kind that callers retry, since the file stays changed.
                ErrorKind::Refused,
                "a node began to write to the store during this read; run the command again",
            )),
            WriterGuard::Reader(_) | WriterGuard::Nothing => Ok(()),
        }
    }
}

/// Opens the store in a folder.
///
/// # Errors
/// Returns the errors of [`SqliteCold::open`].
pub(super) fn open(folder: &Path) -> StoreResult<Arc<dyn Bulk>> {
    Ok(Arc::new(SqliteCold::open(folder)?))
}

/// Opens the store in a folder for reading only.
///
/// # Errors
/// Returns the errors of [`SqliteCold::open_to_read`].
pub(super) fn open_to_read(folder: &Path) -> StoreResult<Arc<dyn Bulk>> {
    Ok(Arc::new(SqliteCold::open_to_read(folder)?))
}

impl SqliteCold {
    /// Opens the store in a folder, and creates it if it doesn't exist.
    ///
    /// # Errors
    /// Returns `Held` if another process has the folder, `Schema` if it has another store, and
    /// `Corrupt` if the file is damaged.
    pub fn open(folder: &Path) -> StoreResult<SqliteCold> {
        layout::refuse_former(folder)?;
        let mut folder = DataFolder::open(folder, DATABASE)?;
        let path = folder.path(DATABASE);
        let writer = layout::open_writer(&path)?;
        let readers = (0..COLD_READERS_MAX).map(|_| layout::open_beside(&path));
        let readers = ReaderPool::of(readers.collect::<StoreResult<_>>()?);
        // SQLite keeps acknowledged writes in the second file until it moves them to the first.
        for name in [DATABASE, &format!("{DATABASE}-wal")] {
            folder.watch(name)?;
        }
        let writer = ReaderPool::of(vec![writer]);
        Ok(Self::with_connection(Store {
            readers: Some(readers),
            writer,
            path,
            guard: WriterGuard::Folder(Box::new(folder)),
        }))
    }

    /// Opens the store in a folder for reading only. No file is changed or created, also while a
    /// node has it open.
    ///
    /// # Errors
    /// Returns `Missing` if the folder has no store, `Schema` if it has another one, and `Corrupt`
    /// if the file is damaged.
    pub fn open_to_read(folder: &Path) -> StoreResult<SqliteCold> {
        layout::refuse_former(folder)?;
        let missing = |error: StoreError, what: &str| match error.kind() {
            ErrorKind::Missing => {
                let context =
                    format!("there is no cold tier in {}: {DATABASE} {what}", folder.display());
                StoreError::new(ErrorKind::Missing, context)
            }
            _ => error,
        };
        let path = folder.join(DATABASE);
        let read_only = ReadOnly::of(&path).map_err(|error| missing(error, "is missing"))?;
        let open = || layout::open_to_read(&read_only, &path);
        let first = open().map_err(|error| missing(error, "has no table of housecount's"))?;
        let mut readers = vec![first];
        for _ in 1..COLD_READERS_MAX {
            readers.push(open()?);
        }
        let guard = WriterGuard::Reader(read_only.unchanged);
        Ok(Self::with_connection(Store {
            readers: None,
            writer: ReaderPool::of(readers),
            path,
            guard,
        }))
    }

    /// Creates a store in memory, which is lost with the process. For tests.
    ///
    /// # Errors
    /// Returns a `StoreError` if SQLite can't be started.
    pub fn memory() -> StoreResult<SqliteCold> {
        let writer = ReaderPool::of(vec![layout::open_memory()?]);
        Ok(Self::with_connection(Store {
            readers: None,
            writer,
            path: PathBuf::from(":memory:"),
            guard: WriterGuard::Nothing,
        }))
    }

    fn with_connection(store: Store) -> SqliteCold {
        SqliteCold { store: Arc::new(store), meter: Meter::default(), read_for: None }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, RowError> + Send + 'static,
    ) -> StoreResult<T> {
        let pool: fn(&Store) -> &ReaderPool =
            |store| store.readers.as_ref().unwrap_or(&store.writer);
        ReaderPool::run(self.store.clone(), pool, move |store, connection| {
            let outcome = work(connection).map_err(|error| error.of(&store.path));
            // Data in a deleted file is lost at a restart.
            store.guard.check().and(outcome)
        })
        .await
    }

    /// Runs `work` in a transaction, which is on the disk when this returns.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RowError> + Send + 'static,
    ) -> StoreResult<T> {
        ReaderPool::run(
            self.store.clone(),
            |store| &store.writer,
            move |store, connection| {
                let committed = || -> Result<T, RowError> {
                    let transaction =
                        connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let done = work(&transaction)?;
                    transaction.commit()?;
                    Ok(done)
                };
                let outcome = committed().map_err(|error| error.of(&store.path));
                store.guard.check().and(outcome)
            },
        )
        .await
    }
}

/// Bytes that records take in DynamoDB, their index included.
///
/// # Errors
/// Returns `Refused` for a record that DynamoDB would not accept. The text names it.
fn stored_bytes<'a>(records: impl IntoIterator<Item = &'a KeyedItem>) -> StoreResult<u64> {
    records.into_iter().try_fold(0u64, |sum, KeyedItem { key, item }| {
        let (pk, sk) = (key.pk(), key.sk());
        let bytes = units::item_bytes(&pk, &sk, item);
        if bytes > STORED_ITEM_BYTES_MAX {
            let text = format!(
                "the item {pk} / {sk} has {bytes} bytes; the limit is {STORED_ITEM_BYTES_MAX}"
            );
            return Err(StoreError::new(ErrorKind::Refused, text));
        }
        Ok(sum.saturating_add(bytes).saturating_add(units::INDEX_BYTES))
    })
}

#[async_trait]
impl Cold for SqliteCold {
    async fn check(&self) -> StoreResult<()> {
        self.read(rows::probe).await
    }

    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()> {
        let Some(purpose) = records.first().map(|record| Purpose::of(&record.key)) else {
            return Ok(());
        };
        let records = by_stored_key(records);
        let bytes = stored_bytes(&records)?;
        let units = self.write(move |transaction| rows::put(transaction, &records)).await?;
        self.meter.add(purpose, units);
        self.meter.put(bytes);
        Ok(())
    }

    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome> {
        let (purpose, bytes) = (Purpose::of(&record.key), stored_bytes([&record])?);
        let done =
            self.write(move |transaction| rows::put_if(transaction, &record, &condition)).await?;
        self.meter.add(purpose, done.units);
        if done.is_written {
            self.meter.put(bytes);
        }
        Ok(done.put)
    }

    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome> {
        let Some(purpose) = writes.first().map(|write| Purpose::of(write.key())) else {
            return Ok(TransactOutcome::Done);
        };
        let puts = writes.iter().filter_map(|write| match write {
            Write::Put { record, .. } => Some(record),
            Write::Delete(_) => None,
        });
        let bytes = stored_bytes(puts)?;
        let (transacted, units) =
            self.write(move |transaction| rows::transact(transaction, &writes)).await?;
        self.meter.add(purpose, units);
        if transacted == TransactOutcome::Done {
            self.meter.put(bytes);
        }
        Ok(transacted)
    }

    async fn get(&self, key: &Key) -> StoreResult<Option<Item>> {
        let purpose = self.read_for.unwrap_or(Purpose::of(key));
        let key = StoredKey::of(key);
        let (item, units) = self.read(move |connection| rows::get(connection, &key)).await?;
        self.meter.add(purpose, units);
        Ok(item)
    }

    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        if range.first > range.last || page.limit == 0 {
            return Ok(Vec::new());
        }
        let purpose = self.read_for.unwrap_or(Purpose::of_range(range));
        let (range, page) = (range.clone(), page.clone());
        let (rows, units) =
            self.read(move |connection| rows::query(connection, &range, &page)).await?;
        self.meter.add(purpose, units);
        Ok(rows)
    }

    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()> {
        let Some(purpose) = keys.first().map(Purpose::of) else { return Ok(()) };
        let stored: BTreeSet<StoredKey> = keys.iter().map(StoredKey::of).collect();
        let stored: Vec<StoredKey> = stored.into_iter().collect();
        let units = self.write(move |transaction| rows::delete(transaction, &stored)).await?;
        self.meter.add(purpose, units);
        Ok(())
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold> {
        Arc::new(SqliteCold { read_for: Some(Purpose::Reads), ..(*self).clone() })
    }

    async fn sweep(&self, now: UnixMs) -> StoreResult<bool> {
        self.write(move |transaction| rows::sweep(transaction, now)).await
    }
}
