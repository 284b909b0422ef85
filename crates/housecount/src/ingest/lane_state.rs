//! What gathers in a lane: a batch that fills, full ones that wait behind an append, and who is to
//! be told of each.

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
    /// When its first event came.
    pub(super) since: Instant,
    /// Those of workers: each holds one connection.
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

/// By worker, what its requests wait on. None before the first, and once they have been sent away.
pub(super) type WorkerCompletions = SmallVec<[Option<Arc<BatchCompletion>>; 4]>;

fn round_of(rounds: &mut WorkerCompletions, worker: usize) -> &Arc<BatchCompletion> {
    if rounds.len() <= worker {
        rounds.resize(worker + 1, None);
    }
    rounds[worker].get_or_insert_with(BatchCompletion::new)
}

/// Batches of a lane: an open one, full ones, and those under way.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) open: OpenBatch,
    /// Full ones that wait for their append.
    pub(super) full: VecDeque<OpenBatch>,
    /// Who waits for the append that is under way, and since when.
    pub(super) in_flight: WorkerCompletions,
    pub(super) in_flight_since: Instant,
    /// Whether an append is under way, also once all who waited for it were sent away.
    pub(super) is_under_way: bool,
    /// Whether the batch before lingered for as long as it might, and was not due sooner.
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
    /// Adds an event that came in on a worker. What its request waits on.
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

    /// What a request on a worker waits on that adds no event: the last batch that is not appended
    /// yet, if there is one.
    pub(super) fn join(&mut self, worker: usize) -> Option<&Arc<BatchCompletion>> {
        let rounds = match self.full.back_mut() {
            _ if !self.open.batch.is_empty() => &mut self.open.rounds,
            Some(full) => &mut full.rounds,
            None if self.is_under_way => &mut self.in_flight,
            None => return None,
        };
        Some(round_of(rounds, worker))
    }

    /// Whether a batch is to be appended without waiting for more. `connections` may have more to
    /// say, if that is known.
    pub(super) fn is_due(&self, connections: Option<usize>) -> bool {
        let is_full = self.open.batch.is_full() || !self.full.is_empty();
        is_full
            || self.is_closed
            || connections.is_some_and(|open| open > 0 && self.open.requests >= open)
    }

    /// The next batch to append.
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
