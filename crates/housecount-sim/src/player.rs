//! The audience: viewers who join, watch, open a second tab, reload, leave, or vanish without a
//! leave. Their players try another node when one doesn't answer.

use std::sync::Arc;
use std::time::Duration;

use housecount_access::admission::AdmissionError;
use housecount_access::admission::streams::{StreamAdmission, StreamDemand};
use housecount_backend::rng;
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::fold::Stream;
use housecount_engine::internals::{EngineState, IngestError, PendingAck, UnstampedEvent};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::active_faults::advance;
use crate::nodes::Nodes;
use crate::oracle::{LABEL_KEY, SeatName};
use crate::streams::{SimStreams, viewer_name};
use crate::world::World;

/// Time that a player waits for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);
/// Number of tries before a player waits for the next beat.
const TRIES_MAX: usize = 3;

/// The audience, with the world and the nodes that it uses.
#[derive(Debug)]
pub struct SimAudience {
    world: Arc<World>,
    nodes: Arc<Nodes>,
    streams: Arc<SimStreams>,
    /// Time of the simulation from which all viewers stop.
    ends_ms: u64,
    /// Acknowledgements that a task waits for.
    waiting: Mutex<JoinSet<()>>,
}

impl SimAudience {
    /// An audience that has not started yet.
    #[must_use]
    pub fn new(
        world: Arc<World>,
        nodes: Arc<Nodes>,
        streams: Arc<SimStreams>,
        ends_ms: u64,
    ) -> Arc<SimAudience> {
        Arc::new(SimAudience { world, nodes, streams, ends_ms, waiting: Mutex::default() })
    }

    fn is_over(&self) -> bool {
        self.world.now_ms() >= self.ends_ms
    }

    /// Lets a viewer watch one stage after another until the end.
    pub async fn live(self: Arc<Self>, viewer: usize) {
        advance(rng::random_range(0..120_000)).await;
        while !self.is_over() {
            let stage = format!("stage-{}", rng::random_range(0..self.world.plan.stages));
            let first = self.clone().watch(viewer, stage.clone(), session());
            if rng::random_range(0..6) == 0 {
                // A second tab, on the same stage or on another one.
                let other = format!("stage-{}", rng::random_range(0..self.world.plan.stages));
                let second =
                    self.clone().watch(viewer, other, format!("tab-{}", rng::random_range(0..9)));
                tokio::join!(first, second);
            } else {
                first.await;
            }
            advance(rng::random_range(1_000..240_000)).await;
        }
    }

    /// Runs one session, from its first beat to its end.
    async fn watch(self: Arc<Self>, viewer: usize, stage: String, session: String) {
        let mut seat = SeatName { stage, viewer: viewer_name(viewer), session };
        // Most sessions are short; some are long.
        let stay_ms = rng::random_range(5_000..rng::random_range(30_000..2_400_000_u64));
        let until_ms = (self.world.now_ms() + stay_ms).min(self.ends_ms);
        let mut node = rng::random_range(0..self.world.plan.nodes);
        while self.world.now_ms() < until_ms {
            let sent = self.send_until_accepted(&mut node, EventKind::Beat, &seat).await;
            let Some(next_ms) = sent else { return };
            let left_ms = until_ms.saturating_sub(self.world.now_ms());
            advance(next_ms.min(left_ms)).await;
            if rng::random_range(0..40) == 0 {
                // A reload: often with a new session id, and at once.
                self.send_until_accepted(&mut node, EventKind::Leave, &seat).await;
                if rng::random_range(0..2) == 0 {
                    seat.session = crate::player::session();
                }
            }
            if rng::random_range(0..60) == 0 {
                // A hidden tab: the browser throttles its timers.
                advance(rng::random_range(30_000..200_000)).await;
            }
        }
        if rng::random_range(0..3) > 0 {
            self.send_until_accepted(&mut node, EventKind::Leave, &seat).await;
        }
    }

    /// Sends an event until a node accepts it, or the player waits for its next beat. Returns the
    /// time to that, or `None` if another session has displaced this one.
    async fn send_until_accepted(
        &self,
        node: &mut usize,
        kind: EventKind,
        seat: &SeatName,
    ) -> Option<u64> {
        for _ in 0..TRIES_MAX {
            match self.send_once(*node, kind, seat).await {
                SendOutcome::Displaced => return None,
                // The answer was lost on the way to the player, which sends the event to another
                // node.
                SendOutcome::Accepted { .. } if rng::random_range(0..50) == 0 => {
                    *node = rng::random_range(0..self.world.plan.nodes);
                    continue;
                }
                SendOutcome::Accepted { next_ms } => return Some(next_ms),
                SendOutcome::Unanswered => {}
            }
            *node = rng::random_range(0..self.world.plan.nodes);
            advance(rng::random_range(200..2_000)).await;
        }
        Some(self.nodes.settings().interval_ms)
    }

