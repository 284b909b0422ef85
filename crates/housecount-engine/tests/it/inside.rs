//! An engine over a log whose faults the test controls. These faults can't be caused from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use housecount_backend::log::{Log, Position};
use housecount_core::event::{EventKind, EventRef, Ids, Seat, SessionLabels};
use housecount_core::fold::HandleKey;
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::limits::{CLOCK_AHEAD_MS_MAX, RECORD_EVENTS_MAX, WAITING_EVENTS_MAX};
use housecount_core::record::{self, RecordEntry};
use housecount_engine::internals::{
    EngineRunner, EngineState, IngestError, UnstampedEvent, default_worker_count,
};
use housecount_engine::{Ack, Rules, Settings};
use housecount_metrics::MetricsFormat;
use housecount_test::timed_test;
use tokio::sync::oneshot;

use crate::support::eventually;
use crate::support::faulty::FaultyLog;

/// An engine that runs until it is dropped.
pub struct Inside {
    pub node: Arc<EngineState>,
    pub log: Arc<FaultyLog>,
    _stop: oneshot::Sender<()>,
}

/// Settings of a served node.
pub fn usual() -> Settings {
    Settings { workers: default_worker_count(), ..Settings::default() }
}

/// Settings with another interval and `ttl`. The grace after a leave is shorter than the `ttl`.
pub fn paced(interval_ms: u64, ttl_ms: u64) -> Settings {
    let leave_grace_ms = usual().rules.leave_grace_ms.min(ttl_ms - 1);
    let rules = Rules { ttl_ms, leave_grace_ms };
    Settings { interval_ms, rules, ..usual() }
}

impl Inside {
    pub async fn ready(log: FaultyLog, settings: Settings) -> Inside {
        let log = Arc::new(log);
        let engine = EngineRunner::new(settings, log.clone(), None);
        let (node, (stop, stopped)) = (engine.state.clone(), oneshot::channel::<()>());
        tokio::spawn(engine.run_alone(async { drop(stopped.await) }));
        eventually("the node is ready", async || node.readiness.not_ready_reason().is_none()).await;
        Inside { node, log, _stop: stop }
    }

    fn viewers(&self) -> u64 {
        self.node.hub.count("s").value.viewers
    }

    pub fn metric(&self, line: &str) -> bool {
        self.node
            .metrics
            .encode(self.node.hub.gauge_values(), MetricsFormat::Text)
            .lines()
            .any(|l| l == line)
    }
}

pub fn test_event(viewer: usize) -> (EventKind, Seat) {
    let seat = Seat {
        stage: StageId::parse("s").unwrap(),
        viewer: ViewerId::parse(&format!("viewer-{viewer}")).unwrap(),
        session: SessionId::unnamed(),
    };
    (EventKind::Beat, seat)
}

#[timed_test(flavor = "multi_thread")]
async fn heartbeats_of_a_moment_share_an_append() {
    let inside = Inside::ready(FaultyLog::default(), Settings { linger_ms: 500, ..usual() }).await;
    let mut submitted = tokio::task::JoinSet::new();
    for n in 0..100 {
        let node = inside.node.clone();
        submitted.spawn(async move { node.ingest.submit(vec![test_event(n)]).await });
    }
    assert!(submitted.join_all().await.iter().all(|s| *s == Ok(())));
    assert_eq!(inside.viewers(), 100);
    assert!(inside.log.appended.load(Ordering::SeqCst) <= 2, "the requests share appends");
}

#[timed_test(flavor = "multi_thread")]
async fn record_events_max_splits_a_batch() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    let many = (0..RECORD_EVENTS_MAX * 2 + 1).map(test_event).collect();
    assert_eq!(inside.node.ingest.submit(many).await, Ok(()));
    assert_eq!(inside.viewers() as usize, RECORD_EVENTS_MAX * 2 + 1);
    assert_eq!(inside.log.appended.load(Ordering::SeqCst), 3);
}

#[timed_test(flavor = "multi_thread")]
async fn an_append_that_fails_is_tried_again() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    inside.log.refused.store(3, Ordering::SeqCst);
    assert_eq!(inside.node.ingest.submit(vec![test_event(1)]).await, Ok(()));
    assert!(inside.metric("housecount_append_failures_total 3"));
    assert_eq!(inside.viewers(), 1);
}

