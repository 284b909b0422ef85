//! The log, to which accepted beats and leaves are first written, and which every node follows.
//!
//! A log is a clock and a few partitions of records, each in the order of its positions. Every node
//! appends to it and reads all of it. Nodes exchange nothing else. One suite checks the contract
//! below for every backend of this repository
//! (`crates/housecount-stores/tests/it/contract/log.rs`). Callers retry failed calls: see the
//! engine's `ingest` and `follower`.

mod consumed;
mod memory;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;

pub use self::consumed::{LogUsage, RedisUsage};
pub use self::memory::MemoryLog;
use crate::error::StoreResult;

/// Position of a record: the log's clock at the append, and a number among records of that
/// millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log's time of the append.
    pub at: UnixMs,
    /// 0 and up within the same millisecond.
    pub seq: u64,
}

impl Position {
    /// Position before every record.
    pub const START: Position = Position { at: UnixMs::ZERO, seq: 0 };

    /// Returns the position after this one of a record appended at `now`. Positions increase even
    /// if the clock is set back.
    #[must_use]
    pub fn next(self, now: UnixMs) -> Position {
        if now > self.at {
            Position { at: now, seq: 0 }
        } else {
            Position { at: self.at, seq: self.seq + 1 }
        }
    }
}

impl fmt::Display for Position {
    /// Writes a position as Redis Streams do. Every backend uses this form in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.seq)
    }
}

/// Metadata of a partition. It is lost together with the partition's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionMeta {
    /// Time at which the partition was created, on the log's clock. Another value than before means
    /// that everything was lost.
    pub created_at: UnixMs,
    /// Whether the partition holds all that matters even though it is young. A node that knew all
    /// wrote a checkpoint to it.
    pub is_complete: bool,
    /// Time at which a node last tended the partition; zero for never. After it, perhaps no node
    /// has accepted events of players.
    pub last_tended_at: UnixMs,
    /// Time up to which the ledger has what the partition's records prove; zero if unknown.
    pub committed: UnixMs,
    /// Key from which handles in the partition's records are made; zero if no reader has brought
    /// one yet.
    pub key: HandleKey,
}

/// Result of a read, all of one moment.
#[derive(Clone, Debug, Default)]
pub struct ReadResult {
    /// Records after the requested position, in order.
    pub records: Vec<(Position, Bytes)>,
    /// Whether there are more records. The next read starts after the last of these.
    pub more: bool,
    /// Whether the record at the requested position still exists. It is false for
    /// [`Position::START`].
    ///
    /// A record disappears when it is trimmed. If it is too young for that, the log went back to an
    /// earlier state (Redis restarted from a dump, or failed over).
    pub start_exists: bool,
    /// The log's clock. Every record appended later has a position at or after it. The clock never
    /// goes backwards.
    pub clock: UnixMs,
    /// Metadata of the partition.
    pub origin: PartitionMeta,
}

/// Place from which a reader continues in a partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadPlace {
    /// Position of the last record that it has read.
    pub after: Position,
    /// Key for a partition without one, as in [`Log::read`].
    pub key: HandleKey,
}

/// A log of partitioned records, the only connection between nodes.
///
/// A log that outlives the process keeps its records and all of [`PartitionMeta`]. After a restart,
/// positions and the clock continue from the last record, even if that record has been trimmed
/// ([`MonotonicClock::starting_at_least`](crate::clock::MonotonicClock::starting_at_least)).
///
/// ```
/// use bytes::Bytes;
/// use housecount_backend::log::{Log, MemoryLog, Position};
/// use housecount_core::fold::HandleKey;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let log = MemoryLog::default();
/// let position = log.append(0, Bytes::from_static(b"a record")).await.unwrap();
/// let read = log.read(0, Position::START, HandleKey::default()).await.unwrap();
/// assert_eq!(read.records, [(position, Bytes::from_static(b"a record"))]);
/// # }
/// ```
#[async_trait]
pub trait Log: Send + Sync + fmt::Debug {
    /// Number of partitions, at least 1. It stays the same for the log's whole life and on every
    /// node.
    fn partitions(&self) -> u16;

