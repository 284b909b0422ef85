//! Reads of the log: of all partitions at once where the log can, and of one partition.

use housecount_backend::clock::mono_ms;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Position, ReadPlace, ReadResult};
use housecount_core::limits::CLOCK_AHEAD_MS_MAX;

use super::Follower;

/// Result of a read of a partition.
#[derive(Debug)]
pub(super) struct PartitionRead {
    pub(super) tail: ReadResult,
    /// Last position of the partition that was acknowledged to this node before the read.
    pub(super) acknowledged: Position,
}

impl Follower {
    /// Reads all partitions in one call, where the log can and there are several. A partition that
    /// is left out needs a read of its own.
    pub(super) async fn read_together(&mut self) -> Vec<Option<PartitionRead>> {
        if self.places.len() < 2 {
            return Vec::new();
        }
        // Queried before the read: every append that was acknowledged until now must be found.
        let acknowledged: Vec<Position> =
            (0..self.log.partitions()).map(|partition| self.acknowledged.last(partition)).collect();
        let places: Vec<ReadPlace> = (self.places.iter().zip(&self.keys))
            .map(|(place, key)| ReadPlace { after: place.after, key: *key })
            .collect();
        let sent_ms = mono_ms();
        let tails = self.log.read_together(&places).await;
        tails.iter().flatten().for_each(|tail| self.note_time(sent_ms, tail));
        let read = |(tail, acknowledged): (Option<ReadResult>, Position)| {
            Some(PartitionRead { tail: tail?, acknowledged })
        };
        tails.into_iter().zip(acknowledged).map(read).collect()
    }

    /// Reads one partition from where its last read ended.
    pub(super) async fn read_alone(&mut self, partition: u16) -> StoreResult<PartitionRead> {
        let acknowledged = self.acknowledged.last(partition);
        let index = usize::from(partition);
        let sent_ms = mono_ms();
        let tail = self.log.read(partition, self.places[index].after, self.keys[index]).await?;
        self.note_time(sent_ms, &tail);
        Ok(PartitionRead { tail, acknowledged })
    }

    /// Records the log's clock, and the time that the read took.
    fn note_time(&mut self, sent_ms: u64, tail: &ReadResult) {
        self.clock.observe(sent_ms, tail.clock);
        // Nodes use this time. If the log's clock has stepped back, a new node would otherwise
        // learn this time only from the next beat of an older node. It would take that for a jump.
        self.clock.advance_to(tail.origin.last_tended_at.min(tail.clock.plus(CLOCK_AHEAD_MS_MAX)));
        self.slowest_read_ms = self.slowest_read_ms.max(mono_ms().saturating_sub(sent_ms));
    }
}
