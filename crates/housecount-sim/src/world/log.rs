//! The simulated log: a server that behaves as Redis, and the network as a node's driver sees it.
//! The server has its own clock.
//!
//! The server does in memory what log/redis/*.lua do. The contract tests of the log also run on
//! this one (crates/housecount-stores/tests/it/contract). A message travels independently of its
//! sender. It may arrive after the sender has given up or is dead.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, PartitionMeta, Position, ReadResult};
use housecount_backend::rng;
use housecount_core::fold::HandleKey;
use housecount_core::limits::{READ_RECORDS_MAX, RECORD_BYTES_MAX};
use housecount_core::record;
use housecount_core::time::UnixMs;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::World;
use crate::active_faults::{CallKind, CallRoute, advance};

/// Start of the simulation on the log's clock.
pub const START_TIME: UnixMs = UnixMs(1_790_000_000_000);
/// Time after which a driver gives up on a call, as log/redis does.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);
/// Age of the records that a failover loses.
const LOST_MS: u64 = 1_000;
/// Interval at which a held call checks whether it may continue.
const HELD_MS: u64 = 250;
/// Longest delay of a duplicated append.
const COPY_MS_MAX: u64 = 20_000;
/// Numbers of a partition's marks in the hash of a run, which never change.
const ATTENDED: u8 = 0;
const TRIMMED: u8 = 1;
const WHOLE: u8 = 2;
const COMMITTED: u8 = 3;

/// State of the log's server.
#[derive(Debug)]
pub struct LogServer {
    /// Time by which its clock is ahead of the simulation's.
    pub ahead_ms: i64,
    /// Time of the last record that contains an event.
    last: UnixMs,
    partitions: Vec<SimPartition>,
}

#[derive(Clone, Debug, Default)]
struct SimPartition {
    records: VecDeque<StoredRecord>,
    last: Position,
    origin: Option<PartitionMeta>,
    /// Past values of the origin and their times, for as long as a replica may lag.
    origins: VecDeque<(u64, Option<PartitionMeta>)>,
}

#[derive(Clone, Debug)]
struct StoredRecord {
    position: Position,
    record: Bytes,
    applied_ms: u64,
}

impl SimPartition {
    fn set(&mut self, now_ms: u64, origin: Option<PartitionMeta>) {
        self.origin = origin;
        self.origins.push_back((now_ms, origin));
        while self.origins.len() > 1 && self.origins[1].0 + LOST_MS < now_ms {
            self.origins.pop_front();
        }
    }

    fn change(&mut self, now_ms: u64, change: impl FnOnce(&mut PartitionMeta)) {
        if let Some(mut origin) = self.origin {
            change(&mut origin);
            self.set(now_ms, Some(origin));
        }
    }
}

impl LogServer {
    /// An empty server.
    #[must_use]
    pub fn new(partitions: u16) -> LogServer {
        LogServer {
            ahead_ms: 0,
            last: UnixMs::ZERO,
            partitions: vec![SimPartition::default(); usize::from(partitions)],
        }
    }

    /// Time on the log's clock when the simulation's is `now_ms`.
    #[must_use]
    pub fn clock(&self, now_ms: u64) -> UnixMs {
        UnixMs(START_TIME.plus(now_ms).0.saturating_add_signed(self.ahead_ms))
    }

    /// Drops all partitions.
    pub fn empty(&mut self) {
        self.partitions.iter_mut().for_each(|partition| *partition = SimPartition::default());
    }

    /// Turns the server into a replica that lacks the last second. Returns the time since which
    /// records are lost.
    pub fn fail_over(&mut self, now_ms: u64) -> u64 {
        let lost_ms = now_ms.saturating_sub(LOST_MS);
        for partition in &mut self.partitions {
            while partition.records.back().is_some_and(|held| held.applied_ms >= lost_ms) {
                partition.records.pop_back();
            }
            if let Some(held) = partition.records.back() {
                partition.last = held.position;
            }
            let before = partition.origins.iter().rev().find(|(since_ms, _)| *since_ms < lost_ms);
            let before = before.and_then(|(_, origin)| *origin);
            partition.set(now_ms, before);
        }
        lost_ms
    }

    /// Time of the last record that contains an event, of any partition.
    #[must_use]
    pub fn last(&self) -> UnixMs {
        self.last
    }

