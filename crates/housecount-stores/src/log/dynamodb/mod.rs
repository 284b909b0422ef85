//! A log in a DynamoDB table, where seconds of delay are acceptable and the operator runs no Redis.
//!
//! A node puts one packed item per flush ([`flush`](housecount_core::flush)), and reads the items
//! of all nodes by Query. `timing` defines when an item counts as appended, and up to when all
//! items have been read. A put that isn't answered in time may still arrive in the table. Its
//! events are put again at a later position, which changes nothing (the fold is idempotent). Its
//! writer also starts a new epoch, so that no later item depends on the late one. Items expire by
//! TTL; housecount deletes none here.
//!
//! # Stretched flushes
//! Where its cost must be held down ([`Log::set_append_spacing`]) a writer skips flushes. Events
//! wait longer for their append, and everything else stays as it is. Positions, the log's clock and
//! the readers depend on the flush that all nodes agree on, so that interval stays.
//!
//! # Costs
//! A node costs one write unit per flush as long as an item fits one kilobyte. It also costs one
//! read unit per one and a half flushes. docs/PROOFS.md has the figure. So the metadata (`meta`) is
//! written rarely. The time at which a node last tended the log (`last_tended_at`) is stored in the
//! items that it appends.

mod meta;
mod read;
mod target;
mod timing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Builder, SharedHttpClient};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use bytes::Bytes;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, LogUsage, PartitionMeta, Position, ReadResult};
use housecount_backend::meter::{Meter, Purpose};
use housecount_backend::rng;
use housecount_core::flush::{FlushEncoder, NumberTables};
use housecount_core::fold::HandleKey;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{log_pk, log_sk};
use housecount_core::limits::{
    EPOCH_MS_MAX, FLUSH_STRETCH_MAX, ITEM_BYTES_MAX, UNCOMMITTED_RETENTION_MS_MAX,
};
use housecount_core::snapshot::expiry_s;
use housecount_core::time::UnixMs;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::meta::Meta;
pub use self::target::DynamoTarget;
use self::timing::FlushTiming;
use crate::dynamo::attr::to_sdk;
use crate::dynamo::clock::DateClock;
use crate::dynamo::consumed;
use crate::dynamo::{connect, failure};

/// Timeouts of one attempt and of a call with its second attempt. Callers handle a call that takes
/// longer as a failure.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_000);
const OPERATION_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Attempts to put an item before its deadline.
const PUTS_MAX: u32 = 8;
/// Time for which DynamoDB's clock is sampled until it is known precisely. It contains at least one
/// change of the second.
const LOOK_FOR: Duration = Duration::from_millis(1_500);
/// Smallest growth of the unneeded span that is worth a write of the metadata.
const TRIM_MS: u64 = 5 * 60 * 1000;
/// Number of flushes without an item after which `last_tended_at` gets a write of its own.
const ATTENDED_FLUSHES: u64 = 10;
/// Bytes of a part of an item that is larger than DynamoDB accepts.
const PART_BYTES: usize = ITEM_BYTES_MAX - 1024;
/// Retention of an item: the longest retention of the log, plus one epoch that the kept items may
/// depend on.
const KEPT_MS: u64 = UNCOMMITTED_RETENTION_MS_MAX + EPOCH_MS_MAX + 60 * 60 * 1000;

/// Log in a DynamoDB table, with one packed item per flush and node.
pub struct DynamoLog {
    client: Client,
    table: String,
    shown: String,
    partitions: u16,
    /// Name of this handle, in the sort keys of the items that it puts.
    writer: u32,
    pace: FlushTiming,
    /// Greatest number of flushes that an item may wait for.
    stretch: AtomicU64,
    meter: Meter,
    /// State of appends, by partition.
    writing: Vec<Mutex<WriteState>>,
    reading: Vec<Mutex<ReadState>>,
    past: Vec<parking_lot::Mutex<MetaCache>>,
}

