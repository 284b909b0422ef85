//! Ingest: many requests, one append. Events are stamped, gathered for up to `linger`, appended to
//! the log as one record a partition, folded into this node's own state, and only then
//! acknowledged.
//!
//! There is a lane a partition, which all workers fill: so a node's appends are as few on many
//! cores as on one. A lane has one append under way: while it waits, the next batch gathers. What
//! waits is bounded by number (`WAITING_EVENTS_MAX`, then `QueueFull`) and by age (`lateness_max`, then
//! given up and counted).

mod append;
mod coalesce;
mod completion;
mod intake;
mod lane;
mod lane_state;
mod own_appends;

use std::sync::Arc;
use std::time::Duration;

use housecount_core::beat_schedule::next_gap_ms;
use housecount_core::event::{EventKind, EventRef, Seat, partition_of};
use housecount_core::limits::WAITING_EVENTS_MAX;
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::time::UnixMs;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::append::Appender;
use self::completion::BatchCompletion;
pub use self::intake::Intake;
use self::lane::Lane;
pub use self::own_appends::{OwnAppends, OwnRecordCheck};
use crate::clock::SharedClock;
use crate::hub::Hub;
use crate::log::Log;
use crate::metrics::{KindLabel, Metrics};
use crate::workers::{WorkerRuntime, Workers};

/// Why events were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngestError {
    /// The log has not been heard yet, so nobody knows what time it is.
    Starting,
    /// Too many events wait for the log. These were not taken.
    QueueFull,
    /// The log has not taken them in time. They wait on, and will be appended with their true
    /// times.
    AppendPending,
    /// The log refuses events, and this one relied on another that it has. It was not taken.
    NotTaken,
    /// This node is stopping. These were not taken.
    Stopping,
}

/// What committers and submitters share.
#[derive(Debug)]
struct IngestShared {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    acknowledged: Arc<OwnAppends>,
    linger: Duration,
    /// Whether what may change counts is folded when it comes (`ack = "memory"`), and not only when
    /// the log has it.
    folds_on_receipt: bool,
    lateness_max_ms: u64,
    ttl_ms: u64,
    interval_ms: u64,
}

impl IngestShared {
    /// Makes room for events, which are counted as waiting from here on.
    fn admit(&self, events: usize) -> Result<(), IngestError> {
        let before = self.metrics.waiting.inc_by(events as i64);
        if before + events as i64 <= WAITING_EVENTS_MAX as i64 {
            return Ok(());
        }
        self.release_waiting(events);
        self.metrics.shed.inc_by(events as u64);
        Err(IngestError::QueueFull)
    }

    /// These wait no longer.
    fn release_waiting(&self, events: usize) {
        self.metrics.waiting.dec_by(events as i64);
    }
}

/// What a player said. Its ids have been checked.
#[derive(Clone, Copy, Debug)]
pub struct UnstampedEvent<'a> {
    /// Heartbeat or leave.
    pub kind: EventKind,
    /// About which stage.
    pub stage: &'a str,
    /// About whom.
    pub viewer: &'a str,
    /// About which session; empty for none.
    pub session: &'a str,
}

impl<'a> UnstampedEvent<'a> {
    /// What was said about a seat.
    #[must_use]
    pub fn of(kind: EventKind, seat: &'a Seat) -> UnstampedEvent<'a> {
        let (stage, viewer, session) =
            (seat.stage.as_str(), seat.viewer.as_str(), seat.session.as_str());
        UnstampedEvent { kind, stage, viewer, session }
    }

    fn at(&self, at: UnixMs) -> EventRef<'a> {
        EventRef {
            at,
            kind: self.kind,
            stage: self.stage,
            viewer: self.viewer,
            session: self.session,
        }
    }
}

/// That events were taken in, to be awaited before they count as acknowledged.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PendingAck {
    at: UnixMs,
    /// How long after that the session is to beat again, if nothing presses; zero for many at once.
    gap_ms: u64,
    /// None where nobody waits for the log.
    completion: Option<Arc<BatchCompletion>>,
    /// That it has no event of its own.
    is_coalesced: bool,
}

impl PendingAck {
    /// The time that they were stamped with; of several, the last.
    #[must_use]
    pub fn at(&self) -> UnixMs {
        self.at
    }

    /// How long after that the session is to beat again, if nothing presses.
    #[must_use]
    pub fn gap_ms(&self) -> u64 {
        self.gap_ms
    }

    /// Whether the beat has no event of its own, and is answered by its session's last one.
    #[must_use]
    pub fn is_coalesced(&self) -> bool {
        self.is_coalesced
    }

    /// One that waits until what is given with it is called: for tests of whoever waits.
    #[cfg(test)]
    pub fn unresolved() -> (PendingAck, impl FnOnce()) {
        let round = BatchCompletion::new();
        let ack = PendingAck { completion: Some(round.clone()), ..PendingAck::default() };
        (ack, move || round.complete(Ok(())))
    }