    /// Sends one request.
    async fn send_once(&self, number: usize, kind: EventKind, seat: &SeatName) -> SendOutcome {
        let way_ms = self.world.trouble.lock().way_ms();
        advance(way_ms).await;
        let Some((node, run)) = self.nodes.get(number) else { return SendOutcome::Unanswered };
        let place = match self.take_stream(number, &node, run, kind, seat) {
            Ok(place) => place,
            Err(AdmissionError::Displaced) => return SendOutcome::Displaced,
            // Its viewer has too many streams, or the node is not ready.
            Err(_) => return SendOutcome::Unanswered,
        };
        let Some(receipt) = self.enqueue(&node, run, kind, seat) else {
            self.world.digest(|hasher, now_ms| hasher.answer(now_ms, run, None));
            return SendOutcome::Unanswered;
        };
        let answer = timeout(REQUEST_TIMEOUT, receipt.wait()).await;
        drop(place);
        while self.waiting.lock().try_join_next().is_some() {}
        let next_ms = match answer {
            Ok(Ok(())) => Some(node.next_beat_ms(&receipt)),
            Ok(Err(_)) | Err(_) => None,
        };
        self.world.digest(|hasher, now_ms| hasher.answer(now_ms, run, next_ms));
        next_ms.map_or(SendOutcome::Unanswered, |next_ms| SendOutcome::Accepted { next_ms })
    }

    /// Checks a beat against its viewer's limit of streams, as a node's admission does, and
    /// enqueues displacements.
    fn take_stream(
        &self,
        number: usize,
        node: &EngineState,
        run: usize,
        kind: EventKind,
        seat: &SeatName,
    ) -> Result<Option<StreamAdmission>, AdmissionError> {
        let limits = self.streams.of(number);
        let SeatName { stage, viewer, session } = seat;
        let event = UnstampedEvent {
            kind,
            ids: Ids { stage, viewer, session },
            labels: SessionLabels::NONE,
        };
        if kind != EventKind::Beat || !limits.is_on() || !limits.needs_demand(&node.hub, &event)? {
            return Ok(None);
        }
        let admitted = limits.admit(&node.hub, &event, StreamDemand::default())?;
        for Stream { stage, session, .. } in admitted.displaced.clone() {
            let displaced = SeatName { stage, viewer: viewer.clone(), session };
            let _ = self.enqueue(node, run, EventKind::Displace, &displaced);
        }
        if admitted.is_own_displaced {
            return Err(AdmissionError::Displaced);
        }
        Ok(Some(admitted))
    }

    /// Enqueues an event on a node, and records it. Returns `None` if the node refuses it.
    fn enqueue(
        &self,
        node: &EngineState,
        run: usize,
        kind: EventKind,
        seat: &SeatName,
    ) -> Option<PendingAck> {
        let SeatName { stage, viewer, session } = seat;
        let ids = Ids { stage, viewer, session };
        // As at a node's edge: a beat that may begin a session has its labels.
        let may_begin = kind == EventKind::Beat && node.hub.are_online([Some(ids)]) == [false];
        let labels = if self.world.plan.has_labels() && may_begin {
            SessionLabels::parse(LABEL_KEY, seat.label(), 0).unwrap_or_default()
        } else {
            SessionLabels::NONE
        };
        let event = UnstampedEvent { kind, ids, labels };
        let receipt = match node.ingest.enqueue(event, false) {
            Ok(receipt) => receipt,
            Err(
                IngestError::Starting
                | IngestError::QueueFull
                | IngestError::AppendPending
                | IngestError::NotTaken
                | IngestError::Stopping,
            ) => return None,
        };
        if !self.world.plan.is_checked {
            return Some(receipt);
        }
        self.world.happened(&format!(
            "run {run}: {kind:?} of {viewer} {session} on {stage} {:?} at {}",
            labels.values(),
            receipt.at()
        ));
        self.world.digest(|hasher, now_ms| hasher.event(now_ms, run, seat, kind, receipt.at()));
        let event = {
            let mut truth = self.world.truth.lock();
            let seat = truth.seat(seat);
            truth.record_event(seat, kind, receipt.at(), run)
        };
        let (world, waits) = (self.world.clone(), receipt.clone());
        self.waiting.lock().spawn(async move {
            if waits.wait().await.is_err() {
                return;
            }
            let is_in_log = world.truth.lock().acknowledged(event, run, world.now_ms());
            if let (Err(why), false) = (is_in_log, world.plan.is_acknowledged_early) {
                world.violated(why);
            }
        });
        Some(receipt)
    }
}

/// Outcome of a request.
enum SendOutcome {
    /// A node accepted the event.
    Accepted {
        /// Time to the next beat.
        next_ms: u64,
    },
    /// No node has answered, or the node refused the event for now.
    Unanswered,
    /// Another session of the viewer has taken the session's place.
    Displaced,
}

/// A session's id; empty for players that send none.
fn session() -> String {
    match rng::random_range(0..4) {
        0 => String::new(),
        _ => format!("tab-{}", rng::random_range(0..1_000_000)),
    }
}
