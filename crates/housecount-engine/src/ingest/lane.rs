//! A lane: the place where the events for one partition gather, with the completions that their
//! requests wait on.
//!
//! Requests fill batches. The lane's committer takes them in order, one at a time. It takes a full
//! batch at once. It takes one that is not full once its first event has lingered. It also does so
//! once every connection waits in the batch, since no other event can join then.
//!
//! All requests of a batch on one worker wait on one [`BatchCompletion`], which completes on that
//! worker. So the only wakeups across threads are those of the workers themselves, one per batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::threads::{MAIN_THREAD, current_worker};
use housecount_core::batch::Batch;
use housecount_core::event::EventRef;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};

use super::IngestError;
use super::completion::BatchCompletion;
use super::lane_state::{LaneState, WorkerCompletions};
use housecount_backend::workers::WorkerRuntime;
use housecount_backend::workers::wake_coalescing::{LaneDemand, WakeCoalescer};

/// Interval at which a lane checks for overdue requests during one long append. A check also
/// follows each append while full batches wait.
const OVERDUE_CHECK_EVERY: Duration = Duration::from_millis(250);
/// Resolution of the runtime's timers, which fire at the first tick after the time they were set
/// to. A batch lingers one tick less, and so at most for the time that was set.
const TICK: Duration = Duration::from_millis(1);
/// Empty batches that are kept for reuse: one fills while another is appended.
const FREE_BATCHES_MAX: usize = 2;

/// Append queue of one partition, shared by all workers.
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<LaneState>,
    /// Notified of a first event, of a batch that is due, and of the close.
    wake: Notify,
    /// Runtimes on which requests are served, by worker.
    runtimes: Arc<[WorkerRuntime]>,
    /// Whether requests wait for the append. Then each open connection without a waiting request
    /// can still add an event.
    acks_after_append: bool,
    /// Receives this lane's demand for wakeups of idle workers.
    moderation: Arc<WakeCoalescer>,
    partition: u16,
}

impl Lane {
    /// Creates an empty lane for a partition.
    pub(super) fn new(
        partition: u16,
        homes: Arc<[WorkerRuntime]>,
        is_waited_on: bool,
        moderation: Arc<WakeCoalescer>,
    ) -> Lane {
        Lane {
            state: Mutex::default(),
            wake: Notify::new(),
            runtimes: homes,
            acks_after_append: is_waited_on,
            moderation,
            partition,
        }
    }

    /// Returns the number of connections whose requests may join a batch. Returns `None` where
    /// requests do not wait for the append, and so do not show which connections may still join.
    fn connections(&self) -> Option<usize> {
        let open = self.runtimes.iter().filter_map(|home| home.connections.as_ref());
        self.acks_after_append.then(|| open.map(|open| open.load(Ordering::Relaxed)).sum())
    }

    /// Completes a batch for its requests, each worker's on its own thread.
    fn complete(&self, rounds: WorkerCompletions, outcome: Result<(), IngestError>) {
        for (worker, round) in rounds.into_iter().enumerate() {
            match (round, self.runtimes.get(worker)) {
                (Some(round), Some(home)) if worker != current_worker() => {
                    home.runtime.spawn(async move { round.complete(outcome) });
                }
                (Some(round), _) => round.complete(outcome),
                (None, _) => {}
            }
        }
    }

