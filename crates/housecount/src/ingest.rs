//! Ingest: many requests, one append. Events are stamped, gathered for up to `linger`, appended to the log as
//! one record a partition, folded into this node's own state, and only then acknowledged.
//!
//! A partition has one committer and one append under way: while it waits, the next batch gathers. An append
//! that fails is tried again until the log takes it: the events carry their own times, so that one which was
//! applied after all, or is applied a minute late, says the same thing. What waits is bounded by number
//! (`WAITING_EVENTS_MAX`, then `Full`) and by age (`lateness_max`, then given up and counted).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use housecount_core::event::{Event, EventRef, Kind, Seat, partition_of};
use housecount_core::limits::{ACK_WAIT_MS_MAX, RECORD_EVENTS_MAX, WAITING_EVENTS_MAX};
use housecount_core::record::{self, Said};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock::{SharedClock, mono_ms};
use crate::config::Ack;
use crate::hub::Hub;
use crate::log::{Log, Position};
use crate::metrics::{KindLabel, Metrics};

/// The first and the longest wait before an append is tried again.
const RETRY_MS_FIRST: u64 = 20;
const RETRY_MS_MAX: u64 = 1_000;
/// How long a stopping node goes on trying to append, all in all.
const STOP_WAIT_MS_MAX: u64 = 7_000;

/// Why events were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The log has not been heard yet, so nobody knows what time it is.
    Starting,
    /// Too many events wait for the log. These were not taken.
    Full,
    /// The log has not taken them in time. They wait on, and will be appended with their true times.
    NotYet,
    /// This node is stopping. These were not taken.
    Stopping,
}

/// The last record of each partition that was acknowledged to this node. The follower must find it in the log; if it
/// doesn't, the log has lost it.
#[derive(Debug)]
pub struct Acknowledged(Mutex<Vec<Position>>);

impl Acknowledged {
    /// Nothing yet.
    #[must_use]
    pub fn new(partitions: u16) -> Acknowledged {
        Acknowledged(Mutex::new(vec![Position::START; usize::from(partitions)]))
    }

    /// The last one of a partition.
    pub fn last(&self, partition: u16) -> Position {
        self.0.lock().get(usize::from(partition)).copied().unwrap_or_default()
    }

    /// The last one of a partition is this.
    pub fn set(&self, partition: u16, position: Position) {
        if let Some(last) = self.0.lock().get_mut(usize::from(partition)) {
            *last = position;
        }
    }
}

/// What committers and submitters share.
#[derive(Debug)]
struct Shared {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    acknowledged: Arc<Acknowledged>,
    waiting: AtomicUsize,
    linger: Duration,
    lateness_max_ms: u64,
    ttl_ms: u64,
}

impl Shared {
    fn note_waiting(&self, events: usize) {
        self.metrics.waiting.set(i64::try_from(events).unwrap_or(i64::MAX));
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Ingest {
    shared: Arc<Shared>,
    ack: Ack,
    /// One a partition; none once the node is stopping.
    lanes: RwLock<Vec<mpsc::UnboundedSender<Submission>>>,
}

/// Events of one request for one partition, and whom to tell when the log has them.
#[derive(Debug)]
struct Submission {
    events: Vec<Event>,
    taken: oneshot::Sender<()>,
}

/// The committers, to be awaited when the node stops.
pub type Committers = JoinSet<()>;

impl Ingest {
    /// Starts a committer a partition. `stop` tells them that the node stops; they end when all that was
    /// taken is appended, or given up.
    #[must_use]
    pub fn start(
        log: Arc<dyn Log>,
        hub: Arc<Hub>,
        clock: Arc<SharedClock>,
        metrics: Arc<Metrics>,
        acknowledged: &Arc<Acknowledged>,
        settings: &crate::config::Settings,
        stop: &watch::Receiver<bool>,
    ) -> (Ingest, Committers) {
        let partitions = log.partitions();
        let shared = Arc::new(Shared {
            log,
            hub,
            clock,
            metrics,
            acknowledged: acknowledged.clone(),
            waiting: AtomicUsize::new(0),
            linger: Duration::from_millis(settings.linger_ms),
            lateness_max_ms: settings.lateness_max_ms,
            ttl_ms: settings.rules.ttl_ms,
        });
        let mut committers = JoinSet::new();
        let lanes = (0..partitions).map(|partition| {
            let (lane, inbox) = mpsc::unbounded_channel();
            let committer =
                Committer { partition, shared: shared.clone(), stop: stop.clone(), stopping_since_ms: None };
            committers.spawn(committer.run(inbox));
            lane
        });
        let lanes = RwLock::new(lanes.collect());
        (Ingest { shared, ack: settings.ack, lanes }, committers)
    }

    /// Takes in what players said, stamped with the log's time, and waits until it is acknowledged.
    ///
    /// # Errors
    /// See [`Refused`]. After `NotYet` the events will still be counted.
    pub async fn submit(&self, said: Vec<(Kind, Seat)>) -> Result<(), Refused> {
        let waits = self.enqueue(said)?;
        let wait_until = Instant::now() + Duration::from_millis(ACK_WAIT_MS_MAX);
        for wait in waits {
            match timeout_at(wait_until, wait).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Refused::NotYet),
            }
        }
        Ok(())
    }

