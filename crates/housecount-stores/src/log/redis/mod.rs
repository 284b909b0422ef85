//! A log in Redis or Valkey, alone, as a cluster or behind sentinels. It has one Stream per
//! partition, through the crate `redis`.
//!
//! A record is acknowledged when Redis has executed its XADD. That is safe against any fault of a
//! node. Every node holds all that matters in memory, so it is also safe against the loss of Redis
//! itself. Reads poll rather than block. The same calls work on a cluster, and no read is stuck
//! behind a blocking call. While nothing is appended, a node waits for a record on a connection of
//! its own (`wait.rs`), and reads once a second.
//!
//! A foreign entry of a stream is read as an empty record, which no reader can decode. So the node
//! counts it, names it and skips it like a damaged one.
//!
//! Every call gives up after half a second (`link.rs`). The driver reconnects by itself when a
//! connection breaks. A connection that has only failed for three seconds is replaced. A cluster's
//! client that lost all its nodes may never find them again. A connection to a host that vanished
//! only times out.

mod call;
mod certificates;
mod counter;
mod lengths;
mod link;
mod memory;
mod poll;
mod query;
mod read;
mod sentinel;
mod target;
mod together;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::clock::mono_ms;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, LogUsage, Position, ReadPlace, ReadResult};
use housecount_backend::retry::streak::{Change, FailureStreak};
use housecount_core::fold::HandleKey;
use housecount_core::keys::{redis_count, redis_meta, redis_stream};
use housecount_core::limits::CLOCK_AHEAD_MS_MAX;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind as RedisKind, FromRedisValue, RedisError};

use self::call::{Lua, RedisCommand, is_denied};
use self::counter::RedisCounter;
use self::lengths::KnownLengths;
use self::link::ConnectionPool;
use self::memory::Memory;
use self::read::PartitionPoll;
pub use self::target::RedisTarget;
use self::together::TogetherPause;
use self::wait::Waiter;

/// Lifetime of a published count that no node publishes any more, so that no count outlives the
/// last node.
const PUBLISHED_S: u64 = 60;
/// Interval between two queries of Redis's memory.
const MEMORY_EVERY_MS: u64 = 60_000;
/// Interval between two queries whether the sentinels name another master.
const CONFIRM_EVERY_MS: u64 = 1_000;
/// Document that lists the permissions of a node.
const GRANT: &str = "docs/DEPLOY.md, \"The Redis user\", has the ACL line that a node needs";
/// Number of keys that one pipeline of `publish_counts` sets.
const PUBLISH_BATCH: usize = 500;

/// Log in Redis or Valkey, with one stream per partition.
pub struct RedisLog {
    shown: String,
    prefix: String,
    partitions: u16,
    link: ConnectionPool,
    waiter: Waiter,
    lengths: KnownLengths,
    together: TogetherPause,
    counter: RedisCounter,
    /// When the next query of Redis's memory is due, on this node's own clock.
    ask_memory_ms: AtomicU64,
    /// Whether Redis may evict the stream, as last reported.
    is_evicting: AtomicBool,
    /// Whether a warning was written that Redis denies the query.
    is_memory_denied: AtomicBool,
    /// When the next query of the sentinels is due, on this node's own clock.
    confirm_ms: AtomicU64,
    /// Failures of the sentinels to name a master.
    unnamed: Mutex<FailureStreak>,
    /// Lead of Redis's clock over this node's own at the last read; zero before.
    clock_ahead_ms: AtomicU64,
    begin: Lua,
    read: Lua,
    cut: Lua,
    tend: Lua,
    mark_whole: Lua,
    note_committed: Lua,
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisLog({}, {} partitions)", self.shown, self.partitions)
    }
}

/// Opens a Redis log as a [`Log`].
///
/// # Errors
/// Returns the errors of [`RedisLog::open`].
pub(super) fn open(target: &RedisTarget, prefix: &str) -> StoreResult<Arc<dyn Log>> {
    Ok(Arc::new(RedisLog::open(target, prefix)?))
}

