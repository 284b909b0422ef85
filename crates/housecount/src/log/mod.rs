//! The log: where accepted beats and leaves go first, and what every node follows.
//!
//! A log is a few partitions of records, each in the order of its positions, and a clock. Every
//! node appends to it and reads all of it; nothing else passes between nodes. The contract below is
//! checked for every backend by one suite (tests/it/contract/log.rs). Retrying is the caller's
//! business: see `ingest`, `follow`.

mod consumed;
#[cfg_attr(not(feature = "dynamodb"), path = "../without/dynamo_log.rs")]
pub mod dynamodb;
#[cfg_attr(not(feature = "file"), path = "../without/file.rs")]
mod file;
mod memory;
#[cfg_attr(not(feature = "redis"), path = "../without/redis.rs")]
mod redis;
mod watched;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;

pub use self::consumed::{LogUsage, RedisUsage};
#[cfg(feature = "dynamodb")]
pub use self::dynamodb::DynamoLog;
pub use self::dynamodb::DynamoTarget;
pub use self::memory::MemoryLog;
pub use self::redis::RedisTarget;
pub use self::watched::WatchedLog;
use crate::error::StoreResult;

/// Where a record lies: the log's clock when it was appended, and a number among those of the same
/// millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log's time of the append.
    pub at: UnixMs,
    /// 0 and up within the same millisecond.
    pub seq: u64,
}

impl Position {
    /// Before every record.
    pub const START: Position = Position { at: UnixMs::ZERO, seq: 0 };
}

impl fmt::Display for Position {
    /// As Redis Streams write it, which every backend uses in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.seq)
    }
}

/// What is known of a partition's past. Lost together with its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionMeta {
    /// When the partition came to be, on the log's clock. Another value than before: everything was
    /// lost.
    pub created_at: UnixMs,
    /// Whether it holds all that matters even though it is young: somebody who knew wrote a
    /// checkpoint.
    pub is_complete: bool,
    /// When a node last tended it; zero for never. Later than that, nobody may have been listening
    /// to players.
    pub last_tended_at: UnixMs,
    /// Up to when the ledger has what the partition's records prove; zero if nobody has said.
    pub committed: UnixMs,
    /// What handles in the partition's records are made with; zero if no reader has brought one
    /// yet.
    pub key: HandleKey,
}

/// What a read found, all of one moment.
#[derive(Clone, Debug, Default)]
pub struct ReadResult {
    /// Records after the position asked for, in order.
    pub records: Vec<(Position, Bytes)>,
    /// Whether there are more: read again after the last of these.
    pub more: bool,
    /// Whether the record at the position asked for is still there. It isn't once it has been
    /// trimmed; if it is too young for that, the log went back to an earlier state (Redis restarted
    /// from a dump, or failed over).
    pub start_exists: bool,
    /// The log's clock. Every record appended later has a position at or after it. Never goes
    /// backwards.
    pub clock: UnixMs,
    /// The partition's past.
    pub origin: PartitionMeta,
}

/// A log.
#[async_trait]
pub trait Log: Send + Sync + fmt::Debug {
    /// How many partitions it has, at least 1: the same for its whole life and on every node.
    fn partitions(&self) -> u16;

    /// Appends a record and returns where it lies, once the log has it as safely as its
    /// documentation says. On an error it may lie in the log all the same; appending it again is
    /// harmless, since records say the same thing however often they are read.
    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position>;

    /// Reads on after a position. An empty or unknown partition is made, and has no records. A
    /// position that has been trimmed reads on at the first record that is left. A partition
    /// without a key takes `key`, unless that is zero.
    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult>;

    /// As `read`, for who doesn't follow the log but wants some of it now and then: never made to
    /// wait for the next read that is due, and nobody waits for it.
    async fn read_once(&self, partition: u16, after: Position) -> StoreResult<ReadResult> {
        self.read(partition, after, HandleKey::default()).await
    }