/// The append takes effect, but is answered with a failure. The retry holds the same event, with
/// the same time.
#[timed_test(flavor = "multi_thread")]
async fn a_lost_answer_counts_each_viewer_once() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    inside.log.lying.store(2, Ordering::SeqCst);
    assert_eq!(inside.node.ingest.submit(vec![test_event(1)]).await, Ok(()));
    assert_eq!((inside.viewers(), inside.log.appended.load(Ordering::SeqCst)), (1, 3));
    let tail = inside.log.read(0, Position::START, HandleKey::default()).await.unwrap();
    // The record without events is excluded. The node appends it at its start, to learn whether the
    // log takes appends.
    let events =
        tail.records.iter().map(|(_, r)| record::decode(r).unwrap()).filter(|e| !e.is_empty());
    let times: Vec<_> = events.map(|e| e[0].at()).collect();
    assert!(times.iter().all(|at| *at == times[0]), "{times:?}");
}

#[timed_test(flavor = "multi_thread")]
async fn ack_timeout_ms_ends_a_request_but_not_the_beat() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    inside.log.away.store(true, Ordering::SeqCst);
    assert_eq!(
        inside.node.ingest.submit(vec![test_event(1)]).await,
        Err(IngestError::AppendPending)
    );
    assert_eq!(inside.viewers(), 0);
    inside.log.away.store(false, Ordering::SeqCst);
    eventually("the event is counted", async || inside.viewers() == 1).await;
}

#[timed_test(flavor = "multi_thread")]
async fn waiting_events_max_sheds_what_is_too_much() {
    let inside =
        Inside::ready(FaultyLog::default(), Settings { ack: Ack::Memory, ..usual() }).await;
    inside.log.away.store(true, Ordering::SeqCst);
    let (_, seat) = test_event(1);
    let some = vec![UnstampedEvent::of(EventKind::Beat, &seat); WAITING_EVENTS_MAX / 4];
    let receipt =
        inside.node.ingest.enqueue(UnstampedEvent::of(EventKind::Beat, &seat), false).unwrap();
    for n in 0..4 {
        // No request waits for these, since the log may have been unavailable for too long already.
        let some = if n == 0 { &some[1..] } else { &some };
        assert!(inside.node.ingest.enqueue_all(some).is_ok());
    }
    assert_eq!(inside.node.ingest.submit(vec![test_event(2)]).await, Err(IngestError::QueueFull));
    assert!(inside.metric("housecount_events_shed_total 1"));
    let slowed_ms = inside.node.next_beat_ms(&receipt);
    assert!(slowed_ms > 33_000 && slowed_ms <= 40_000, "players slow down: {slowed_ms}");
    inside.log.away.store(false, Ordering::SeqCst);
    eventually("the queue has room again", async || {
        inside.node.ingest.submit(vec![test_event(2)]).await == Ok(())
    })
    .await;
}

/// Events that change counts are folded at once; other events are folded when the log has them.
#[timed_test(flavor = "multi_thread")]
async fn acknowledged_from_memory_a_viewer_is_counted_at_once() {
    let inside =
        Inside::ready(FaultyLog::default(), Settings { ack: Ack::Memory, ..usual() }).await;
    inside.log.away.store(true, Ordering::SeqCst);
    let (_, seat) = test_event(1);
    let last_beat = || {
        inside.node.hub.fold().lock(housecount_engine::internals::Hold::Look).last_beat(
            seat.stage.as_str(),
            seat.viewer.as_str(),
            seat.session.as_str(),
        )
    };
    let beat = |is_counted| {
        inside
            .node
            .ingest
            .enqueue(UnstampedEvent::of(EventKind::Beat, &seat), is_counted)
            .unwrap()
            .at()
    };
    let first = beat(false);
    assert_eq!((inside.viewers(), last_beat()), (1, Some(first)));
    let mut second = beat(true);
    while second == first {
        second = beat(true);
    }
    assert_eq!(last_beat(), Some(first));
    inside.log.away.store(false, Ordering::SeqCst);
    eventually("the beat is folded", async || last_beat() == Some(second)).await;
    assert_eq!(inside.viewers(), 1);
}

#[timed_test(flavor = "multi_thread")]
async fn lateness_max_gives_up_what_is_too_old() {
    let inside =
        Inside::ready(FaultyLog::default(), Settings { lateness_max_ms: 1_000, ..usual() }).await;
    inside.log.away.store(true, Ordering::SeqCst);
    assert_eq!(
        inside.node.ingest.submit(vec![test_event(1)]).await,
        Err(IngestError::AppendPending)
    );
    eventually("the event is given up and counted", async || {
        inside.metric("housecount_events_expired_total 1")
    })
    .await;
    inside.log.away.store(false, Ordering::SeqCst);
    assert_eq!(inside.node.ingest.submit(vec![test_event(2)]).await, Ok(()));
    assert_eq!(inside.viewers(), 1);
}