impl RedisLog {
    /// Prepares the log without a connection, so an unavailable Redis is not an error here.
    ///
    /// # Errors
    /// Returns `Unsupported` if a certificate's file can't be used, or if the driver refuses the
    /// address.
    pub fn open(target: &RedisTarget, prefix: &str) -> StoreResult<RedisLog> {
        let shown = target.to_string();
        let refused = |e: RedisError| {
            StoreError::caused(ErrorKind::Unsupported, format!("the log {shown}"), e)
        };
        let link = ConnectionPool::new(target, target.tls.load()?).map_err(refused)?;
        Ok(RedisLog {
            prefix: prefix.to_string(),
            partitions: target.partitions,
            link,
            waiter: Waiter::default(),
            lengths: KnownLengths::new(target.partitions),
            together: TogetherPause::default(),
            counter: RedisCounter::default(),
            ask_memory_ms: AtomicU64::new(0),
            is_evicting: AtomicBool::new(false),
            is_memory_denied: AtomicBool::new(false),
            confirm_ms: AtomicU64::new(0),
            unnamed: Mutex::default(),
            clock_ahead_ms: AtomicU64::new(0),
            begin: Lua::new(include_str!("begin.lua")),
            read: Lua::new(include_str!("read.lua")),
            cut: Lua::new(include_str!("cut.lua")),
            tend: Lua::new(include_str!("tend.lua")),
            mark_whole: Lua::new(include_str!("mark_whole.lua")),
            note_committed: Lua::new(include_str!("note_committed.lua")),
            shown,
        })
    }

    /// Number of keys in one pipeline. A cluster takes a pipeline only if one master has all its
    /// keys, so there each key is sent alone.
    fn publish_batch(&self) -> usize {
        if self.link.is_cluster() { 1 } else { PUBLISH_BATCH }
    }

    fn failed(&self, doing: &str, call: &RedisCommand<'_>, error: RedisError) -> StoreError {
        let is_denied = is_denied(&error);
        let kind = match error.kind() {
            RedisKind::AuthenticationFailed => ErrorKind::Denied,
            _ if is_denied => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        };
        // The error of one command, or of several at once.
        let hint = if error.to_string().contains("WRONGTYPE") {
            let prefix = &self.prefix;
            format!(
                "; a key under `{prefix}` is of another type: delete it, or choose another redis_prefix"
            )
        } else if is_denied {
            format!(
                "; the Redis user needs {} on `{}*`: {GRANT}",
                call.commands_named(),
                self.prefix
            )
        } else {
            String::new()
        };
        let master =
            self.link.shown_master().map_or(String::new(), |master| format!(" (master {master})"));
        StoreError::caused(kind, format!("{doing} the log {}{master}{hint}", self.shown), error)
    }

    async fn run<T: FromRedisValue>(&self, doing: &str, call: &RedisCommand<'_>) -> StoreResult<T> {
        self.counter.sent(call.commands(), 0);
        self.link.run(call).await.map_err(|error| self.failed(doing, call, error))
    }