    /// How much of what may wait for the log does, from 0 to 1.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.shared.waiting.load(Ordering::Relaxed) as f64 / WAITING_EVENTS_MAX as f64
    }

    /// Takes in nothing more; the committers end when they are through.
    pub fn close(&self) {
        self.lanes.write().clear();
    }

    /// Hands the events to their committers. What is to be awaited before they count as acknowledged.
    fn enqueue(&self, said: Vec<(Kind, Seat)>) -> Result<Vec<oneshot::Receiver<()>>, Refused> {
        let shared = &self.shared;
        let lanes = self.lanes.read();
        if lanes.is_empty() {
            return Err(Refused::Stopping);
        }
        let count = said.len();
        if shared.waiting.load(Ordering::Relaxed) + count > WAITING_EVENTS_MAX {
            shared.metrics.shed.inc_by(count as u64);
            return Err(Refused::Full);
        }
        let mut by_lane: Vec<Vec<Event>> = vec![Vec::new(); lanes.len()];
        for (kind, seat) in said {
            let at = shared.clock.stamp(kind).ok_or(Refused::Starting)?;
            let label = if kind == Kind::Beat { "beat" } else { "leave" };
            shared.metrics.events.get_or_create(&KindLabel { kind: label }).inc();
            let lane = partition_of(seat.viewer.as_str(), shared.log.partitions());
            by_lane[usize::from(lane)].push(Event { at, kind, seat });
        }
        shared.note_waiting(shared.waiting.fetch_add(count, Ordering::Relaxed) + count);
        if self.ack == Ack::Memory {
            let events = by_lane.iter().flatten().map(Event::as_ref);
            shared.hub.apply(events, shared.clock.now().unwrap_or_default());
        }
        let mut waits = Vec::new();
        for (lane, events) in lanes.iter().zip(by_lane).filter(|(_, events)| !events.is_empty()) {
            let (taken, wait) = oneshot::channel();
            // The committer ends only after the lanes are gone.
            let _ = lane.send(Submission { events, taken });
            if self.ack == Ack::Log {
                waits.push(wait);
            }
        }
        Ok(waits)
    }
}

/// Appends one partition's events.
struct Committer {
    partition: u16,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    /// When this committer first saw that the node stops.
    stopping_since_ms: Option<u64>,
}

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    taken: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, submission: Submission) {
        self.events.extend(submission.events);
        self.taken.push(submission.taken);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= RECORD_EVENTS_MAX
    }
}

