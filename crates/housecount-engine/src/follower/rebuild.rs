//! Rewrites to the log what it has lost.

use bytes::Bytes;
use housecount_backend::error::StoreResult;
use housecount_core::fold::CheckpointEvent;
use housecount_core::limits::{RECORD_EVENTS_MAX, SEATS_REBUILT_PER_HOLD_MAX};
use housecount_core::record::{self, RecordEntry};
use tokio::task::yield_now;

use super::Follower;

impl Follower {
    /// Rewrites what this node knows to partitions that have lost data.
    ///
    /// Every node does so, since another one may know less. Duplicates are harmless, because the
    /// fold ignores them.
    pub(super) async fn rebuild_log(&mut self) {
        for partition in std::mem::take(&mut self.partitions_to_rebuild) {
            let knows_all = self.hub.is_complete();
            if !knows_all {
                tracing::warn!(
                    partition,
                    "log partition lost records, and this node doesn't have all of them"
                );
                self.hub
                    .mark_incomplete_until(self.clock.now().unwrap_or_default().plus(self.ttl_ms));
            }
            match self.checkpoint(partition).await {
                Ok(events) => {
                    // Its events are true in any case. Whether they are complete is another
                    // question.
                    if knows_all {
                        self.rebuilt_unmarked.insert(partition);
                    }
                    self.metrics.log_rebuilds.inc();
                    if let Some(proofs) = &self.proofs {
                        proofs.mark_unwritten(partition);
                    }
                    tracing::warn!(
                        partition,
                        events,
                        "log partition lost records; rebuilt it from memory"
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, partition, "log partition lost records; rebuild failed, will retry");
                    self.partitions_to_rebuild.insert(partition);
                }
            }
        }
    }

    /// Marks rewritten partitions as complete, only once time continues.
    ///
    /// Before that, a node that starts would trust the mark, although other nodes still hold events
    /// that players sent while the log was unavailable.
    pub(super) async fn mark_rebuilt(&mut self) {
        for partition in std::mem::take(&mut self.rebuilt_unmarked) {
            let born = self.places[usize::from(partition)].origin.created_at;
            if let Err(error) = self.log.mark_complete(partition, born).await {
                tracing::warn!(%error, partition, "can't mark the rebuilt log partition as complete; will retry");
                self.rebuilt_unmarked.insert(partition);
            }
        }
    }

    async fn checkpoint(&self, partition: u16) -> StoreResult<usize> {
        // Events of sessions that may still be online, and events that the ledger may lack.
        let online = self.hub.now().minus(self.ttl_ms);
        let uncommitted =
            self.proofs.as_ref().map(|proofs| proofs.committed(partition).minus(self.ttl_ms));
        let from = uncommitted.map_or(online, |uncommitted| uncommitted.min(online));
        // Slice by slice, so that no heartbeat waits for all of it. Events that are folded into a
        // finished slice were appended after the loss.
        let (mut count, mut place) = (0, 0);
        loop {
            let slice = place..place + SEATS_REBUILT_PER_HOLD_MAX;
            let (records, places) = self.hub.with_checkpoint(partition, slice, from, encode_all);
            for (events, record) in records {
                count += events;
                self.log.append(partition, record).await?;
            }
            place += SEATS_REBUILT_PER_HOLD_MAX;
            if place >= places {
                return Ok(count);
            }
            yield_now().await;
        }
    }
}

/// Encodes events as full records, with the number of events in each.
fn encode_all(events: &mut dyn Iterator<Item = CheckpointEvent<'_>>) -> Vec<(usize, Bytes)> {
    let next = || {
        let batch: Vec<CheckpointEvent<'_>> = events.take(RECORD_EVENTS_MAX).collect();
        let entries: Vec<RecordEntry<'_>> =
            batch.iter().map(|known| RecordEntry::Full(known.event())).collect();
        (!entries.is_empty()).then(|| (entries.len(), Bytes::from(record::encode(&entries))))
    };
    std::iter::from_fn(next).collect()
}
