//! A log that answers reads and refuses writes. Time stands still, no count is complete, no node is
//! ready, and no event is lost.

use std::sync::atomic::{AtomicBool, Ordering};

use housecount_core::event::EventKind;
use housecount_core::limits::ACK_TIMEOUT_MS;
use housecount_engine::internals::IngestError;
use housecount_server::node::Node as Inner;
use housecount_test::timed_test;
use serde_json::Value;

use crate::inside::{Inside, test_event};
use crate::support::eventually;
use crate::support::faulty::FaultyLog;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

const FAST: [(&str, &str); 2] = [("interval", "500ms"), ("ttl", "2s")];
const TTL_MS: u64 = 2_000;

fn is_complete(node: &Inner) -> bool {
    node.engine.hub.totals().status.complete
}

fn is_flagged(node: &Inner) -> bool {
    !is_complete(node)
        && node
            .engine
            .not_ready_reason()
            .is_some_and(|why| why.contains("the log has accepted no writes"))
}

/// Waits for two ttl of the log's clock, and asserts that the counts' time stands. Otherwise every
/// viewer would time out.
async fn stands_for_two_ttl(node: &Inner) {
    let stands_at = node.engine.hub.now();
    let until = stands_at.plus(2 * TTL_MS);
    eventually("two ttl pass", async || node.engine.clock.now().is_some_and(|now| now > until))
        .await;
    // The read that was under way may still have advanced the time.
    let advanced_ms = node.engine.hub.now().since(stands_at);
    assert!(advanced_ms < TTL_MS / 2, "time advanced by {advanced_ms} ms");
    assert!(is_flagged(node), "{:?}", node.engine.hub.totals());
    assert!(
        node.engine.hub.gauge_values().log_lag_ms >= TTL_MS,
        "no alert would fire: {:?}",
        node.engine.hub.gauge_values()
    );
}

#[timed_test(flavor = "multi_thread")]
async fn while_appends_are_refused_time_stands_still_and_no_viewer_times_out() {
    let faults: [fn(&FaultyLog) -> &AtomicBool; 2] =
        [|log| &log.read_only, |log| &log.append_denied];
    for fault in faults {
        let inside = Inside::ready(FaultyLog::default(), &FAST).await;
        let node = &inside.node;
        assert_eq!(node.engine.ingest.submit(vec![test_event(1)]).await, Ok(()));
        let fault = fault(&inside.log);
        fault.store(true, Ordering::SeqCst);
        let (_, seat) = test_event(2);
        let receipt = node
            .engine
            .ingest
            .enqueue(
                housecount_engine::internals::UnstampedEvent::of(EventKind::Beat, &seat),
                false,
            )
            .unwrap();
        eventually("counts are flagged", async || is_flagged(node)).await;
        stands_for_two_ttl(node).await;
        assert_eq!(node.engine.hub.count("s").value.viewers, 1);
        fault.store(false, Ordering::SeqCst);
        eventually("counts are complete again", async || is_complete(node)).await;
        assert_eq!(node.engine.not_ready_reason(), None);
        assert!(receipt.is_resolved(), "the event was appended");
        assert_eq!(node.engine.ingest.submit(vec![test_event(3)]).await, Ok(()));
        assert_eq!(
            node.engine.hub.count("s").value.viewers,
            1,
            "only the viewer with a new beat is online"
        );
    }
}