    /// Adds some of a request's events. Passes `waits_on` the completions that the request waits
    /// on, one per batch. `is_last` means that the request has no more events, and waits from now
    /// on. Returns false once the lane is closed.
    pub(super) fn push(
        &self,
        events: &[EventRef<'_>],
        is_last: bool,
        mut waits_on: impl FnMut(Arc<BatchCompletion>),
    ) -> bool {
        let mut state = self.state.lock();
        if state.is_closed || events.is_empty() {
            return !state.is_closed;
        }
        let was_empty = state.open.batch.is_empty();
        for (n, event) in events.iter().enumerate() {
            let is_other_batch = state.open.batch.is_full();
            let round = state.push(event, current_worker());
            if n == 0 || is_other_batch {
                waits_on(round.clone());
            }
        }
        state.open.requests += usize::from(is_last && current_worker() != MAIN_THREAD);
        let is_stirred = was_empty || state.is_due(self.connections());
        drop(state);
        if is_stirred {
            self.wake.notify_one();
        }
        true
    }

    /// Returns the completion that a request without an event waits on. It is that of the last
    /// batch that is not appended yet. Returns `None` if all batches are.
    pub(super) fn join(&self) -> Option<Arc<BatchCompletion>> {
        let mut state = self.state.lock();
        let round = state.join(current_worker())?.clone();
        let is_in_open = !state.open.batch.is_empty();
        state.open.requests += usize::from(is_in_open && current_worker() != MAIN_THREAD);
        let is_stirred = is_in_open && state.is_due(self.connections());
        drop(state);
        if is_stirred {
            self.wake.notify_one();
        }
        Some(round)
    }

    /// Closes the lane to new events.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// Waits for the next batch: one that is due, or whose first event has lingered. Returns `None`
    /// once the lane is closed and empty. An empty lane runs no timer.
    pub(super) async fn next(&self, linger: Duration) -> Option<Batch> {
        loop {
            let (wants, until) = {
                let mut state = self.state.lock();
                if state.open.batch.is_empty() && state.full.is_empty() {
                    if state.is_closed {
                        return None;
                    }
                    (LaneDemand::Nothing, None)
                } else if state.is_due(self.connections()) {
                    state.has_lingered = false;
                    return Some(self.take(&mut state));
                } else {
                    let until = state.open.since + linger.saturating_sub(TICK);
                    let is_moderate = state.has_lingered && self.acks_after_append;
                    (
                        if is_moderate {
                            LaneDemand::CoalesceUntil(until)
                        } else {
                            LaneDemand::Immediate
                        },
                        Some(until),
                    )
                }
            };
            self.moderation.set_demand(self.partition, wants);
            match until {
                None => self.wake.notified().await,
                Some(until) => {
                    if timeout_at(until, self.wake.notified()).await.is_err() {
                        let mut state = self.state.lock();
                        state.has_lingered = true;
                        return Some(self.take(&mut state));
                    }
                }
            }
        }
    }

    /// Takes the next batch to append. All workers stay awake for it.
    fn take(&self, state: &mut LaneState) -> Batch {
        self.moderation.set_demand(self.partition, LaneDemand::Immediate);
        state.take()
    }

    /// Returns when the first event of the batch that was taken last came, on `mono_ms`. The events
    /// that wait behind it came later.
    pub(super) fn waiting_since_ms(&self) -> u64 {
        let waited = self.state.lock().in_flight_since.elapsed();
        mono_ms().saturating_sub(waited.as_millis() as u64)
    }

    /// Finishes the batch that was taken, after its append or after it was given up. Completes its
    /// requests, and keeps its memory for reuse. Returns how long the first of its events has
    /// waited.
    pub(super) fn finish_batch(
        &self,
        mut batch: Batch,
        outcome: Result<(), IngestError>,
    ) -> Duration {
        batch.clear();
        let mut state = self.state.lock();
        let rounds = std::mem::take(&mut state.in_flight);
        state.is_under_way = false;
        if state.free_batches.len() < FREE_BATCHES_MAX {
            state.free_batches.push(batch);
        }
        let is_behind = !state.full.is_empty();
        let waited = state.in_flight_since.elapsed();
        drop(state);
        self.complete(rounds, outcome);
        if is_behind {
            // Each append may be quick, and the queue long all the same.
            self.fail_overdue();
        }
        waited
    }

    /// Awaits an append, and meanwhile fails requests that have waited for too long. Their events
    /// stay in their batches.
    pub(super) async fn run_expiring_waiters<T>(&self, append: impl Future<Output = T>) -> T {
        let mut append = std::pin::pin!(append);
        loop {
            match timeout(OVERDUE_CHECK_EVERY, append.as_mut()).await {
                Ok(done) => return done,
                Err(_) => self.fail_overdue(),
            }
        }
    }

    fn fail_overdue(&self) {
        let mut state = self.state.lock();
        let LaneState { open, full, in_flight: under_way, .. } = &mut *state;
        let all =
            full.iter_mut().map(|filling| &mut filling.rounds).chain([under_way, &mut open.rounds]);
        let take_overdue =
            |round: &mut Option<Arc<BatchCompletion>>| round.take_if(|round| round.is_overdue());
        let overdue: Vec<WorkerCompletions> =
            all.map(|rounds| rounds.iter_mut().map(take_overdue).collect()).collect();
        drop(state);
        overdue
            .into_iter()
            .for_each(|rounds| self.complete(rounds, Err(IngestError::AppendPending)));
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::{EventKind, Ids, SessionLabels};
    use housecount_core::limits::{ACK_TIMEOUT_MS, RECORD_EVENTS_MAX};
    use housecount_core::time::UnixMs;
    use housecount_test::timed_test;
    use tokio::time::Instant;

    use super::*;
    use housecount_backend::workers::Workers;

    const BEAT: EventRef<'_> = EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(7),
        kind: EventKind::Beat,
        ids: Ids { stage: "s", viewer: "v", session: "" },
    };
    const LINGER: Duration = Duration::from_secs(3_600);

    fn waited_on(homes: Vec<WorkerRuntime>, is_waited_on: bool) -> Lane {
        let moderation = Arc::new(WakeCoalescer::new(1, LINGER));
        Lane::new(0, homes.into(), is_waited_on, moderation)
    }

    fn lane(homes: Vec<WorkerRuntime>) -> Arc<Lane> {
        Arc::new(waited_on(homes, true))
    }

    fn main_only() -> Vec<WorkerRuntime> {
        vec![WorkerRuntime { runtime: tokio::runtime::Handle::current(), connections: None }]
    }

    #[timed_test]
    async fn a_batch_does_not_linger_when_all_connections_wait_in_it() {
        let workers = Workers::start(2, WakeCoalescer::default());
        let places: Vec<_> = (0..3).map(|_| workers.balancer().assign()).collect();
        let lane = lane(workers.runtimes());
        let push = async |place: usize, events: &'static [EventRef<'static>]| {
            let (lane, (home, _)) = (lane.clone(), &places[place]);
            let waiting = async move {
                let mut round = None;
                assert!(lane.push(events, true, |its| round = Some(its)));
                (current_worker(), round.unwrap())
            };
            home.spawn(waiting).await.unwrap()
        };
        let (one, first) = push(0, &[BEAT]).await;
        let (other, second) = push(1, &[BEAT]).await;
        assert!(one != other && one != MAIN_THREAD && other != MAIN_THREAD);
        assert!(
            !lane.state.lock().is_due(lane.connections()),
            "the lane still waits for a third event"
        );
        let (third_at, third) = push(2, &[BEAT; 5]).await;
        let batch = lane.next(LINGER).await.unwrap();
        assert_eq!(batch.len(), 7);
        lane.finish_batch(batch, Ok(()));
        for round in [&first, &second, &third] {
            assert_eq!(round.wait().await, Ok(()));
        }
        let shared = if third_at == one { &first } else { &second };
        assert!(Arc::ptr_eq(shared, &third), "a worker has one round per batch");
        drop(places);
        workers.stop().await;
    }