/// State of the appends to a partition.
#[derive(Debug, Default)]
struct WriteState {
    flushes: FlushEncoder,
    last: UnixMs,
    /// Number of flushes for which the next item has gathered events; zero before the first.
    gathered: u64,
}

/// State of the reads of a partition.
#[derive(Debug, Default)]
struct ReadState {
    books: NumberTables,
    /// Start of the last call, if it read to the end.
    read_at: Option<Instant>,
    clock: UnixMs,
}

/// Cached metadata of a partition.
#[derive(Debug, Default)]
struct MetaCache {
    meta: Option<(Instant, Meta)>,
    /// Time of the last tending that the next item must carry; zero if it need not.
    attended_unsent: UnixMs,
    /// Time of the last tending that is in the table, as far as is known.
    attended_sent: UnixMs,
    /// Time before which this node needs no records.
    trimmed: UnixMs,
}

impl MetaCache {
    /// Records that an item in the table carries this time of tending.
    fn is_attended_sent(&mut self, attended: UnixMs) {
        self.attended_sent = self.attended_sent.max(attended);
        if self.attended_unsent == attended {
            self.attended_unsent = UnixMs::ZERO;
        }
    }
}

impl fmt::Debug for DynamoLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamoLog({}, {} partitions)", self.shown, self.partitions)
    }
}

/// Opens a log in DynamoDB as a [`Log`].
///
/// # Errors
/// Returns no error.
pub(super) async fn open(target: &DynamoTarget) -> StoreResult<Arc<dyn Log>> {
    Ok(Arc::new(DynamoLog::open(target).await))
}

impl DynamoLog {
    /// Prepares the log without a call, so an unreachable table is not an error here.
    pub async fn open(target: &DynamoTarget) -> DynamoLog {
        DynamoLog::open_as(target, None).await
    }

    /// Prepares the log as `open` does, with these keys (id and secret) instead of the SDK's
    /// credential chain.
    pub async fn open_as(target: &DynamoTarget, keys: Option<(&str, &str)>) -> DynamoLog {
        let address = &target.address;
        let sdk =
            connect::configuration(address.region.as_deref(), address.endpoint.as_deref(), keys)
                .await;
        DynamoLog::with(Builder::from(&sdk), address.table.clone(), target)
    }

    /// Prepares the log as `open` does, with this HTTP client. Tests in simulated time use it,
    /// where a call must take no time.
    #[must_use]
    pub fn with_engine(http: SharedHttpClient, target: &DynamoTarget) -> DynamoLog {
        DynamoLog::with(connect::configuration_over(http), target.address.table.clone(), target)
    }

    fn with(configuration: Builder, table: String, target: &DynamoTarget) -> DynamoLog {
        let clock = DateClock::default();
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT);
        let configuration = configuration
            .interceptor(clock.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(timeouts.build())
            .build();
        let partitions = usize::from(target.partitions);
        DynamoLog {
            client: Client::from_conf(configuration),
            table,
            shown: target.to_string(),
            partitions: target.partitions,
            writer: rng::random(),
            pace: FlushTiming { flush_ms: target.flush_ms, clock },
            stretch: AtomicU64::new(1),
            meter: Meter::default(),
            writing: (0..partitions).map(|_| Mutex::default()).collect(),
            reading: (0..partitions).map(|_| Mutex::default()).collect(),
            past: (0..partitions).map(|_| parking_lot::Mutex::default()).collect(),
        }
    }

