//! Ingest: many requests, one append. Events are stamped, and gathered for up to `linger`. They are
//! appended to the log as one record per partition, then folded into this node's own state. Only
//! then are they acknowledged.
//!
//! Each partition has one lane, which all workers fill. So a node with many cores makes as few
//! appends as a node with one. A lane has one append under way; while that waits, the next batch
//! gathers. The waiting events are bounded by number: beyond `WAITING_EVENTS_MAX` the answer is
//! `QueueFull`. They are bounded by age: beyond `lateness_max` they are given up and counted.

mod append;
mod coalesce;
mod completion;
mod intake;
mod lane;
mod lane_state;
mod own_appends;

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::SharedClock;
use housecount_backend::log::Log;
use housecount_core::beat_schedule::next_gap_ms;
use housecount_core::event::{EventKind, EventRef, Ids, Seat, SessionLabels, partition_of};
use housecount_core::limits::WAITING_EVENTS_MAX;
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::time::UnixMs;
use housecount_metrics::{KindLabel, Metrics};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::append::Appender;
use self::completion::BatchCompletion;
pub use self::intake::Intake;
use self::lane::Lane;
pub use self::own_appends::OwnAppends;
use crate::hub::Hub;
use housecount_backend::workers::{WorkerRuntime, Workers};

/// Reason why events were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestError {
    /// The node has not read the log's clock yet, so it cannot stamp events.
    Starting,
    /// Too many events wait for the log. These were not enqueued.
    QueueFull,
    /// The log has not taken the events in time. They are appended later with their true times,
    /// unless the node gives them up.
    AppendPending,
    /// The log refuses events, and this one relied on another that the log has. It was not
    /// enqueued.
    NotTaken,
    /// This node is stopping. These events were not enqueued.
    Stopping,
}

/// State that committers and submitters share.
#[derive(Debug)]
struct IngestShared {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    acknowledged: Arc<OwnAppends>,
    linger: Duration,
    /// Whether events that may change counts are folded when they come (`ack = "memory"`).
    /// Otherwise they are folded only when the log has them.
    folds_on_receipt: bool,
    lateness_max_ms: u64,
    ttl_ms: u64,
    interval_ms: u64,
}

impl IngestShared {
    /// Reserves room for events, which count as waiting from here on.
    fn admit(&self, events: usize) -> Result<(), IngestError> {
        let before = self.metrics.append_queue.inc_by(events as i64);
        if before + events as i64 <= WAITING_EVENTS_MAX as i64 {
            return Ok(());
        }
        self.release_waiting(events);
        self.metrics.events_shed.inc_by(events as u64);
        Err(IngestError::QueueFull)
    }

    /// Releases the room of events that wait no longer.
    fn release_waiting(&self, events: usize) {
        self.metrics.append_queue.dec_by(events as i64);
    }
}

/// An event of a player before the node stamps it with a time. Its ids have been checked.
#[derive(Clone, Copy, Debug)]
pub struct UnstampedEvent<'a> {
    /// Heartbeat, leave or displacement.
    pub kind: EventKind,
    /// The session it is about.
    pub ids: Ids<'a>,
    /// Labels of a session that may be a new one; none for a beat of any other session.
    pub labels: SessionLabels<'a>,
}

impl<'a> UnstampedEvent<'a> {
    /// Returns an event of a seat.
    #[must_use]
    pub fn of(kind: EventKind, seat: &'a Seat) -> UnstampedEvent<'a> {
        let (stage, viewer, session) =
            (seat.stage.as_str(), seat.viewer.as_str(), seat.session.as_str());
        let ids = Ids { stage, viewer, session };
        UnstampedEvent { kind, ids, labels: SessionLabels::NONE }
    }

    fn at(&self, at: UnixMs) -> EventRef<'a> {
        EventRef { labels: self.labels, at, kind: self.kind, ids: self.ids }
    }
}

/// A receipt of enqueued events. They are acknowledged only once [`PendingAck::wait`] succeeds.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PendingAck {
    at: UnixMs,
    /// Time after `at` at which the session is due to beat again under no load. Zero for many
    /// events at once.
    gap_ms: u64,
    /// `None` where the request does not wait for the log.
    completion: Option<Arc<BatchCompletion>>,
    /// Whether the beat has no event of its own.
    is_coalesced: bool,
}

impl PendingAck {
    /// Returns the time that the events were stamped with; of several, the last.
    #[must_use]
    pub fn at(&self) -> UnixMs {
        self.at
    }

    /// Returns how long after [`PendingAck::at`] the session is due to beat again under no load.
    #[must_use]
    pub fn gap_ms(&self) -> u64 {
        self.gap_ms
    }

    /// Whether the beat has no event of its own, and is answered by its session's last one.
    #[must_use]
    pub fn is_coalesced(&self) -> bool {
        self.is_coalesced
    }