    #[timed_test(start_paused = true)]
    async fn workers_may_sleep_while_batches_linger_and_only_then() {
        for is_waited_on in [true, false] {
            let lane = waited_on(main_only(), is_waited_on);
            let sleeps = || !lane.moderation.sleep_duration().is_zero();
            let next = || timeout(TICK, lane.next(LINGER));
            assert!(lane.push(&[BEAT], true, drop) && next().await.is_err());
            assert!(!sleeps(), "workers don't sleep before the first batch has lingered");
            for _ in 0..2 {
                let batch = lane.next(LINGER).await.unwrap();
                assert!(!sleeps(), "workers don't sleep during an append");
                lane.finish_batch(batch, Ok(()));
                assert!(next().await.is_err());
                assert!(!sleeps(), "workers don't sleep before the next batch's first event");
                assert!(lane.push(&[BEAT], true, drop) && next().await.is_err());
                assert_eq!(
                    sleeps(),
                    is_waited_on,
                    "with `ack = memory` no answer waits for the batch"
                );
            }
            assert!(lane.push(&[BEAT; RECORD_EVENTS_MAX], true, drop));
            let batch = lane.next(LINGER).await.unwrap();
            assert!(!sleeps());
            lane.finish_batch(batch, Ok(()));
            assert!(next().await.is_err());
            assert!(!sleeps(), "the batch was already due");
        }
    }

