//! A log in this process's memory. It is the fastest log, and is lost with the process.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

use super::{Log, PartitionMeta, Position, ReadResult};
use crate::clock::MonotonicClock;
use crate::error::{ErrorKind, StoreError, StoreResult};

/// Log in this process's memory. It has one partition, since a second would only add cost.
///
/// ```
/// use housecount_backend::log::{Log, MemoryLog};
///
/// assert_eq!(MemoryLog::default().partitions(), 1);
/// ```
#[derive(Debug)]
pub struct MemoryLog {
    clock: MonotonicClock,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    records: VecDeque<(Position, Bytes)>,
    last: Position,
    origin: PartitionMeta,
}

impl Default for MemoryLog {
    fn default() -> MemoryLog {
        let clock = MonotonicClock::starting_at_least(UnixMs::ZERO);
        let origin = PartitionMeta { created_at: clock.now(), ..PartitionMeta::default() };
        MemoryLog {
            clock,
            inner: Mutex::new(Inner { records: VecDeque::new(), last: Position::START, origin }),
        }
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn partitions(&self) -> u16 {
        1
    }

    async fn append(&self, _partition: u16, record: Bytes) -> StoreResult<Position> {
        let mut inner = self.inner.lock();
        inner.last = inner.last.next(self.clock.now());
        let last = inner.last;
        inner.records.push_back((last, record));
        Ok(last)
    }

    async fn read(
        &self,
        _partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        let mut inner = self.inner.lock();
        if inner.origin.key == HandleKey::default() {
            inner.origin.key = key;
        }
        let from = inner.records.partition_point(|(at, _)| *at <= after);
        let records: Vec<_> = inner.records.range(from..).take(READ_RECORDS_MAX).cloned().collect();
        let more = from + records.len() < inner.records.len();
        let start_exists =
            from > 0 && inner.records.get(from - 1).is_some_and(|(at, _)| *at == after);
        Ok(ReadResult {
            records,
            more,
            start_exists,
            clock: self.clock.now().max(inner.last.at),
            origin: inner.origin,
        })
    }

    async fn maintain(&self, _partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        let mut inner = self.inner.lock();
        let keep = inner.records.partition_point(|(position, _)| position.at < before);
        inner.records.drain(..keep);
        inner.origin.last_tended_at = inner.origin.last_tended_at.max(attended);
        Ok(())
    }

    async fn mark_complete(&self, _partition: u16, born: UnixMs) -> StoreResult<()> {
        let mut inner = self.inner.lock();
        inner.origin.is_complete |= inner.origin.created_at == born;
        Ok(())
    }

    async fn note_committed(&self, _partition: u16, to: UnixMs) -> StoreResult<()> {
        let mut inner = self.inner.lock();
        inner.origin.committed = inner.origin.committed.max(to);
        Ok(())
    }

    async fn publish_counts(&self, _counts: &[(String, u64)]) -> StoreResult<()> {
        Err(StoreError::new(ErrorKind::Unsupported, "publish_counts needs a Redis log"))
    }
}