    /// Capacity that this handle has consumed so far.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn failed<E>(&self, doing: &str, error: SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        failure::failed(&self.shown, doing, error)
    }

    fn past(&self, partition: u16) -> parking_lot::MutexGuard<'_, MetaCache> {
        self.past[usize::from(partition)].lock()
    }

    /// Samples DynamoDB's clock over a second, until it is known precisely. Each sample costs half
    /// a read unit.
    async fn calibrate_clock(&self, partition: u16) -> StoreResult<()> {
        let begun = Instant::now();
        while begun.elapsed() < LOOK_FOR {
            if self.pace.is_precise() {
                return Ok(());
            }
            self.probe_clock(partition).await?;
            if self.pace.clock.bounds().is_none() {
                let text = format!(
                    "{} sends no Date header, which is the log's clock; let it through, or use another endpoint",
                    self.shown
                );
                return Err(StoreError::new(ErrorKind::Unsupported, text));
            }
            sleep(Duration::from_millis(self.pace.flush_ms / 16 + 1)).await;
        }
        // Answers are slow. The clock's bounds are still valid: calls only wait longer the wider
        // they are.
        Ok(())
    }

    async fn probe_clock(&self, partition: u16) -> StoreResult<()> {
        let key = crate::dynamo::attr::key_attributes(
            &log_pk(partition),
            housecount_core::keys::LOG_META_SK,
        );
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key));
        let get = get.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = get.send().await.map_err(|e| self.failed("reading the log in", e))?;
        self.meter.add(Purpose::Log, consumed::read(answer.consumed_capacity()));
        Ok(())
    }

    /// Puts a record before its deadline, and waits until every node can read it.
    async fn put(&self, partition: u16, record: &Bytes) -> StoreResult<Position> {
        let key = self.origin(partition, false).await?.origin.key;
        let begun = Instant::now();
        let mut writing = self.writing[usize::from(partition)].lock().await;
        for _ in 0..PUTS_MAX {
            self.calibrate_clock(partition).await?;
            let attended = self.past(partition).attended_unsent;
            let at = self.pace.position(record.len()).max(writing.last.plus(1));
            let item = writing.flushes.encode(at, attended, key, record);
            writing.last = at;
            let left = Duration::from_millis(self.pace.left_ms(at));
            let answer = timeout(left, self.put_parts(partition, at, &item)).await;
            if !matches!(answer, Ok(Ok(()))) || self.pace.left_ms(at) == 0 {
                writing.flushes.start_epoch();
                if let Ok(answer) = answer {
                    answer?;
                }
                continue;
            }
            self.past(partition).is_attended_sent(attended);
            let flushes = timing::flushes_until_next(
                item.len(),
                writing.gathered,
                self.stretch.load(Ordering::Relaxed),
            );
            writing.gathered = flushes;
            self.wait_until_readable(writing, at).await;
            let next =
                Duration::from_millis(flushes * self.pace.flush_ms).saturating_sub(begun.elapsed());
            sleep(next).await;
            return Ok(Position { at, seq: u64::from(self.writer) });
        }
        let text = format!("{} took too long to store an append to the log", self.shown);
        Err(StoreError::new(ErrorKind::Unavailable, text))
    }

    /// Waits until every node can read the item at `at`. Releases the lock first, so that the next
    /// item may be put meanwhile.
    async fn wait_until_readable(&self, writing: MutexGuard<'_, WriteState>, at: UnixMs) {
        drop(writing);
        loop {
            match self.pace.settles_in_ms(at) {
                0 => return,
                ms => sleep(Duration::from_millis(ms)).await,
            }
        }
    }

    /// Puts the parts of an item, the head last. So an item whose head exists is complete.
    async fn put_parts(&self, partition: u16, at: UnixMs, bytes: &[u8]) -> StoreResult<()> {
        let parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
        for (n, part) in parts.iter().enumerate().rev() {
            let mut item = Item::from([
                ("b".to_string(), Attr::B(part.to_vec())),
                ("ttl".to_string(), Attr::N(expiry_s(at, KEPT_MS))),
            ]);
            if n == 0 && parts.len() > 1 {
                item.insert("parts".to_string(), Attr::N(parts.len() as u64 - 1));
            }
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(to_sdk(
                    &log_pk(partition),
                    &log_sk(at, self.writer, n as u32),
                    &item,
                )))
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let answer = put.send().await.map_err(|e| self.failed("appending to the log in", e))?;
            self.meter.add(Purpose::Log, consumed::written(answer.consumed_capacity()));
        }
        Ok(())
    }

    /// Returns the metadata of a read: the table's, with the tending that this handle knows of.
    fn shown_origin(&self, partition: u16, meta: Meta) -> PartitionMeta {
        let past = self.past(partition);
        let attended = meta.origin.last_tended_at.max(past.attended_sent).max(past.attended_unsent);
        PartitionMeta { last_tended_at: attended, ..meta.origin }
    }

    /// Changes the metadata, in the cache and in the table.
    async fn change(
        &self,
        partition: u16,
        numbers: &[(&str, u64)],
        condition: &str,
        change: impl FnOnce(&mut PartitionMeta),
    ) -> StoreResult<()> {
        let born = self.origin(partition, false).await?.origin.created_at;
        self.update_meta(partition, born, numbers, condition).await?;
        if let Some((_, meta)) = &mut self.past(partition).meta {
            change(&mut meta.origin);
        }
        Ok(())
    }
}

