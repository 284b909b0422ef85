//! State of a lane: the batch that fills, full batches that wait behind an append, and the
//! completions of each.

use std::collections::VecDeque;
use std::sync::Arc;

use housecount_core::batch::Batch;
use housecount_core::event::EventRef;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::completion::BatchCompletion;

/// A batch that fills.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) batch: Batch,
    /// Time at which its first event came.
    pub(super) since: Instant,
    /// Number of waiting requests of workers, each of which holds one connection.
    pub(super) requests: usize,
    pub(super) rounds: WorkerCompletions,
}

impl OpenBatch {
    pub(super) fn new(batch: Batch) -> OpenBatch {
        OpenBatch {
            batch,
            since: Instant::now(),
            requests: 0,
            rounds: WorkerCompletions::default(),
        }
    }
}

/// Completions of a batch, by worker. `None` before a worker's first request, and after its
/// requests were failed as overdue.
pub(super) type WorkerCompletions = SmallVec<[Option<Arc<BatchCompletion>>; 4]>;

fn round_of(rounds: &mut WorkerCompletions, worker: usize) -> &Arc<BatchCompletion> {
    if rounds.len() <= worker {
        rounds.resize(worker + 1, None);
    }
    rounds[worker].get_or_insert_with(BatchCompletion::new)
}

/// Batches of a lane: the open one, full ones, and the one in flight.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) open: OpenBatch,
    /// Full batches that wait for their append.
    pub(super) full: VecDeque<OpenBatch>,
    /// Completions of the append that is under way. The next field is when its first event came.
    pub(super) in_flight: WorkerCompletions,
    pub(super) in_flight_since: Instant,
    /// Whether an append is under way, even after all its requests were failed as overdue.
    pub(super) is_under_way: bool,
    /// Whether the last batch lingered for the whole time, and was not due sooner.
    pub(super) has_lingered: bool,
    pub(super) free_batches: Vec<Batch>,
    pub(super) is_closed: bool,
}

impl Default for LaneState {
    fn default() -> LaneState {
        LaneState {
            open: OpenBatch::new(Batch::default()),
            full: VecDeque::new(),
            in_flight: WorkerCompletions::default(),
            in_flight_since: Instant::now(),
            is_under_way: false,
            has_lingered: false,
            free_batches: Vec::new(),
            is_closed: false,
        }
    }
}

impl LaneState {
    /// Adds an event of a request on a worker. Returns the completion that the request waits on.
    pub(super) fn push(&mut self, event: &EventRef<'_>, worker: usize) -> &Arc<BatchCompletion> {
        if self.open.batch.is_full() {
            let fresh = OpenBatch::new(self.free_batches.pop().unwrap_or_default());
            self.full.push_back(std::mem::replace(&mut self.open, fresh));
        } else if self.open.batch.is_empty() {
            self.open.since = Instant::now();
        }
        self.open.batch.push(event);
        round_of(&mut self.open.rounds, worker)
    }

    /// Returns the completion that a request without an event waits on, by its worker. It is that
    /// of the last batch that is not appended yet, if there is one.
    pub(super) fn join(&mut self, worker: usize) -> Option<&Arc<BatchCompletion>> {
        let rounds = match self.full.back_mut() {
            _ if !self.open.batch.is_empty() => &mut self.open.rounds,
            Some(full) => &mut full.rounds,
            None if self.is_under_way => &mut self.in_flight,
            None => return None,
        };
        Some(round_of(rounds, worker))
    }

    /// Whether a batch is appended without waiting for more events. `connections` is the number of
    /// connections that may add events, if that is known.
    pub(super) fn is_due(&self, connections: Option<usize>) -> bool {
        let is_full = self.open.batch.is_full() || !self.full.is_empty();
        is_full
            || self.is_closed
            || connections.is_some_and(|open| open > 0 && self.open.requests >= open)
    }

    /// Takes the next batch to append, which is then in flight.
    pub(super) fn take(&mut self) -> Batch {
        let taken = self.full.pop_front().unwrap_or_else(|| {
            let fresh = OpenBatch::new(self.free_batches.pop().unwrap_or_default());
            std::mem::replace(&mut self.open, fresh)
        });
        self.in_flight = taken.rounds;
        self.in_flight_since = taken.since;
        self.is_under_way = true;
        taken.batch
    }
}