    /// Returns a receipt that waits until the function beside it is called, for tests of callers
    /// that wait.
    #[cfg(any(test, feature = "test-util"))]
    pub fn unresolved() -> (PendingAck, impl FnOnce()) {
        let round = BatchCompletion::new();
        let ack = PendingAck { completion: Some(round.clone()), ..PendingAck::default() };
        (ack, move || round.complete(Ok(())))
    }

    /// Returns the receipt of a coalesced beat that waits for nothing, for tests.
    #[cfg(any(test, feature = "test-util"))]
    pub fn of_coalesced() -> PendingAck {
        PendingAck { is_coalesced: true, ..PendingAck::default() }
    }

    /// Whether the outcome of the events is known.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.completion.as_ref().is_none_or(|round| round.is_complete())
    }

    /// Waits until the events are acknowledged.
    ///
    /// # Errors
    /// Returns [`IngestError::AppendPending`] if the log has not taken the events in time, or the
    /// node gave them up. An event that was not given up is still counted later.
    pub async fn wait(&self) -> Result<(), IngestError> {
        match &self.completion {
            Some(round) => round.wait().await,
            None => Ok(()),
        }
    }
}

/// The moment at which a heartbeat is answered.
///
/// ```
/// use housecount_engine::{Ack, Settings};
///
/// // A heartbeat is answered sooner, and is lost if the process ends before the log has it.
/// let settings = Settings { ack: Ack::Memory, ..Settings::default() };
/// assert_ne!(settings.ack, Settings::default().ack);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Answered when the log has it.
    Log,
    /// Answered when this node has it.
    Memory,
}

/// Settings of ingest.
#[derive(Clone, Copy, Debug)]
pub struct IngestSettings {
    /// `ack`
    pub ack: Ack,
    /// `linger`
    pub linger_ms: u64,
    /// `lateness_max`
    pub lateness_max_ms: u64,
    /// `ttl`
    pub ttl_ms: u64,
    /// `interval`
    pub interval_ms: u64,
}

/// Entry point of events: stamps them, batches them by partition, and acknowledges.
#[derive(Debug)]
pub struct Ingest {
    shared: Arc<IngestShared>,
    ack: Ack,
    /// Lanes, by partition.
    lanes: Vec<Arc<Lane>>,
    accepted: AcceptedEvents,
}

/// Counters of accepted events, by kind.
#[derive(Debug)]
struct AcceptedEvents {
    beats: Counter,
    leaves: Counter,
    displacements: Counter,
}

impl AcceptedEvents {
    fn new(metrics: &Metrics) -> AcceptedEvents {
        let counter = |kind| metrics.events.get_or_create(&KindLabel { kind }).clone();
        AcceptedEvents {
            beats: counter("beat"),
            leaves: counter("leave"),
            displacements: counter("displace"),
        }
    }

    fn of(&self, kind: EventKind) -> &Counter {
        match kind {
            EventKind::Beat => &self.beats,
            EventKind::Leave => &self.leaves,
            EventKind::Displace => &self.displacements,
        }
    }
}

/// The committers, to be awaited when the node stops.
pub type Appenders = JoinSet<()>;

impl Ingest {
    /// Starts a committer per partition, on a worker's runtime. `stop` signals that the node stops.
    /// A committer ends when all of its events are appended or given up.
    #[must_use]
    #[allow(clippy::too_many_arguments)] // the dependencies, passed once
    pub fn start(
        log: Arc<dyn Log>,
        hub: Arc<Hub>,
        clock: Arc<SharedClock>,
        metrics: Arc<Metrics>,
        acknowledged: &Arc<OwnAppends>,
        settings: &IngestSettings,
        workers: &Workers,
        stop: &watch::Receiver<bool>,
    ) -> (Ingest, Appenders) {
        let partitions = log.partitions();
        let accepted = AcceptedEvents::new(&metrics);
        let shared = Arc::new(IngestShared {
            log,
            hub,
            clock,
            metrics,
            acknowledged: acknowledged.clone(),
            linger: Duration::from_millis(settings.linger_ms),
            folds_on_receipt: settings.ack == Ack::Memory,
            lateness_max_ms: settings.lateness_max_ms,
            ttl_ms: settings.ttl_ms,
            interval_ms: settings.interval_ms,
        });
        let mut committers = JoinSet::new();
        let homes: Arc<[WorkerRuntime]> = workers.runtimes().into();
        let lane = |partition: u16| {
            // Where requests do not wait for the append, they do not show which connections may
            // join.
            let is_waited_on = settings.ack == Ack::Log;
            let moderation = workers.wake_coalescer();
            let lane = Arc::new(Lane::new(partition, homes.clone(), is_waited_on, moderation));
            let committer = Appender {
                partition,
                lane: lane.clone(),
                shared: shared.clone(),
                stop: stop.clone(),
                outage: append::AppendOutage::default(),
            };
            // On a worker, so that at least half of the waiting requests are on the same thread.
            let workers = homes.get(1..).filter(|workers| !workers.is_empty()).unwrap_or(&homes);
            if let Some(home) = workers.get(usize::from(partition) % workers.len().max(1)) {
                committers.spawn_on(committer.run(), &home.runtime);
            }
            lane
        };
        let lanes = (0..partitions).map(lane).collect();
        (Ingest { shared, ack: settings.ack, lanes, accepted }, committers)
    }