impl Committer {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Submission>) {
        while let Some(first) = inbox.recv().await {
            let mut batch = Batch::default();
            batch.add(first);
            self.gather(&mut inbox, &mut batch).await;
            self.commit(batch).await;
        }
    }

    /// Lets others join for up to `linger`, or until the batch is full. While idle there is no timer at all.
    async fn gather(&self, inbox: &mut mpsc::UnboundedReceiver<Submission>, batch: &mut Batch) {
        let until = Instant::now() + self.shared.linger;
        while !batch.is_full() {
            match inbox.try_recv() {
                Ok(submission) => batch.add(submission),
                Err(mpsc::error::TryRecvError::Disconnected) => return,
                Err(mpsc::error::TryRecvError::Empty) => match timeout_at(until, inbox.recv()).await {
                    Ok(Some(submission)) => batch.add(submission),
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }

    async fn commit(&mut self, batch: Batch) {
        let count = batch.events.len();
        let mut all_taken = true;
        for chunk in batch.events.chunks(RECORD_EVENTS_MAX) {
            all_taken &= self.append(chunk).await;
        }
        let before = self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
        self.shared.note_waiting(before - count);
        if all_taken {
            // Whoever has stopped waiting is told nothing.
            for taken in batch.taken {
                let _ = taken.send(());
            }
        }
    }

    /// Appends events until the log has them, and folds them. False if they were given up.
    async fn append(&mut self, events: &[Event]) -> bool {
        let shared = self.shared.clone();
        let Shared { log, hub, clock, metrics, .. } = &*shared;
        let refs: Vec<EventRef<'_>> = events.iter().map(Event::as_ref).collect();
        // With handles where the log knows the ids; whole once it may have lost them.
        let mut said = hub.say(&refs, clock.now().unwrap_or_default());
        let mut record = Bytes::from(record::encode(&said));
        metrics.batch_events.observe(events.len() as f64);
        let mut retry_ms = RETRY_MS_FIRST;
        let (mut was_tried, mut is_told_before) = (false, false);
        loop {
            let is_out_of_time = self.is_out_of_time();
            if is_out_of_time || was_tried && self.is_older_than(events, shared.lateness_max_ms) {
                let kept = if is_out_of_time { Vec::new() } else { self.young_enough(events) };
                let given_up = events.len() - kept.len();
                metrics.late.inc_by(given_up as u64);
                tracing::error!(events = given_up, "events given up: the log was away for too long");
                if !kept.is_empty() {
                    // These are still wanted. Their requests have long been told to come back.
                    Box::pin(self.append(&kept)).await;
                }
                return false;
            }
            was_tried = true;
            if !is_told_before && self.is_older_than(events, shared.ttl_ms) {
                is_told_before = self.tell_before(&refs).await;
            }
            let sent_ms = mono_ms();
            match log.append(self.partition, record.clone()).await {
                Ok(position) => {
                    metrics.append_seconds.observe(mono_ms().saturating_sub(sent_ms) as f64 / 1000.0);
                    clock.observe(sent_ms, position.at);
                    hub.take_in(self.partition, &said, position.at);
                    shared.acknowledged.set(self.partition, position);
                    return true;
                }
                Err(error) => {
                    metrics.append_failures.inc();
                    said = refs.iter().copied().map(Said::Event).collect();
                    record = Bytes::from(record::encode(&said));
                    if retry_ms == RETRY_MS_FIRST {
                        tracing::warn!(%error, events = events.len(), "the log did not take a batch; trying again");
                    }
                }
            }
            // A stop cuts the wait short, once.
            let wait = Duration::from_millis(rand::random_range(retry_ms / 2..=retry_ms));
            if *self.stop.borrow() {
                tokio::time::sleep(wait).await;
            } else {
                let _ = timeout(wait, self.stop.changed()).await;
            }
            retry_ms = (retry_ms * 2).min(RETRY_MS_MAX);
        }
    }

    /// Repeats the beats that late events go on from: by the time these come, a node may read the log that finds those no
    /// longer there, and could not prove the time between. Whether it is done; it may be left out.
    async fn tell_before(&self, events: &[EventRef<'_>]) -> bool {
        let before: Vec<Said<'_>> =
            self.shared.hub.beats_before(events).into_iter().map(Said::Event).collect();
        before.is_empty()
            || self.shared.log.append(self.partition, Bytes::from(record::encode(&before))).await.is_ok()
    }

    /// Whether a stopping node has no time left.
    fn is_out_of_time(&mut self) -> bool {
        if *self.stop.borrow() {
            self.stopping_since_ms.get_or_insert_with(mono_ms);
        }
        self.stopping_since_ms.is_some_and(|since| mono_ms().saturating_sub(since) > STOP_WAIT_MS_MAX)
    }

    /// Those that are not older than anybody wants.
    fn young_enough(&self, events: &[Event]) -> Vec<Event> {
        let now = self.shared.clock.now().unwrap_or_default();
        events.iter().filter(|event| now.since(event.at) <= self.shared.lateness_max_ms).cloned().collect()
    }

    fn is_older_than(&self, events: &[Event], ms: u64) -> bool {
        let oldest = events.iter().map(|event| event.at).min().unwrap_or_default();
        self.shared.clock.now().unwrap_or_default().since(oldest) > ms
    }
}
