//! A log with faults on demand, around a real one.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, MemoryLog, Position, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::record;
use housecount_core::time::UnixMs;

/// Log that fails on demand, around one in memory.
#[derive(Debug, Default)]
pub struct FaultyLog {
    pub log: MemoryLog,
    /// Number of appends that fail from now on.
    pub refused: AtomicU32,
    /// Number of appends that are applied from now on, and then answered with a failure.
    pub lying: AtomicU32,
    /// Whether it is unavailable altogether.
    pub away: AtomicBool,
    /// Whether it refuses all writes but can be read.
    pub read_only: AtomicBool,
    /// Whether it refuses appends but accepts all else.
    pub append_denied: AtomicBool,
    /// Whether it says that its maintenance writes, which its other faults refuse.
    pub maintain_writes: AtomicBool,
    /// Whether appends are never answered.
    pub append_hangs: AtomicBool,
    /// Number of appends of events that were applied.
    pub appended: AtomicUsize,
    /// Number of records without events that were applied. These are probes of a node with nothing
    /// to append.
    pub probed: AtomicUsize,
    /// Time by which its clock has been set back since the log was opened.
    pub behind_ms: AtomicU64,
    /// Number of times that another server has taken its place.
    pub moves: AtomicU64,
}

fn failure() -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "a fault to order")
}

fn take(fault: &AtomicU32) -> bool {
    fault.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl FaultyLog {
    fn writes(&self) -> StoreResult<()> {
        let is_refused = self.away.load(Ordering::SeqCst) || self.read_only.load(Ordering::SeqCst);
        if is_refused { Err(failure()) } else { Ok(()) }
    }
}

#[async_trait]
impl Log for FaultyLog {
    fn partitions(&self) -> u16 {
        1
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        self.writes()?;
        if self.append_denied.load(Ordering::SeqCst) {
            return Err(failure());
        }
        if record::decode(&record).is_ok_and(|events| events.is_empty()) {
            self.probed.fetch_add(1, Ordering::SeqCst);
            // Positions follow the real clock, and would hide that this clock was set back.
            let is_set_back = self.behind_ms.load(Ordering::SeqCst) > 0;
            return if is_set_back {
                Ok(Position::START)
            } else {
                self.log.append(partition, record).await
            };
        }
        if take(&self.refused) {
            return Err(failure());
        }
        if self.append_hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let position = self.log.append(partition, record).await?;
        self.appended.fetch_add(1, Ordering::SeqCst);
        if take(&self.lying) { Err(failure()) } else { Ok(position) }
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        if self.away.load(Ordering::SeqCst) {
            return Err(failure());
        }
        let tail = self.log.read(partition, after, key).await?;
        let clock = tail.clock.minus(self.behind_ms.load(Ordering::SeqCst));
        Ok(ReadResult { clock, ..tail })
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.writes()?;
        self.log.maintain(partition, before, attended).await
    }

    fn maintain_writes(&self) -> bool {
        self.maintain_writes.load(Ordering::SeqCst)
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        self.writes()?;
        self.log.mark_complete(partition, born).await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        self.writes()?;
        self.log.note_committed(partition, to).await
    }

    fn moves(&self) -> u64 {
        self.moves.load(Ordering::SeqCst)
    }

    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()> {
        self.log.publish_counts(counts).await
    }
}