    /// Enqueues events of players, stamped with the log's time, and waits until they are
    /// acknowledged.
    ///
    /// # Errors
    /// Returns an [`IngestError`]: `Starting`, `QueueFull` or `Stopping` from enqueueing, or
    /// `AppendPending` from the wait. After `AppendPending` the events are still counted later,
    /// unless the node gives them up.
    pub async fn submit(&self, events: Vec<(EventKind, Seat)>) -> Result<(), IngestError> {
        let borrowed: Vec<UnstampedEvent<'_>> =
            events.iter().map(|(kind, seat)| UnstampedEvent::of(*kind, seat)).collect();
        for ack in self.enqueue_all(&borrowed)? {
            ack.wait().await?;
        }
        Ok(())
    }

    /// Enqueues an event of a player, stamped with the log's time. `is_counted` means that its
    /// session is counted already. Then a beat changes no count, and can be folded with others when
    /// the log has them.
    ///
    /// # Errors
    /// Returns [`IngestError::Starting`], [`IngestError::QueueFull`] or [`IngestError::Stopping`].
    /// The event was not enqueued.
    pub fn enqueue(
        &self,
        unstamped: UnstampedEvent<'_>,
        is_counted: bool,
    ) -> Result<PendingAck, IngestError> {
        let shared = &self.shared;
        let event =
            unstamped.at(shared.clock.stamp(unstamped.kind).ok_or(IngestError::Starting)?);
        shared.admit(1)?;
        let mut round = None;
        if !self.lane(event.ids.viewer).push(&[event], true, |its| round = Some(its)) {
            shared.release_waiting(1);
            return Err(IngestError::Stopping);
        }
        self.accepted.of(event.kind).inc();
        if shared.folds_on_receipt && !(is_counted && event.kind == EventKind::Beat) {
            shared.hub.apply([event]);
        }
        let gap_ms = next_gap_ms(shared.interval_ms, event.ids.viewer, event.ids.session, event.at);
        let round = round.filter(|_| !self.acks_from_memory());
        Ok(PendingAck { at: event.at, gap_ms, completion: round, is_coalesced: false })
    }

    /// Enqueues events of many players. Returns one receipt per batch that they became part of.
    ///
    /// # Errors
    /// Returns [`IngestError::Starting`] or [`IngestError::QueueFull`]; no event was enqueued.
    /// Returns [`IngestError::Stopping`] if the node is stopping; some events may have been
    /// enqueued.
    pub fn enqueue_all(
        &self,
        events: &[UnstampedEvent<'_>],
    ) -> Result<Vec<PendingAck>, IngestError> {
        let mut intake = self.begin(events.len())?;
        intake.add(events)?;
        Ok(intake.finish())
    }

    /// Reserves room for this many events of one request, which are then enqueued in slices.
    ///
    /// # Errors
    /// Returns [`IngestError::QueueFull`] if the events do not all fit.
    pub fn begin(&self, events: usize) -> Result<Intake<'_>, IngestError> {
        self.shared.admit(events)?;
        Ok(Intake { ingest: self, left: events, at: UnixMs::ZERO, rounds: Vec::new() })
    }

    fn partition(&self, viewer: &str) -> u16 {
        partition_of(viewer, self.lanes.len() as u16)
    }

    fn lane(&self, viewer: &str) -> &Lane {
        &self.lanes[usize::from(self.partition(viewer))]
    }

    /// Whether requests are answered before the log has their events. While the log does not answer
    /// or refuses writes, all requests wait for it, whatever `ack` is. The node would otherwise
    /// report success to players that no other node can count.
    fn acks_from_memory(&self) -> bool {
        self.ack == Ack::Memory && self.shared.hub.is_answered() || is_on(Mutant::AckEarly)
    }

    /// Returns how full the queue for the log is, from 0 to 1.
    #[must_use]
    pub fn queue_utilization(&self) -> f64 {
        self.shared.metrics.append_queue.get() as f64 / WAITING_EVENTS_MAX as f64
    }

    /// Closes all lanes to new events. The committers end when their batches are done.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }
}