#[timed_test(flavor = "multi_thread")]
async fn clock_ahead_ms_max_corrects_a_broken_clock() {
    let inside = Inside::ready(FaultyLog::default(), paced(500, 2_000)).await;
    let now = inside.node.clock.now().unwrap();
    let beat = |viewer, ahead_ms| {
        let at = now.plus(ahead_ms);
        Bytes::from(record::encode(&[RecordEntry::Full(EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer, session: "" },
        })]))
    };
    inside.log.append(0, beat("far", 3_600_000)).await.unwrap();
    inside.log.append(0, beat("near", CLOCK_AHEAD_MS_MAX / 2)).await.unwrap();
    eventually("both viewers are counted", async || inside.viewers() == 2).await;
    eventually("both viewers time out", async || inside.viewers() == 0).await;
}

/// Nodes continue with the time that they had.
#[timed_test(flavor = "multi_thread")]
async fn a_log_whose_clock_is_set_back_stops_nothing() {
    let inside = Inside::ready(FaultyLog::default(), paced(500, 2_000)).await;
    let complete = || inside.node.hub.totals().status.complete;
    assert_eq!(inside.node.ingest.submit(vec![test_event(1)]).await, Ok(()));
    inside.log.behind_ms.store(CLOCK_AHEAD_MS_MAX / 2, Ordering::SeqCst);
    eventually("the viewer times out", async || inside.viewers() == 0).await;
    eventually("counts are complete", async || complete()).await;
}

/// If the log's clock is set back too far, time stands still until the clock is there again. The
/// counts are flagged meanwhile.
#[timed_test(flavor = "multi_thread")]
async fn a_log_whose_clock_is_set_back_too_far_is_waited_for() {
    let inside = Inside::ready(FaultyLog::default(), paced(500, 2_000)).await;
    let complete = || inside.node.hub.totals().status.complete;
    eventually("counts are complete", async || complete()).await;
    inside.log.behind_ms.store(2 * CLOCK_AHEAD_MS_MAX, Ordering::SeqCst);
    eventually("counts are incomplete", async || !complete()).await;
    inside.log.behind_ms.store(0, Ordering::SeqCst);
    eventually("counts are complete again", async || complete()).await;
}

/// Another node that goes by such a clock stamps its events far ahead. They count, but the counts
/// are flagged for a while.
#[timed_test(flavor = "multi_thread")]
async fn counts_are_flagged_while_stamps_are_more_than_clock_ahead_ms_max_ahead() {
    let inside = Inside::ready(FaultyLog::default(), paced(500, 2_000)).await;
    let complete = || inside.node.hub.totals().status.complete;
    eventually("counts are complete", async || complete()).await;
    let now = inside.node.clock.now().unwrap();
    let record = |ahead_ms| {
        let event = EventRef {
            labels: SessionLabels::NONE,
            at: now.plus(ahead_ms),
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer: "v", session: "" },
        };
        Bytes::from(record::encode(&[RecordEntry::Full(event)]))
    };
    inside.log.append(0, record(2 * CLOCK_AHEAD_MS_MAX)).await.unwrap();
    eventually("counts are incomplete", async || !complete()).await;
    assert_eq!(inside.viewers(), 1, "the event is counted");
    eventually("counts are complete again after a ttl", async || complete()).await;
}

/// A server that takes another's place may lack records that other nodes had appended there. They
/// get a second to write them again.
#[timed_test(flavor = "multi_thread")]
async fn time_is_held_back_when_another_server_answers() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    let now = || inside.node.hub.now();
    let began = now();
    eventually("time advances", async || now() > began).await;
    inside.log.moves.fetch_add(1, Ordering::SeqCst);
    let mut before = now();
    let leaps = async || {
        let after = now();
        let leapt_ms = after.since(before);
        before = after;
        // A second, less the poll by which its beginning may be missed.
        leapt_ms >= 900
    };
    eventually("time stands still for a second", leaps).await;
}

#[timed_test(flavor = "multi_thread")]
async fn a_damaged_record_is_counted_and_passed_over() {
    let inside = Inside::ready(FaultyLog::default(), usual()).await;
    inside.log.append(0, Bytes::from_static(b"not a record at all")).await.unwrap();
    assert_eq!(inside.node.ingest.submit(vec![test_event(1)]).await, Ok(()));
    eventually("the record is counted", async || {
        inside.metric("housecount_records_corrupt_total 1")
    })
    .await;
    assert_eq!(inside.viewers(), 1);
}