    /// One of a coalesced beat that waits for nothing: for tests.
    #[cfg(test)]
    pub fn of_coalesced() -> PendingAck {
        PendingAck { is_coalesced: true, ..PendingAck::default() }
    }

    /// Whether it is known what became of them.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.completion.as_ref().is_none_or(|round| round.is_complete())
    }

    /// Waits until the event is acknowledged.
    ///
    /// # Errors
    /// See [`IngestError`]. After `AppendPending` it will still be counted.
    pub async fn wait(&self) -> Result<(), IngestError> {
        match &self.completion {
            Some(round) => round.wait().await,
            None => Ok(()),
        }
    }
}

/// When a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// When the log has it.
    Log,
    /// When this node has it.
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
    /// By partition.
    lanes: Vec<Arc<Lane>>,
    beats: Counter,
    leaves: Counter,
}

/// The committers, to be awaited when the node stops.
pub type Appenders = JoinSet<()>;

impl Ingest {
    /// Starts a committer a partition, on a worker's runtime. `stop` tells them that the node
    /// stops; they end when all that was taken is appended, or given up.
    #[must_use]
    #[allow(clippy::too_many_arguments)] // what they share, once
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
        let counter = |kind| metrics.events.get_or_create(&KindLabel { kind }).clone();
        let (beats, leaves) = (counter("beat"), counter("leave"));
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
            // Where nobody waits for the append, waiting requests say nothing about who may come.
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
            // On a worker, so that half of those who wait, or more, are on the same thread.
            let workers = homes.get(1..).filter(|workers| !workers.is_empty()).unwrap_or(&homes);
            if let Some(home) = workers.get(usize::from(partition) % workers.len().max(1)) {
                committers.spawn_on(committer.run(), &home.runtime);
            }
            lane
        };
        let lanes = (0..partitions).map(lane).collect();
        (Ingest { shared, ack: settings.ack, lanes, beats, leaves }, committers)
    }

    /// Takes in what players said, stamped with the log's time, and waits until it is acknowledged.
    ///
    /// # Errors
    /// See [`IngestError`]. After `AppendPending` the events will still be counted.
    pub async fn submit(&self, events: Vec<(EventKind, Seat)>) -> Result<(), IngestError> {
        let borrowed: Vec<UnstampedEvent<'_>> =
            events.iter().map(|(kind, seat)| UnstampedEvent::of(*kind, seat)).collect();
        for ack in self.enqueue_all(&borrowed)? {
            ack.wait().await?;
        }
        Ok(())
    }

    /// Takes in what a player said, stamped with the log's time. `is_counted` of a session's that
    /// is counted already: its beat changes no count, and can be folded with others when the log
    /// has them.
    ///
    /// # Errors
    /// See [`IngestError`]; it was not taken.
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
        if !self.lane(event.viewer).push(&[event], true, |its| round = Some(its)) {
            shared.release_waiting(1);
            return Err(IngestError::Stopping);
        }
        if event.kind == EventKind::Beat { &self.beats } else { &self.leaves }.inc();
        if shared.folds_on_receipt && !(is_counted && event.kind == EventKind::Beat) {
            shared.hub.apply([event]);
        }
        let gap_ms = next_gap_ms(shared.interval_ms, event.viewer, event.session, event.at);
        let round = round.filter(|_| !self.acks_from_memory());
        Ok(PendingAck { at: event.at, gap_ms, completion: round, is_coalesced: false })
    }

    /// Takes in what many players said. One receipt a batch that it became part of.
    ///
    /// # Errors
    /// See [`IngestError`]; they were not taken, or not all if the node is stopping.
    pub fn enqueue_all(
        &self,
        events: &[UnstampedEvent<'_>],
    ) -> Result<Vec<PendingAck>, IngestError> {
        let mut intake = self.begin(events.len())?;
        intake.add(events)?;
        Ok(intake.finish())
    }

    /// Makes room for so many events of one request, which are taken in slices.
    ///
    /// # Errors
    /// [`IngestError::QueueFull`] if there is no room for all.
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

    /// Whether requests are answered before the log has their events. While the log isn't heard or
    /// refuses writes all wait for it, whatever is set: the node would tell players that all is
    /// well, and no other node could count them.
    fn acks_from_memory(&self) -> bool {
        self.ack == Ack::Memory && self.shared.hub.is_answered() || is_on(Mutant::AckEarly)
    }

    /// How much of what may wait for the log does, from 0 to 1.
    #[must_use]
    pub fn queue_utilization(&self) -> f64 {
        self.shared.metrics.waiting.get() as f64 / WAITING_EVENTS_MAX as f64
    }

    /// Takes in nothing more; the committers end when they are through.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }
}