/// The node appends records without events. Its maintenance task does so at most
/// `TEND_EVERY_MS_MAX` apart.
#[timed_test(flavor = "multi_thread")]
async fn a_node_without_players_learns_that_writes_are_refused_and_that_they_work_again() {
    let inside = Inside::ready(FaultyLog::default(), &FAST).await;
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

/// An append that is neither refused nor done for longer than `ACK_TIMEOUT_MS`.
#[timed_test(flavor = "multi_thread")]
async fn ack_timeout_ms_flags_an_append_that_hangs() {
    let inside = Inside::ready(FaultyLog::default(), &[("interval", "3s"), ("ttl", "9s")]).await;
    let node = &inside.node;
    eventually("counts are complete", async || is_complete(node)).await;
    inside.log.append_hangs.store(true, Ordering::SeqCst);
    let began = node.engine.clock.now().unwrap();
    assert_eq!(
        node.engine.ingest.submit(vec![test_event(1)]).await,
        Err(IngestError::AppendPending)
    );
    eventually("counts are incomplete", async || !is_complete(node)).await;
    assert!(node.engine.clock.now().unwrap().since(began) >= ACK_TIMEOUT_MS);
    assert!(
        node.engine.not_ready_reason().unwrap().contains("a heartbeat has waited"),
        "{:?}",
        node.engine.not_ready_reason()
    );
}

/// Also with `ack = memory`, the node must not answer players as if all were well.
#[timed_test(flavor = "multi_thread")]
async fn no_heartbeat_is_acknowledged_from_memory_while_the_log_refuses_writes() {
    let inside = Inside::ready(FaultyLog::default(), &[("ack", "memory")]).await;
    assert_eq!(inside.node.engine.ingest.submit(vec![test_event(1)]).await, Ok(()));
    inside.log.append_denied.store(true, Ordering::SeqCst);
    let (_, seat) = test_event(2);
    let _ = inside
        .node
        .engine
        .ingest
        .enqueue(housecount_engine::internals::UnstampedEvent::of(EventKind::Beat, &seat), false)
        .unwrap();
    eventually("counts are flagged", async || is_flagged(&inside.node)).await;
    assert_eq!(
        inside.node.engine.ingest.submit(vec![test_event(3)]).await,
        Err(IngestError::AppendPending)
    );
}

/// Events older than `lateness_max` are dropped once, however long the outage lasts. The others are
/// appended.
#[timed_test(flavor = "multi_thread")]
async fn an_outage_far_beyond_lateness_max_is_survived() {
    let settings = [FAST[0], FAST[1], ("lateness_max", "1s"), ("ack", "memory")];
    let inside = Inside::ready(FaultyLog::default(), &settings).await;
    inside.log.append_denied.store(true, Ordering::SeqCst);
    let node = &inside.node;
    for n in 0..10 {
        let (_, seat) = test_event(n);
        let _ = node
            .engine
            .ingest
            .enqueue(
                housecount_engine::internals::UnstampedEvent::of(EventKind::Beat, &seat),
                false,
            )
            .unwrap();
        let given_up = format!("housecount_events_expired_total {}", n + 1);
        eventually("the event is given up", async || inside.metric(&given_up)).await;
    }
    inside.log.append_denied.store(false, Ordering::SeqCst);
    eventually("counts are complete again", async || is_complete(node)).await;
}

fn figures(stats: &Value) -> (u64, bool) {
    (stats["viewers"].as_u64().unwrap(), stats["complete"] == true)
}

async fn waits_for(node: &Node) -> String {
    let (status, body) = node.call(hyper::Method::GET, "/readyz", Value::Null).await;
    if status == 200 {
        String::new()
    } else {
        body["detail"].as_str().unwrap_or_default().to_string()
    }
}

/// Redis as it refuses writes and answers reads: too few replicas, and a full memory.
#[timed_test(flavor = "multi_thread")]
async fn a_redis_that_refuses_writes_stops_time_on_every_node() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", server.url());
    let settings = [log.as_str(), "cold=none", "interval=3s", "ttl=9s"];
    let (busy, idle) = (Node::ready(&settings).await, Node::ready(&settings).await);
    for node in [&busy, &idle] {
        // A new log counts for one ttl as one that has lost everything.
        eventually("counts are complete", async || figures(&node.stats().await).1).await;
    }
    for (refuse, allow) in [
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    ] {
        busy.beat_many("s", 0, 10).await;
        eventually("both nodes have all viewers", async || {
            figures(&idle.stats().await) == (10, true)
        })
        .await;
        assert_eq!(server.command(refuse), "+OK");
        // Players continue, and are answered when to come back.
        let body = serde_json::json!({ "stage": "s", "viewer": "viewer-0" });
        let beat = busy.call(hyper::Method::POST, "/v1/heartbeat", body);
        for node in [&busy, &idle] {
            eventually("/readyz names the stall", async || {
                waits_for(node).await.contains("accepted no writes")
            })
            .await;
        }
        assert_eq!(beat.await.0, 503);
        for node in [&busy, &idle] {
            let lag = async || node.metric("housecount_log_lag_seconds").await;
            eventually("a ttl without beats passes", async || lag().await > 10.0).await;
            assert_eq!(figures(&node.stats().await), (10, false), "{refuse}, {}", node.address);
            assert_eq!(node.metric("housecount_ready").await, 0.0);
        }
        assert_eq!(server.command(allow), "+OK");
        for node in [&busy, &idle] {
            eventually("the node is ready again", async || {
                node.status("/readyz").await == 200 && figures(&node.stats().await).1
            })
            .await;
        }
    }
}

/// Promise 5, literally. A count that one node calls complete includes all that another node has
/// acknowledged up to `asOf`.
#[timed_test(flavor = "multi_thread")]
async fn as_of_is_never_later_than_what_a_node_has_read() {
    let server = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", server.url());
    let settings = [log.as_str(), "cold=none", "interval=1s", "ttl=3s"];
    let (one, other) = (Node::ready(&settings).await, Node::ready(&settings).await);
    eventually("both nodes have complete counts", async || {
        figures(&one.stats().await).1 && figures(&other.stats().await).1
    })
    .await;
    for n in 0..100 {
        let stage = format!("s-{n}");
        one.beat(&stage, "ann").await;
        // The log's clock is this machine's.
        let acknowledged = housecount_backend::clock::wall_clock();
        let answer = other.beat(&stage, "bob").await;
        let is_covered =
            answer["complete"] == true && answer["asOf"].as_u64().unwrap() >= acknowledged.0;
        assert!(!is_covered || answer["viewers"] == 2, "{answer}, acknowledged at {acknowledged}");
    }
}
