//! A watched log: a log whose appends are recorded in a [`WriteHealth`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Log, LogUsage, Position, ReadPlace, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;

use crate::log::health::WriteHealth;

/// Log that records whether appends succeed. Every node wraps its log in one, so that no append can
/// be missed.
#[derive(Debug)]
pub struct WatchedLog {
    log: Arc<dyn Log>,
    health: Arc<WriteHealth>,
}

impl WatchedLog {
    /// Wraps a log.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, health: Arc<WriteHealth>) -> WatchedLog {
        health.expect(log.append_ms());
        WatchedLog { log, health }
    }
}

#[async_trait]
impl Log for WatchedLog {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        let outcome = self.log.append(partition, record).await;
        match &outcome {
            Ok(_) => self.health.accept(partition),
            Err(_) => self.health.refuse(partition),
        }
        outcome
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        self.log.read(partition, after, key).await
    }

    async fn read_together(&self, places: &[ReadPlace]) -> Vec<Option<ReadResult>> {
        self.log.read_together(places).await
    }

    async fn wait(&self, after: &[Position], within: Duration) -> bool {
        self.log.wait(after, within).await
    }

    async fn read_once(&self, partition: u16, after: Position) -> StoreResult<ReadResult> {
        self.log.read_once(partition, after).await
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.log.maintain(partition, before, attended).await
    }

    fn maintain_writes(&self) -> bool {
        self.log.maintain_writes()
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        self.log.mark_complete(partition, born).await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        self.log.note_committed(partition, to).await
    }

    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()> {
        self.log.publish_counts(counts).await
    }

    fn append_ms(&self) -> u64 {
        self.log.append_ms()
    }

    fn set_append_spacing(&self, times: u64) -> u64 {
        self.log.set_append_spacing(times)
    }

    fn moves(&self) -> u64 {
        self.log.moves()
    }

    fn consumed(&self) -> LogUsage {
        self.log.consumed()
    }
}