    #[timed_test(start_paused = true)]
    async fn batches_are_taken_in_order_and_complete_their_requests_together() {
        let lane = lane(main_only());
        let mut rounds = Vec::new();
        assert!(lane.push(&[BEAT; RECORD_EVENTS_MAX + 1], true, |round| rounds.push(round)));
        assert_eq!(rounds.len(), 2, "one round per batch");
        for (expected, round) in [RECORD_EVENTS_MAX, 1].into_iter().zip(&rounds) {
            let batch = lane.next(LINGER).await.unwrap();
            assert_eq!(batch.len(), expected);
            lane.finish_batch(batch, Ok(()));
            assert_eq!(round.wait().await, Ok(()));
        }
        assert!(lane.push(&[BEAT], true, |round| rounds.push(round)));
        lane.close();
        assert!(!lane.push(&[BEAT], true, drop));
        assert_eq!(lane.next(LINGER).await.unwrap().len(), 1, "accepted events are still appended");
        assert!(lane.next(LINGER).await.is_none());
    }

    /// The last batch is the one that fills, else a full one, else the one whose append is under
    /// way. The latter holds even after its requests were failed as overdue.
    #[timed_test(start_paused = true)]
    async fn a_request_without_an_event_waits_for_the_last_batch() {
        let lane = lane(main_only());
        assert!(lane.join().is_none(), "there is no batch yet");
        let mut rounds = Vec::new();
        assert!(lane.push(&[BEAT; RECORD_EVENTS_MAX], true, |round| rounds.push(round)));
        assert!(Arc::ptr_eq(&lane.join().unwrap(), &rounds[0]));
        assert!(lane.push(&[BEAT], true, |round| rounds.push(round)));
        assert!(Arc::ptr_eq(&lane.join().unwrap(), &rounds[1]));
        for round in &rounds {
            let batch = lane.next(Duration::ZERO).await.unwrap();
            assert!(!round.is_complete() && Arc::ptr_eq(&lane.join().unwrap(), &rounds[1]));
            lane.finish_batch(batch, Ok(()));
            assert_eq!(round.wait().await, Ok(()));
        }
        assert!(lane.join().is_none(), "every event is appended");
        assert!(lane.push(&[BEAT], true, drop));
        let batch = lane.next(Duration::ZERO).await.unwrap();
        tokio::time::advance(Duration::from_millis(ACK_TIMEOUT_MS)).await;
        lane.fail_overdue();
        let joined = lane.join().unwrap();
        assert!(!joined.is_complete(), "a new request is not overdue");
        lane.finish_batch(batch, Err(IngestError::AppendPending));
        assert_eq!(joined.wait().await, Err(IngestError::AppendPending));
    }

    /// ack_timeout_ms also bounds requests behind an append that never ends.
    #[timed_test(start_paused = true)]
    async fn requests_that_wait_for_too_long_are_sent_away() {
        let lane = lane(main_only());
        let mut rounds = Vec::new();
        assert!(lane.push(&[BEAT], true, |round| rounds.push(round)));
        let batch = lane.next(Duration::ZERO).await.unwrap();
        assert!(lane.push(&[BEAT], true, |round| rounds.push(round)));
        let stuck = tokio::spawn({
            let lane = lane.clone();
            async move { lane.run_expiring_waiters(std::future::pending::<()>()).await }
        });
        for round in &rounds {
            assert_eq!(round.wait().await, Err(IngestError::AppendPending));
        }
        stuck.abort();
        lane.finish_batch(batch, Ok(()));
        assert_eq!(
            lane.next(Duration::ZERO).await.unwrap().len(),
            1,
            "the event of an overdue request stays queued"
        );
    }

    /// ack_timeout_ms also bounds requests where each append is quick, but many come before.
    #[timed_test(start_paused = true)]
    async fn requests_behind_a_long_queue_are_sent_away() {
        let (lane, mut rounds) = (lane(main_only()), Vec::new());
        assert!(lane.push(&vec![BEAT; 100 * RECORD_EVENTS_MAX], true, |round| rounds.push(round)));
        let began = Instant::now();
        while let Some(batch) = lane.next(Duration::ZERO).await {
            lane.run_expiring_waiters(tokio::time::sleep(OVERDUE_CHECK_EVERY / 2)).await;
            lane.finish_batch(batch, Ok(()));
            if rounds.last().is_some_and(|last| last.is_complete()) {
                break;
            }
        }
        assert_eq!(rounds.last().unwrap().wait().await, Err(IngestError::AppendPending));
        assert!(began.elapsed() < Duration::from_millis(ACK_TIMEOUT_MS) + OVERDUE_CHECK_EVERY);
    }
}