    /// Housekeeping, every few seconds from every node: forgets records before `before` (at least
    /// nearly all of them), and notes that a node which knows all was there at `last_tended_at`; an
    /// earlier time than was noted, or zero, changes nothing. The node's own time: what lies in a
    /// socket for minutes must not say that somebody was there meanwhile.
    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()>;

    /// Notes that a checkpoint of all that matters has been appended to the partition born at
    /// `created_at`. Nothing if it has been born again since.
    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()>;

    /// Notes that the ledger has what the partition's records prove up to `to`. An earlier note
    /// changes nothing. Lost with the partition's past; to be said again then.
    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()>;

    /// Shows counts to other programs, as plain keys beside the log; 0 removes one.
    ///
    /// # Errors
    /// `Unsupported` where there is nothing that other programs could read.
    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()>;

    /// How long an append takes at most where all is well and it is not a moment, in ms.
    fn append_ms(&self) -> u64 {
        0
    }

    /// From now on appends may be up to `times` as far apart as usual, where each costs something.
    /// By how much later than usual what is said may then come to be read, in ms: zero where
    /// nothing is saved by it, and nothing done.
    fn set_append_spacing(&self, _times: u64) -> u64 {
        0
    }

    /// Number of times this log has gone over to another server, as far as this node knows. That
    /// server may lack records that the one before had acknowledged, to this node or to another.
    fn moves(&self) -> u64 {
        0
    }

    /// What this process's calls have consumed so far, without asking anybody.
    fn consumed(&self) -> LogUsage {
        LogUsage::Nothing
    }
}

/// A log's address, parsed and complete, but not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// `memory:`: in this process, gone with it. For tests and tries.
    Memory,
    /// `file:DIR`: in a folder of this machine, for one process.
    File(PathBuf),
    /// `redis://`, `rediss://`, `redis+unix://`, `redis-cluster://` or `redis+sentinel://`.
    Redis(RedisTarget),
    /// `dynamodb://TABLE`: in AWS, or behind an endpoint.
    Dynamo(DynamoTarget),
}

impl LogTarget {
    /// Parses a log URL.
    ///
    /// # Errors
    /// A text that names what is wrong with it, without its password.
    pub fn parse(url: &str) -> Result<LogTarget, String> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(LogTarget::Memory),
            Some(("file", dir)) if !dir.is_empty() => Ok(LogTarget::File(PathBuf::from(dir))),
            Some((scheme, _)) if scheme.starts_with("redis") || scheme == "unix" => {
                RedisTarget::parse(url).map(LogTarget::Redis)
            }
            Some(("dynamodb", rest)) => DynamoTarget::parse(rest).map(LogTarget::Dynamo),
            _ => Err("a log is memory:, file:DIR, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis+unix:///PATH, \
                      redis-cluster://HOST:PORT,HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or dynamodb://TABLE"
                .to_string()),
        }
    }

    /// Opens the log. A log that is away is opened all the same: its calls fail until it is back.
    ///
    /// # Errors
    /// What trying again can't mend: a folder in use, a file that isn't ours, a bad certificate.
    pub async fn open(&self, redis_prefix: &str) -> StoreResult<Arc<dyn Log>> {
        Ok(match self {
            LogTarget::Memory => Arc::new(MemoryLog::default()),
            LogTarget::File(folder) => file::open(folder)?,
            LogTarget::Redis(target) => redis::open(target, redis_prefix)?,
            LogTarget::Dynamo(target) => dynamodb::open(target).await?,
        })
    }
}

impl fmt::Display for LogTarget {
    /// For people: never with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogTarget::Memory => f.write_str("memory (gone when housecount stops)"),
            LogTarget::File(folder) => write!(f, "file:{}", folder.display()),
            LogTarget::Redis(target) => target.fmt(f),
            LogTarget::Dynamo(target) => target.fmt(f),
        }
    }
}
