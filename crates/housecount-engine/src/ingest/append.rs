//! The committer of a lane: appends the lane's batches, one at a time, until the log has them.
//!
//! A committer retries an append that fails until the log takes it. The events carry their own
//! times. So an append that was applied after all, or a minute late, does not change their meaning.
//! The committer gives up and counts events that are older than `lateness_max`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use housecount_backend::clock::mono_ms;
use housecount_backend::retry::backoff::Backoff;
use housecount_backend::threads::blocking::run_blocking;
use housecount_core::batch::Batch;
use housecount_core::event::EventRef;
use housecount_core::limits::FOLD_INLINE_EVENTS_MAX;
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use super::lane::Lane;
use super::{IngestError, IngestShared};
use crate::hub::{Hub, LabelPlaces};
use crate::traced::TARGET;

/// Longest wait before the first retry of an append. Later waits are up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Time for which a stopping node still tries to append, over all its batches.
const STOP_WAIT_MS_MAX: u64 = 7_000;

/// Appends the batches of one lane.
pub(super) struct Appender {
    pub(super) partition: u16,
    pub(super) lane: Arc<Lane>,
    pub(super) shared: Arc<IngestShared>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) outage: AppendOutage,
}

/// State of a committer while the log refuses its batches. With it, an outage is one line in the
/// program's log when it begins, and one when it ends.
#[derive(Debug, Default)]
pub(super) struct AppendOutage {
    is_failing: bool,
    /// Events given up since the outage began.
    given_up: usize,
    /// Time at which this committer first saw that the node stops.
    stopping_since_ms: Option<u64>,
}

impl Appender {
    /// Runs until the lane is closed, and all of its events are appended or given up.
    pub(super) async fn run(mut self) {
        let lane = self.lane.clone();
        let writes = self.shared.hub.writes().clone();
        while let Some(batch) = lane.next(self.shared.linger).await {
            writes.set_waiting(self.partition, Some(lane.waiting_since_ms()));
            let batch = Arc::new(batch);
            let is_taken = lane.run_expiring_waiters(self.append(&batch)).await;
            writes.set_waiting(self.partition, None);
            self.shared.release_waiting(batch.len());
            let batch = Arc::into_inner(batch).unwrap_or_default();
            let waited = lane.finish_batch(
                batch,
                if is_taken { Ok(()) } else { Err(IngestError::AppendPending) },
            );
            if waited.as_millis() as u64 >= self.shared.ttl_ms / 2 {
                // Other nodes may have pruned ids meanwhile that the waiting batches would name by
                // handle only.
                self.shared.hub.relog_ids_from(self.shared.clock.now().unwrap_or_default());
            }
            if is_taken {
                self.shared.metrics.ack_latency.observe(waited.as_secs_f64());
            }
        }
    }