    /// Number of records before a time.
    #[must_use]
    pub fn records_before(&self, time: UnixMs) -> usize {
        let old = |partition: &SimPartition| {
            partition.records.partition_point(|held| held.position.at < time)
        };
        self.partitions.iter().map(old).sum()
    }

    fn append(&mut self, partition: u16, record: Bytes, now_ms: u64) -> Position {
        let now = self.clock(now_ms);
        let partition = &mut self.partitions[usize::from(partition)];
        let last = partition.last;
        // As in XADD, positions never go backwards, whatever the clock does.
        partition.last = match now > last.at {
            true => Position { at: now, seq: 0 },
            false => Position { at: last.at, seq: last.seq + 1 },
        };
        let position = partition.last;
        if !record::decode(&record).is_ok_and(|events| events.is_empty()) {
            self.last = self.last.max(position.at);
        }
        partition.records.push_back(StoredRecord { position, record, applied_ms: now_ms });
        position
    }

    /// Returns the reply, and the time at which its last record was applied if there are more.
    fn read(
        &mut self,
        partition: u16,
        after: Position,
        key: HandleKey,
        now_ms: u64,
    ) -> (ReadResult, u64) {
        let now = self.clock(now_ms);
        let partition = &mut self.partitions[usize::from(partition)];
        if partition.origin.is_none() {
            partition
                .set(now_ms, Some(PartitionMeta { created_at: now, ..PartitionMeta::default() }));
        }
        if partition.origin.is_some_and(|origin| origin.key == HandleKey::default()) {
            partition.change(now_ms, |origin| origin.key = key);
        }
        let from = partition.records.partition_point(|held| held.position <= after);
        let read = partition.records.range(from..).take(READ_RECORDS_MAX);
        let records: Vec<_> =
            read.clone().map(|held| (held.position, held.record.clone())).collect();
        let more = records.len() >= READ_RECORDS_MAX;
        let read_to_ms = read.last().filter(|_| more).map_or(now_ms, |held| held.applied_ms);
        let holds_after =
            from > 0 && partition.records.get(from - 1).is_some_and(|held| held.position == after);
        let clock = now.max(records.last().map_or(after.at, |(position, _)| position.at));
        let origin = partition.origin.unwrap_or_default();
        (ReadResult { records, more, start_exists: holds_after, clock, origin }, read_to_ms)
    }

    /// Trims a partition. Returns the number of trimmed records, and the time of the last of them.
    fn tend(
        &mut self,
        partition: u16,
        before: UnixMs,
        attended: UnixMs,
        now_ms: u64,
    ) -> Option<(usize, UnixMs)> {
        let partition = &mut self.partitions[usize::from(partition)];
        partition.origin?;
        partition
            .change(now_ms, |origin| origin.last_tended_at = origin.last_tended_at.max(attended));
        let gone = partition.records.partition_point(|held| held.position.at < before);
        let last = partition.records.drain(..gone).last()?;
        Some((gone, last.position.at))
    }

    /// Kind of a read of a partition. The first read writes the origin, so it is a
    /// [`CallKind::Note`].
    fn call_to_read(&self, partition: u16) -> CallKind {
        let origin = self.partitions[usize::from(partition)].origin;
        let is_begun = origin.is_some_and(|origin| origin.key != HandleKey::default());
        if is_begun { CallKind::Read } else { CallKind::Note }
    }

    /// Key that a partition's handles are made with.
    #[must_use]
    pub fn key(&self, partition: u16) -> HandleKey {
        self.partitions[usize::from(partition)].origin.unwrap_or_default().key
    }
}

/// A node's connection to the log.
pub struct SimLog {
    world: Arc<World>,
    node: usize,
    /// Number of the node's run, as in [`crate::oracle`].
    run: usize,
}

impl fmt::Debug for SimLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.node)
    }
}

enum Reply<T> {
    Here(T),
    Refused,
    Lost,
}

/// Carries out one call and its reply. The work is done whether or not a caller still waits.
async fn exchange<T>(
    world: Arc<World>,
    node: usize,
    call: CallKind,
    work: impl FnOnce(&World) -> T,
) -> Reply<T> {
    let way_ms = world.trouble.lock().way_ms();
    advance(way_ms).await;
    // A message in a socket may arrive once the network is back.
    let is_patient = rng::random_range(0..2) == 0;
    loop {
        let way = world.trouble.lock().to_log(node, call);
        match way {
            CallRoute::Open => break,
            CallRoute::Refused => return Reply::Refused,
            CallRoute::CutOff if !is_patient => return Reply::Lost,
            CallRoute::Lost => return Reply::Lost,
            CallRoute::Held | CallRoute::CutOff => advance(HELD_MS).await,
        }
    }
    let done = work(&world);
    let way_ms = world.trouble.lock().way_ms();
    advance(way_ms).await;
    let is_lost = world.trouble.lock().loses_answer(node);
    if is_lost { Reply::Lost } else { Reply::Here(done) }
}

