//! A log that takes far fewer events than players send. The node slows players down, then refuses
//! them, and memory stays within the bound of `WAITING_EVENTS_MAX`. Accepted events reach the log
//! when it can take them, even if it stalls in between.

use std::time::Duration;

use housecount_core::limits::{BATCH_BEATS_MAX, WAITING_EVENTS_MAX};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::proxy::{Mode, Proxy};
use crate::support::redis::{Flavour, Server, log_at};

/// Upper bound for a waiting beat with ids of 10 bytes, in batches that grow by doubling.
const BYTES_A_BEAT: u64 = 160;

#[timed_test(flavor = "multi_thread")]
async fn a_node_slows_players_down_then_refuses_and_comes_back() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let network = Proxy::before(redis.port).await;
    let log = format!("log={}", log_at(network.port));
    // Beats are acknowledged at once, so that the test doesn't wait for each. The events that wait
    // for the log are the same.
    let node = Node::ready(&[&log, "ack=memory", "limits.session_beats=0"]).await;
    let beats: Vec<Value> = (0..BATCH_BEATS_MAX)
        .map(|n| json!({ "stage": "s", "viewer": format!("viewer-{n}") }))
        .collect();
    let body = Value::from(beats).to_string();
    let say =
        async || node.client.call(Method::POST, "/v1/heartbeats", body.clone()).await.unwrap();

    assert_eq!(say().await.0, 200);
    eventually("the log has all beats", async || {
        node.metric("housecount_append_queue_events ").await == 0.0
    })
    .await;
    let before = node.own_bytes();
    // The log takes about 10,000 beats per second, and even a test build can send more.
    network.set(Mode::Slow(Duration::from_millis(100)));
    let (mut accepted, mut refused, mut slowed_ms) = (0, 0, Vec::new());
    // Twice the number of events that may wait.
    for _ in 0..2 * WAITING_EVENTS_MAX / BATCH_BEATS_MAX {
        let (status, body) = say().await;
        match status {
            200 => accepted += BATCH_BEATS_MAX,
            503 => {
                let problem: Value = serde_json::from_slice(&body).unwrap();
                match problem["code"].as_str() {
                    Some("overloaded") => refused += BATCH_BEATS_MAX,
                    // The log hasn't answered for a while. The beats are kept, but not
                    // acknowledged.
                    Some("log_unavailable") => accepted += BATCH_BEATS_MAX,
                    _ => panic!("{problem}"),
                }
            }
            other => panic!("{other}"),
        }
        if refused == 0 && accepted % 200_000 == 0 {
            let (status, body) = node
                .call(Method::POST, "/v1/heartbeat", json!({"stage": "s", "viewer": "v"}))
                .await;
            if status == 200 {
                accepted += 1;
                slowed_ms.push(body["nextMs"].as_u64().unwrap());
            }
            // Only whole batches count again.
            accepted -= accepted % BATCH_BEATS_MAX;
        }
    }
    // First a third of the ttl, then no more. The default interval is 30 s, give or take a tenth.
    let (first, last) = (slowed_ms[0], *slowed_ms.last().unwrap());
    assert!(first <= 33_000 && last > 33_000 && last <= 40_000, "{slowed_ms:?}");
    assert!(accepted >= WAITING_EVENTS_MAX - 2 * BATCH_BEATS_MAX, "{accepted}");
    assert!(refused >= WAITING_EVENTS_MAX / 2, "{refused}");
    assert_eq!(node.metric("housecount_events_shed_total").await as usize, refused);
    let grown = node.own_bytes().saturating_sub(before);
    assert!(grown < WAITING_EVENTS_MAX as u64 * BYTES_A_BEAT, "memory grew by {grown} bytes");
    // Now the log accepts nothing. The node is up, but reports that it isn't ready and that its
    // counts may be wrong.
    network.set(Mode::Cut);
    eventually("the node is not ready", async || node.status("/readyz").await == 503).await;
    assert_eq!(node.status("/healthz").await, 200);
    assert_eq!(node.stats().await["complete"], false);

    network.set(Mode::Open);
    eventually("the log has all events", async || {
        node.metric("housecount_append_queue_events ").await == 0.0
    })
    .await;
    eventually("heartbeats are accepted again", async || say().await.0 == 200).await;
    eventually("all viewers are counted", async || {
        let stats = node.stats().await;
        stats["complete"] == true && stats["viewers"] == BATCH_BEATS_MAX + 1
    })
    .await;
    assert_eq!(node.metric("housecount_events_expired_total").await, 0.0, "no event was given up");
    let other = Node::ready(&[&log]).await;
    assert_eq!(
        other.stats().await["viewers"],
        BATCH_BEATS_MAX + 1,
        "another node reads all viewers from the log"
    );
}