    /// Creates a partition's metadata. Fields that hold something else than a number (`odd`) are
    /// replaced.
    async fn begin(
        &self,
        partition: u16,
        key: HandleKey,
        odd: Vec<(&'static str, Vec<u8>)>,
    ) -> StoreResult<()> {
        let mut script = self.begin.prepare();
        script.key(redis_meta(&self.prefix, partition)).arg(self.partitions).arg(key.0);
        for (name, value) in odd {
            let held = String::from_utf8_lossy(&value).into_owned();
            tracing::error!(
                partition,
                field = name,
                held,
                "a field of the log's metadata was not a number; replaced it"
            );
            script.arg(name).arg(value);
        }
        self.run("creating", &RedisCommand::Script(&self.begin, &script)).await
    }

    /// Deletes a partition's entries from `from` on.
    ///
    /// `is_forced`: also if the partition has no such entries, but the stream has had some.
    async fn cut(&self, partition: u16, from: Position, is_forced: bool) -> StoreResult<()> {
        tracing::error!(
            partition,
            position = %from,
            "another program's entry is far ahead of Redis's clock; deleting the log's entries from this position on"
        );
        let stream = redis_stream(&self.prefix, partition);
        let mut script = self.cut.prepare();
        script
            .key(&stream)
            .key(format!("{stream}:cut"))
            .arg(from.to_string())
            .arg(u8::from(is_forced));
        self.run("cutting", &RedisCommand::Script(&self.cut, &script)).await
    }

    /// The log's time, extrapolated from the last read; zero before.
    fn known_clock(&self) -> UnixMs {
        match self.clock_ahead_ms.load(Ordering::Relaxed) {
            0 => UnixMs::ZERO,
            ahead_ms => UnixMs(ahead_ms.saturating_add(mono_ms())),
        }
    }

    /// Records the log's clock, and the bytes of records, after a read.
    fn note_read(&self, tail: &ReadResult) {
        self.clock_ahead_ms.store(tail.clock.0.saturating_sub(mono_ms()), Ordering::Relaxed);
        let bytes = tail.records.iter().map(|(_, record)| record.len()).sum::<usize>();
        self.counter.received(bytes as u64);
    }

    /// Whether a position is so far ahead of Redis's clock that an earlier entry must be the cause.
    fn is_ahead(&self, position: Position) -> bool {
        let known = self.known_clock();
        known != UnixMs::ZERO && position.at > known.plus(CLOCK_AHEAD_MS_MAX)
    }

    /// Restarts the ids of a stream whose last id is taken.
    ///
    /// A foreign entry took it and was deleted since.
    async fn free_ids(&self, partition: u16) {
        let known = self.known_clock();
        if known != UnixMs::ZERO {
            let from = Position { at: known.plus(CLOCK_AHEAD_MS_MAX), seq: 0 };
            if let Err(error) = self.cut(partition, from, true).await {
                tracing::error!(%error, partition, "can't restart the ids of the log's stream; will retry");
            }
        }
    }

    /// Asks the sentinels, if the log has some, whether the master is still the same. While none
    /// answers, the node keeps using the last known master.
    async fn confirm_master(&self) {
        let (now_ms, due_ms) = (mono_ms(), self.confirm_ms.load(Ordering::Relaxed));
        if now_ms < due_ms {
            return;
        }
        self.confirm_ms.store(now_ms + CONFIRM_EVERY_MS, Ordering::Relaxed);
        let outcome = self.link.confirm().await;
        let change = match &outcome {
            Ok(()) => self.unnamed.lock().worked(mono_ms(), 0),
            Err(_) => self.unnamed.lock().failed(mono_ms()),
        };
        match (change, outcome) {
            (Change::Begins, Err(error)) => {
                tracing::warn!(log = self.shown, %error, "the sentinels name no master")
            }
            (Change::Ends { away_ms, .. }, _) => {
                tracing::info!(log = self.shown, away_ms, "the sentinels name a master again");
            }
            _ => {}
        }
    }

    /// Asks for Redis's memory, at most once a minute. Nothing depends on the answer, so a failure
    /// is harmless.
    async fn look_at_memory(&self) {
        let (now_ms, due_ms) = (mono_ms(), self.ask_memory_ms.load(Ordering::Relaxed));
        if now_ms < due_ms {
            return;
        }
        self.ask_memory_ms.store(now_ms + MEMORY_EVERY_MS, Ordering::Relaxed);
        let answer = match self.run("asking", &RedisCommand::Command(&Memory::info_command())).await
        {
            Ok(answer) => answer,
            Err(error) => {
                let is_new = error.kind() == ErrorKind::Denied
                    && !self.is_memory_denied.swap(true, Ordering::Relaxed);
                if is_new {
                    tracing::warn!(%error, "can't read Redis's memory use and eviction policy; Redis may evict the log unnoticed");
                }
                return;
            }
        };
        let Memory { used, fullest_permille, evicting } = Memory::parse(&answer);
        self.counter.holds(used, fullest_permille, evicting.is_some());
        let was_evicting = self.is_evicting.swap(evicting.is_some(), Ordering::Relaxed);
        match evicting {
            Some(policy) if !was_evicting => tracing::warn!(
                log = self.shown,
                "Redis may evict the log: its maxmemory-policy is {policy}; set it to noeviction"
            ),
            None if was_evicting => {
                tracing::info!(log = self.shown, "Redis can no longer evict the log")
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Log for RedisLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        let mut command = redis::cmd("XADD");
        command
            .arg(redis_stream(&self.prefix, partition))
            .arg("*")
            .arg(read::RECORD_FIELD)
            .arg(record.as_ref());
        self.counter.sent(0, record.len() as u64);
        let id: Vec<u8> = match self.run("appending to", &RedisCommand::Command(&command)).await {
            Err(error) if error.to_string().contains("exhausted the last possible ID") => {
                self.free_ids(partition).await;
                return Err(error);
            }
            answer => answer?,
        };
        let position = read::position(&id).ok_or_else(|| {
            StoreError::new(
                ErrorKind::Corrupt,
                format!("the log {} answered XADD without an id", self.shown),
            )
        })?;
        if self.is_ahead(position) {
            // The id doesn't show the log's time. The next read deletes the entry that caused it.
            let text = format!(
                "the log {} gave an append the id {position}, far ahead of its clock",
                self.shown
            );
            return Err(StoreError::new(ErrorKind::Unavailable, text));
        }
        Ok(position)
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        let mut found = self.find(partition, after, key.0 != 0).await?;
        // Each repair runs once. The next read handles data that is lost, or comes again,
        // meanwhile.
        if let PartitionPoll::Unbegun(odd) = found {
            self.begin(partition, key, odd).await?;
            found = self.find(partition, after, key.0 != 0).await?;
        }
        if let PartitionPoll::Ahead(position) = found {
            self.cut(partition, position, false).await?;
            found = self.find(partition, after, key.0 != 0).await?;
        }
        let PartitionPoll::Tail(tail) = found else {
            let text = format!("the log {} lost its records", self.shown);
            return Err(StoreError::new(ErrorKind::Unavailable, text));
        };
        self.note_read(&tail);
        Ok(tail)
    }

    async fn read_together(&self, places: &[ReadPlace]) -> Vec<Option<ReadResult>> {
        self.poll_together(places).await
    }

    async fn wait(&self, after: &[Position], within: Duration) -> bool {
        if self.link.is_cluster() {
            return false;
        }
        let (server, moves) = (self.link.server(), self.link.moves());
        self.waiter.wait(server, moves, &self.prefix, after, within, &self.counter).await
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        let mut trim = redis::cmd("XTRIM");
        trim.arg(redis_stream(&self.prefix, partition)).arg("MINID").arg("~").arg(before.0);
        let mut note = self.tend.prepare();
        note.key(redis_meta(&self.prefix, partition)).arg(attended.0);
        // The trim is sent first, and doesn't depend on the update: it frees memory when memory is
        // short. Both are in one packet.
        let (trim, note) = (RedisCommand::Command(&trim), RedisCommand::Script(&self.tend, &note));
        let (trimmed, noted) =
            tokio::join!(self.run::<()>("trimming", &trim), self.run::<()>("updating", &note));
        if partition == 0 {
            self.confirm_master().await;
            self.look_at_memory().await;
        }
        trimmed.and(noted)
    }

    fn maintain_writes(&self) -> bool {
        true
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        let mut script = self.mark_whole.prepare();
        script.key(redis_meta(&self.prefix, partition)).arg(born.0.to_string());
        self.run("updating", &RedisCommand::Script(&self.mark_whole, &script)).await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        let mut script = self.note_committed.prepare();
        script.key(redis_meta(&self.prefix, partition)).arg(to.0);
        self.run("updating", &RedisCommand::Script(&self.note_committed, &script)).await
    }

    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()> {
        let command = |stage: &str, viewers: u64| {
            let key = redis_count(&self.prefix, stage);
            if viewers == 0 { Cmd::del(key) } else { Cmd::set_ex(key, viewers, PUBLISHED_S) }
        };
        for batch in counts.chunks(self.publish_batch()) {
            let mut pipeline = redis::pipe();
            for (stage, viewers) in batch {
                pipeline.add_command(command(stage, *viewers)).ignore();
            }
            self.run::<()>("publishing counts next to", &RedisCommand::Pipeline(&pipeline)).await?;
        }
        Ok(())
    }

    fn moves(&self) -> u64 {
        self.link.moves()
    }

    fn consumed(&self) -> LogUsage {
        LogUsage::Redis(self.counter.snapshot())
    }
}