impl SimLog {
    /// The connection of a node's `run`.
    #[must_use]
    pub fn new(world: Arc<World>, node: usize, run: usize) -> SimLog {
        SimLog { world, node, run }
    }

    async fn answered<T>(&self, reply: impl Future<Output = Reply<T>>) -> StoreResult<T> {
        let until = Instant::now() + CALL_TIMEOUT;
        match timeout_at(until, reply).await {
            Ok(Reply::Here(answer)) => return Ok(answer),
            Ok(Reply::Lost) => sleep_until(until).await,
            Ok(Reply::Refused) | Err(_) => {}
        }
        Err(StoreError::new(ErrorKind::Unavailable, "the simulated log doesn't answer"))
    }

    /// Sends a call that is carried out even if its caller stops waiting.
    async fn send<T: Send + 'static>(
        &self,
        call: CallKind,
        work: impl FnOnce(&World) -> T + Send + 'static,
    ) -> StoreResult<T> {
        let (sender, reply) = oneshot::channel();
        let (world, node) = (self.world.clone(), self.node);
        tokio::spawn(async move {
            let _ = sender.send(exchange(world, node, call, work).await);
        });
        self.answered(async { reply.await.unwrap_or(Reply::Lost) }).await
    }
}

#[async_trait]
impl Log for SimLog {
    fn partitions(&self) -> u16 {
        self.world.plan.partitions
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        if record.len() > RECORD_BYTES_MAX {
            self.world.violated(format!("RECORD_BYTES_MAX: a record of {} bytes", record.len()));
        }
        let is_doubled = self.world.trouble.lock().doubled > 0 && rng::random_range(0..3) == 0;
        if is_doubled {
            let (world, node, record) = (self.world.clone(), self.node, record.clone());
            tokio::spawn(async move {
                advance(rng::random_range(1..=COPY_MS_MAX)).await;
                exchange(world, node, CallKind::Append, |world| append(world, partition, record))
                    .await;
            });
        }
        self.send(CallKind::Append, move |world| append(world, partition, record)).await
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        let call = self.world.log.lock().call_to_read(partition);
        let read = exchange(self.world.clone(), self.node, call, |world| {
            world.log.lock().read(partition, after, key, world.now_ms())
        });
        let (tail, read_to_ms) = self.answered(read).await?;
        self.world.truth.lock().has_read(self.run, partition, read_to_ms);
        Ok(tail)
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.send(CallKind::Note, move |world| {
            world.digest(|hasher, now_ms| hasher.mark(now_ms, partition, ATTENDED, attended));
            let gone = world.log.lock().tend(partition, before, attended, world.now_ms());
            if let Some((gone, last)) = gone {
                world.digest(|hasher, now_ms| hasher.mark(now_ms, partition, TRIMMED, last));
                world.trimmed(partition, gone, last);
            }
        })
        .await
    }

    fn maintain_writes(&self) -> bool {
        true
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        let mark =
            move |origin: &mut PartitionMeta| origin.is_complete |= origin.created_at == born;
        self.send(CallKind::Note, move |world| {
            world.digest(|hasher, now_ms| hasher.mark(now_ms, partition, WHOLE, born));
            world.log.lock().partitions[usize::from(partition)].change(world.now_ms(), mark)
        })
        .await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        let note = move |origin: &mut PartitionMeta| origin.committed = origin.committed.max(to);
        self.send(CallKind::Note, move |world| {
            world.digest(|hasher, now_ms| hasher.mark(now_ms, partition, COMMITTED, to));
            world.log.lock().partitions[usize::from(partition)].change(world.now_ms(), note)
        })
        .await
    }

    async fn publish_counts(&self, _counts: &[(String, u64)]) -> StoreResult<()> {
        Err(StoreError::new(ErrorKind::Unsupported, "the simulated log stores no counts"))
    }
}

fn append(world: &World, partition: u16, record: Bytes) -> Position {
    let now_ms = world.now_ms();
    let position = world.log.lock().append(partition, record.clone(), now_ms);
    world.appended(partition, position, &record);
    position
}