    /// Appends a record and returns its position, once the log has stored it as safely as its
    /// documentation promises.
    ///
    /// A record has at most [`RECORD_BYTES_MAX`](housecount_core::limits::RECORD_BYTES_MAX) bytes
    /// of any value, and perhaps none. It is kept to the byte.
    ///
    /// After an error the record may be in the log all the same. Appending it again is harmless,
    /// since reading a record twice has the same effect as reading it once.
    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position>;

    /// Reads the records after a position.
    ///
    /// It returns at most [`READ_RECORDS_MAX`](housecount_core::limits::READ_RECORDS_MAX) records,
    /// and [`more`](ReadResult::more) says that others are left.
    ///
    /// An unknown partition is created, and has no records. Its `created_at` is above zero and
    /// stays as it is. After a position that has been trimmed, the read continues at the first
    /// record that is left. A partition without a key takes `key`, unless that is zero.
    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult>;

    /// Reads all partitions at once, each as [`read`](Log::read) does. There is a place for each
    /// partition.
    ///
    /// Returns `None` for each partition that needs a read of its own, and nothing at all where the
    /// log has no such call. The caller then calls `read`, which also returns the error.
    async fn read_together(&self, _places: &[ReadPlace]) -> Vec<Option<ReadResult>> {
        Vec::new()
    }

    /// Waits until records may have been appended after these positions, but not longer than
    /// `within`. There is a position for each partition.
    ///
    /// Returns false where the log cannot tell, or cannot now. The caller then reads as often as
    /// usual.
    async fn wait(&self, _after: &[Position], _within: Duration) -> bool {
        false
    }

    /// Reads as `read` does, for callers that read rarely and don't follow the log.
    ///
    /// Such a read never waits for the next read that is due, and delays no other read.
    async fn read_once(&self, partition: u16, after: Position) -> StoreResult<ReadResult> {
        self.read(partition, after, HandleKey::default()).await
    }

    /// Maintains a partition. Every node calls this every few seconds.
    ///
    /// The log trims records before `before` (at least nearly all of them). It also records that a
    /// node which knows all tended it at `attended`; an earlier time, or zero, changes nothing.
    /// `attended` is the node's own time. A call that is stuck in a socket for minutes must not
    /// claim that the node was there meanwhile.
    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()>;

    /// Whether `maintain` always writes, and so usually fails when the log refuses appends. An idle
    /// node then needs few appends to detect that.
    fn maintain_writes(&self) -> bool {
        false
    }

    /// Records that a checkpoint of all that matters has been appended to the partition created at
    /// `born`. Does nothing if the partition has been created again since.
    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()>;

    /// Records that the ledger has what the partition's records prove up to `to`.
    ///
    /// An earlier time changes nothing. The time is lost with the partition's metadata, and must
    /// then be recorded again.
    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()>;

    /// Publishes counts to other programs, as plain keys beside the log; 0 removes a key.
    ///
    /// # Errors
    /// Returns `Unsupported` if the log has no keys that other programs could read.
    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()>;

    /// Longest time of an append in normal operation, in ms; zero if it is too short to matter.
    fn append_ms(&self) -> u64 {
        0
    }

    /// Allows appends to be up to `times` as far apart as usual, for logs where each append costs
    /// money.
    ///
    /// Returns by how much later than usual events may then be read, in ms. Returns zero, and does
    /// nothing, where larger intervals save nothing.
    fn set_append_spacing(&self, _times: u64) -> u64 {
        0
    }

    /// Number of times that this log has moved to another server, as far as this node knows.
    ///
    /// The new server may lack records that the server before had acknowledged, to this node or
    /// another.
    fn moves(&self) -> u64 {
        0
    }

    /// Consumption of this process's calls so far, without a call to the log.
    fn consumed(&self) -> LogUsage {
        LogUsage::Nothing
    }
}
