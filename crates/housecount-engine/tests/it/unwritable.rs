//! A log that answers reads and refuses writes. Time stands still, no count is complete, no node is
//! ready, and no event is lost.

use std::sync::atomic::{AtomicBool, Ordering};

use housecount_core::event::EventKind;
use housecount_core::limits::ACK_TIMEOUT_MS;
use housecount_engine::internals::{EngineState, IngestError, UnstampedEvent};
use housecount_engine::{Ack, Settings};
use housecount_test::timed_test;

use crate::inside::{Inside, paced, test_event, usual};
use crate::support::eventually;
use crate::support::faulty::FaultyLog;

const TTL_MS: u64 = 2_000;

fn is_complete(node: &EngineState) -> bool {
    node.hub.totals().status.complete
}

fn is_flagged(node: &EngineState) -> bool {
    !is_complete(node)
        && node.not_ready_reason().is_some_and(|why| why.contains("the log has accepted no writes"))
}

/// Waits for two ttl of the log's clock, and asserts that the counts' time stands. Otherwise every
/// viewer would time out.
async fn stands_for_two_ttl(node: &EngineState) {
    let stands_at = node.hub.now();
    let until = stands_at.plus(2 * TTL_MS);
    eventually("two ttl pass", async || node.clock.now().is_some_and(|now| now > until)).await;
    // The read that was under way may still have advanced the time.
    let advanced_ms = node.hub.now().since(stands_at);
    assert!(advanced_ms < TTL_MS / 2, "time advanced by {advanced_ms} ms");
    assert!(is_flagged(node), "{:?}", node.hub.totals());
    assert!(
        node.hub.gauge_values().log_lag_ms >= TTL_MS,
        "no alert would fire: {:?}",
        node.hub.gauge_values()
    );
}

#[timed_test(flavor = "multi_thread")]
async fn while_appends_are_refused_time_stands_still_and_no_viewer_times_out() {
    let faults: [fn(&FaultyLog) -> &AtomicBool; 2] =
        [|log| &log.read_only, |log| &log.append_denied];
    for fault in faults {
        let inside = Inside::ready(FaultyLog::default(), paced(500, TTL_MS)).await;
        let node = &inside.node;
        assert_eq!(node.ingest.submit(vec![test_event(1)]).await, Ok(()));
        let fault = fault(&inside.log);
        fault.store(true, Ordering::SeqCst);
        let (_, seat) = test_event(2);
        let receipt =
            node.ingest.enqueue(UnstampedEvent::of(EventKind::Beat, &seat), false).unwrap();
        eventually("counts are flagged", async || is_flagged(node)).await;
        stands_for_two_ttl(node).await;
        assert_eq!(node.hub.count("s").value.viewers, 1);
        fault.store(false, Ordering::SeqCst);
        eventually("counts are complete again", async || is_complete(node)).await;
        assert_eq!(node.not_ready_reason(), None);
        assert!(receipt.is_resolved(), "the event was appended");
        assert_eq!(node.ingest.submit(vec![test_event(3)]).await, Ok(()));
        assert_eq!(
            node.hub.count("s").value.viewers,
            1,
            "only the viewer with a new beat is online"
        );
    }
}

/// The node appends records without events. Its maintenance task does so at most
/// `TEND_EVERY_MS_MAX` apart, and where maintenance writes, an interval apart.
#[timed_test(flavor = "multi_thread")]
async fn a_node_without_players_learns_that_writes_are_refused_and_that_they_work_again() {
    for maintain_writes in [false, true] {
        let log = FaultyLog { maintain_writes: maintain_writes.into(), ..FaultyLog::default() };
        learns_of_refusals(Inside::ready(log, paced(500, TTL_MS)).await).await;
    }
}

async fn learns_of_refusals(inside: Inside) {
    let node = &inside.node;
    eventually("counts are complete", async || is_complete(node)).await;
    for fault in [&inside.log.read_only, &inside.log.append_denied] {
        fault.store(true, Ordering::SeqCst);
        eventually("counts are flagged", async || is_flagged(node)).await;
        stands_for_two_ttl(node).await;
        fault.store(false, Ordering::SeqCst);
        eventually("counts are complete again", async || is_complete(node)).await;
    }
    assert!(inside.log.probed.load(Ordering::SeqCst) > 0);
    assert_eq!(inside.log.appended.load(Ordering::SeqCst), 0, "the node appended no event");
}