#[async_trait]
impl Log for DynamoLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        self.put(partition, &record).await
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        let mut reading = self.reading[usize::from(partition)].lock().await;
        if let Some(read_at) = reading.read_at {
            sleep_until(read_at + Duration::from_millis(self.pace.read_every_ms())).await;
        }
        let began = Instant::now();
        let tail = self.read_now(partition, after, key, &mut reading).await?;
        reading.read_at = (!tail.more).then_some(began);
        Ok(tail)
    }

    async fn read_once(&self, partition: u16, after: Position) -> StoreResult<ReadResult> {
        let mut reading = self.reading[usize::from(partition)].lock().await;
        self.read_now(partition, after, HandleKey::default(), &mut reading).await
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        let meta = self.origin(partition, false).await?;
        let numbers = {
            let mut past = self.past(partition);
            past.trimmed = past.trimmed.max(before);
            if attended > past.attended_sent {
                past.attended_unsent = past.attended_unsent.max(attended);
            }
            let is_unsaid = past.attended_unsent.since(past.attended_sent)
                >= ATTENDED_FLUSHES * self.pace.flush_ms;
            let is_untrimmed = past.trimmed.since(meta.trimmed) >= TRIM_MS;
            if !is_unsaid && !is_untrimmed {
                return Ok(());
            }
            [
                ("attended", past.attended_sent.max(past.attended_unsent).0),
                ("trimmed", past.trimmed.0),
            ]
        };
        self.update_meta(partition, meta.origin.created_at, &numbers, "").await?;
        let mut past = self.past(partition);
        past.attended_sent = past.attended_sent.max(UnixMs(numbers[0].1));
        if let Some((_, meta)) = &mut past.meta {
            meta.trimmed = UnixMs(numbers[1].1);
        }
        Ok(())
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        self.update_meta(partition, born, &[("whole", 1)], "").await?;
        self.origin(partition, true).await.map(drop)
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        let is_later = " AND (attribute_not_exists(#committed) OR #committed < :committed)";
        let grow = |origin: &mut PartitionMeta| origin.committed = origin.committed.max(to);
        self.change(partition, &[("committed", to.0)], is_later, grow).await
    }

    async fn publish_counts(&self, _counts: &[(String, u64)]) -> StoreResult<()> {
        Err(StoreError::new(ErrorKind::Unsupported, "publish_counts needs a Redis log"))
    }

    /// The flushes that an item waits for, plus one to put it and one until every reader has it.
    fn append_ms(&self) -> u64 {
        (FLUSH_STRETCH_MAX + 2) * self.pace.flush_ms
    }

    fn set_append_spacing(&self, times: u64) -> u64 {
        let times = times.clamp(1, FLUSH_STRETCH_MAX);
        self.stretch.store(times, Ordering::Relaxed);
        (times - 1) * self.pace.flush_ms
    }

    fn consumed(&self) -> LogUsage {
        LogUsage::Units(self.meter.clone())
    }
}