    /// Appends events until the log has them, and folds them. Returns false if it gave some up.
    async fn append(&mut self, batch: &Arc<Batch>) -> bool {
        let mut kept: Option<Arc<Batch>> = None;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let events = kept.as_ref().unwrap_or(batch);
            if self.append_in_time(events, &mut backoff).await {
                self.recover();
                return kept.is_none();
            }
            // The rest is still wanted. Its requests have long been answered that they should
            // retry.
            let younger = if self.shutdown_deadline_passed() {
                Batch::default()
            } else {
                self.retain_recent(events)
            };
            self.give_up(events.len() - younger.len());
            if younger.is_empty() {
                return false;
            }
            kept = Some(Arc::new(younger));
        }
    }

    /// Appends events until the log has them, and folds them. Returns false once some are too old,
    /// or a stopping node is out of time.
    async fn append_in_time(&mut self, events: &Arc<Batch>, backoff: &mut Backoff) -> bool {
        let shared = self.shared.clone();
        let IngestShared { log, hub, clock, metrics, .. } = &*shared;
        let refs: Vec<EventRef<'_>> = events.iter().collect();
        // Names sessions by handle where the log knows their ids, and by full ids once the log may
        // have lost them.
        let mut key = hub.key(self.partition);
        let labels = hub.label_places(refs.len());
        let (mut entries, mut record) = self.encode(events, &refs, &labels).await;
        metrics.batch_events.observe(events.len() as f64);
        let (mut was_tried, mut are_preceding_appended) = (false, false);
        loop {
            if self.shutdown_deadline_passed()
                || was_tried && self.is_older_than(events, shared.lateness_max_ms)
            {
                return false;
            }
            was_tried = true;
            if !are_preceding_appended && self.is_older_than(events, shared.ttl_ms) {
                are_preceding_appended = self.append_preceding_beats(&refs).await;
            }
            let (sent, sent_ms) = (Instant::now(), mono_ms());
            let span = tracing::debug_span!(target: TARGET, "append", partition = i64::from(self.partition), events = events.len() as i64);
            match log.append(self.partition, record.clone()).instrument(span).await {
                Ok(_) if key != hub.key(self.partition) => {
                    // The log has lost data meanwhile, so no reader could resolve these handles.
                    key = hub.key(self.partition);
                    entries = hub.full_entries(&refs, &labels);
                    record = Bytes::from(record::encode(&entries));
                    continue;
                }
                Ok(position) => {
                    metrics.append.observe(sent.elapsed().as_secs_f64());
                    clock.observe(sent_ms, position.at);
                    self.fold(&mut entries, record, position.at).await;
                    shared.acknowledged.record_append(self.partition, position);
                    return true;
                }
                Err(error) => {
                    metrics.append_failures.inc();
                    entries = hub.full_entries(&refs, &labels);
                    record = Bytes::from(record::encode(&entries));
                    if !std::mem::replace(&mut self.outage.is_failing, true) {
                        tracing::warn!(%error, partition = self.partition, "append to the log failed; will retry");
                    }
                }
            }
            backoff.wait().await;
        }
    }

    /// Encodes a batch as a record. A large batch is encoded on a blocking thread, because the
    /// worker's other connections have already waited for as long as they may. The returned list of
    /// entries is then empty.
    async fn encode<'a>(
        &self,
        events: &Arc<Batch>,
        refs: &[EventRef<'a>],
        labels: &'a LabelPlaces,
    ) -> (Vec<RecordEntry<'a>>, Bytes) {
        let (hub, now) = (&self.shared.hub, self.shared.clock.now().unwrap_or_default());
        if refs.len() > FOLD_INLINE_EVENTS_MAX {
            let (hub, events) = (hub.clone(), events.clone());
            let encoded = run_blocking(move || {
                let refs: Vec<EventRef<'_>> = events.iter().collect();
                let labels = hub.label_places(refs.len());
                Bytes::from(record::encode(&hub.record_entries(&refs, now, &labels)))
            });
            if let Ok(record) = encoded.await {
                return (Vec::new(), record);
            }
        }
        let entries = hub.record_entries(refs, now, labels);
        let record = Bytes::from(record::encode(&entries));
        (entries, record)
    }

    /// Folds a record that the log has, from `entries`. If these are empty, folds from the record,
    /// on a blocking thread.
    async fn fold(&self, entries: &mut [RecordEntry<'_>], record: Bytes, at: UnixMs) {
        let (hub, partition) = (self.shared.hub.clone(), self.partition);
        if entries.is_empty() {
            let (its_hub, its_record) = (hub.clone(), record.clone());
            let folded = run_blocking(move || fold_record(&its_hub, partition, &its_record, at));
            if folded.await.is_err() {
                fold_record(&hub, partition, &record, at);
            }
            return;
        }
        record::clamp_future_times(entries, at);
        hub.apply_record(partition, entries, at);
    }

    /// Counts events that the committer gave up. The first of an outage are also logged.
    fn give_up(&mut self, events: usize) {
        self.shared.metrics.events_expired.inc_by(events as u64);
        if self.outage.given_up == 0 && events > 0 {
            let partition = self.partition;
            tracing::error!(
                partition,
                "events given up: the log accepted no append within lateness_max, or before the stop"
            );
        }
        self.outage.given_up += events;
    }

    /// Ends an outage, if there was one: the log accepts appends again.
    fn recover(&mut self) {
        if std::mem::take(&mut self.outage.is_failing) {
            let given_up = std::mem::take(&mut self.outage.given_up);
            tracing::info!(partition = self.partition, given_up, "the log accepts appends again");
        }
    }

    /// Appends again the beats that precede late events in their sessions. By the time these events
    /// are in the log, a node that reads it may no longer find those beats. It could then not prove
    /// the time between. Returns whether the append succeeded; it may be left out.
    async fn append_preceding_beats(&self, events: &[EventRef<'_>]) -> bool {
        let hub = &self.shared.hub;
        let before = hub.preceding_beats(events);
        let labels = hub.label_places(before.len());
        let before = hub.full_entries(&before, &labels);
        before.is_empty()
            || self
                .shared
                .log
                .append(self.partition, Bytes::from(record::encode(&before)))
                .await
                .is_ok()
    }

    /// Whether a stopping node has no time left.
    fn shutdown_deadline_passed(&mut self) -> bool {
        if *self.stop.borrow() {
            self.outage.stopping_since_ms.get_or_insert_with(mono_ms);
        }
        self.outage
            .stopping_since_ms
            .is_some_and(|since| mono_ms().saturating_sub(since) > STOP_WAIT_MS_MAX)
    }

    /// Returns the events that are not older than `lateness_max`.
    fn retain_recent(&self, events: &Batch) -> Batch {
        let now = self.shared.clock.now().unwrap_or_default();
        events.since(now.minus(self.shared.lateness_max_ms))
    }

    fn is_older_than(&self, events: &Batch, ms: u64) -> bool {
        let oldest = events.oldest().unwrap_or_default();
        self.shared.clock.now().unwrap_or_default().since(oldest) > ms
    }
}

/// Folds a record from its bytes, as other nodes do.
fn fold_record(hub: &Hub, partition: u16, record: &[u8], at: UnixMs) {
    if let Ok(mut entries) = record::decode(record) {
        record::clamp_future_times(&mut entries, at);
        hub.apply_record(partition, &entries, at);
    }
}
