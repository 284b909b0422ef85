//! Intake of one request's many events, in slices. Between two slices the caller lets other
//! requests have their turn.

use std::borrow::Cow;
use std::sync::Arc;

use housecount_core::event::{EventKind, EventRef, partition_of};
use housecount_core::time::UnixMs;

use super::completion::BatchCompletion;
use super::{Ingest, IngestError, PendingAck, UnstampedEvent};

/// Events of one request, enqueued in slices. Room is reserved for all of them at the start. A drop
/// releases the room of the events that were not enqueued.
#[derive(Debug)]
pub struct Intake<'i> {
    pub(super) ingest: &'i Ingest,
    /// Events that are still to come.
    pub(super) left: usize,
    /// Time of the last event.
    pub(super) at: UnixMs,
    /// Completions that the request waits on, one per batch and partition.
    pub(super) rounds: Vec<Arc<BatchCompletion>>,
}

impl Intake<'_> {
    /// Enqueues some of the events, stamped with the log's time.
    ///
    /// # Errors
    /// Returns [`IngestError::Starting`] before the node's first reading of the log's clock; none
    /// of this slice was enqueued. Returns [`IngestError::Stopping`] if the node is stopping; some
    /// of this slice may have been enqueued. Slices before this one were.
    pub fn add(&mut self, events: &[UnstampedEvent<'_>]) -> Result<(), IngestError> {
        let ingest = self.ingest;
        let shared = &ingest.shared;
        let mut stamped: Vec<EventRef<'_>> = Vec::with_capacity(events.len());
        for event in events {
            let at = match stamped.last().filter(|before| before.kind == event.kind) {
                Some(before) => before.at,
                None => shared.clock.stamp(event.kind).ok_or(IngestError::Starting)?,
            };
            stamped.push(event.at(at));
        }
        self.at = stamped.last().map_or(self.at, |last| last.at);
        // A request waits in a batch once all of its events are enqueued.
        let is_last = stamped.len() >= self.left;
        for (lane, events) in ingest.lanes.iter().zip(by_partition(&stamped, ingest.lanes.len())) {
            let rounds = &mut self.rounds;
            let waits_on = |round: Arc<BatchCompletion>| {
                if !rounds.iter().any(|known| Arc::ptr_eq(known, &round)) {
                    rounds.push(round);
                }
            };
            if !lane.push(&events, is_last, waits_on) {
                return Err(IngestError::Stopping);
            }
            self.left = self.left.saturating_sub(events.len());
        }
        for kind in [EventKind::Beat, EventKind::Leave, EventKind::Displace] {
            let count = stamped.iter().filter(|event| event.kind == kind).count();
            ingest.accepted.of(kind).inc_by(count as u64);
        }
        if shared.folds_on_receipt {
            shared.hub.apply(stamped);
        }
        Ok(())
    }

    /// Returns the receipts of the enqueued events, one per batch that they became part of. Returns
    /// none if requests do not wait for the log.
    pub fn finish(mut self) -> Vec<PendingAck> {
        if self.ingest.acks_from_memory() {
            return Vec::new();
        }
        let (at, rounds) = (self.at, std::mem::take(&mut self.rounds));
        rounds
            .into_iter()
            .map(|round| PendingAck { at, completion: Some(round), ..PendingAck::default() })
            .collect()
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        self.ingest.shared.release_waiting(self.left);
    }
}

/// Groups events by partition.
fn by_partition<'a, 'e>(
    events: &'e [EventRef<'a>],
    partitions: usize,
) -> Vec<Cow<'e, [EventRef<'a>]>> {
    if partitions == 1 {
        return vec![Cow::Borrowed(events)];
    }
    let mut all = vec![Vec::new(); partitions];
    for event in events {
        all[usize::from(partition_of(event.ids.viewer, partitions as u16))].push(*event);
    }
    all.into_iter().map(Cow::Owned).collect()
}