/// Each of them wakes all idle nodes of a Redis.
#[timed_test(flavor = "multi_thread")]
async fn where_maintenance_writes_records_without_events_are_an_interval_apart() {
    const INTERVAL_MS: u64 = 500;
    for (maintain_writes, is_rare) in [(false, false), (true, true)] {
        let log = FaultyLog { maintain_writes: maintain_writes.into(), ..FaultyLog::default() };
        let inside = Inside::ready(log, paced(INTERVAL_MS, TTL_MS)).await;
        let (node, probed) = (&inside.node, || inside.log.probed.load(Ordering::SeqCst) as u64);
        let (began, before) = (node.clock.now().unwrap(), probed());
        let until = began.plus(2 * TTL_MS);
        eventually("two ttl pass", async || node.clock.now().is_some_and(|now| now > until)).await;
        let (probes, past_ms) = (probed() - before, node.clock.now().unwrap().since(began));
        let at_most = past_ms / INTERVAL_MS + 1;
        assert_eq!(probes <= at_most, is_rare, "{probes} probes in {past_ms} ms");
        assert!(probes > 0 && is_complete(node));
    }
}

/// An append that is neither refused nor done for longer than `ACK_TIMEOUT_MS`.
#[timed_test(flavor = "multi_thread")]
async fn ack_timeout_ms_flags_an_append_that_hangs() {
    let inside = Inside::ready(FaultyLog::default(), paced(3_000, 9_000)).await;
    let node = &inside.node;
    eventually("counts are complete", async || is_complete(node)).await;
    inside.log.append_hangs.store(true, Ordering::SeqCst);
    let began = node.clock.now().unwrap();
    assert_eq!(node.ingest.submit(vec![test_event(1)]).await, Err(IngestError::AppendPending));
    eventually("counts are incomplete", async || !is_complete(node)).await;
    assert!(node.clock.now().unwrap().since(began) >= ACK_TIMEOUT_MS);
    assert!(
        node.not_ready_reason().unwrap().contains("a heartbeat has waited"),
        "{:?}",
        node.not_ready_reason()
    );
}

/// Also with `ack = memory`, the node must not answer players as if all were well.
#[timed_test(flavor = "multi_thread")]
async fn no_heartbeat_is_acknowledged_from_memory_while_the_log_refuses_writes() {
    let inside =
        Inside::ready(FaultyLog::default(), Settings { ack: Ack::Memory, ..usual() }).await;
    assert_eq!(inside.node.ingest.submit(vec![test_event(1)]).await, Ok(()));
    inside.log.append_denied.store(true, Ordering::SeqCst);
    let (_, seat) = test_event(2);
    let _ = inside.node.ingest.enqueue(UnstampedEvent::of(EventKind::Beat, &seat), false).unwrap();
    eventually("counts are flagged", async || is_flagged(&inside.node)).await;
    assert_eq!(
        inside.node.ingest.submit(vec![test_event(3)]).await,
        Err(IngestError::AppendPending)
    );
}

/// Events older than `lateness_max` are dropped once, however long the outage lasts. The others are
/// appended.
#[timed_test(flavor = "multi_thread")]
async fn an_outage_far_beyond_lateness_max_is_survived() {
    let settings = Settings { lateness_max_ms: 1_000, ack: Ack::Memory, ..paced(500, TTL_MS) };
    let inside = Inside::ready(FaultyLog::default(), settings).await;
    inside.log.append_denied.store(true, Ordering::SeqCst);
    let node = &inside.node;
    for n in 0..10 {
        let (_, seat) = test_event(n);
        let _ = node.ingest.enqueue(UnstampedEvent::of(EventKind::Beat, &seat), false).unwrap();
        let given_up = format!("housecount_events_expired_total {}", n + 1);
        eventually("the event is given up", async || inside.metric(&given_up)).await;
    }
    inside.log.append_denied.store(false, Ordering::SeqCst);
    eventually("counts are complete again", async || is_complete(node)).await;
}
