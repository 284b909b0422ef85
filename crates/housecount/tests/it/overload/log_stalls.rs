//! A slow log, while many times as much is said as it takes: players are slowed down, then refused,
//! memory stays within what `WAITING_EVENTS_MAX` allows, and what was taken comes into the log when
//! it can; also if it stands still in between.

use std::time::Duration;

use housecount_core::limits::{BATCH_BEATS_MAX, WAITING_EVENTS_MAX};
use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::proxy::{Mode, Proxy};
use crate::support::redis::{Flavour, Server, log_at};

/// A waiting beat with ids of 10 bytes, in batches that grow by doubling: less than this.
const BYTES_A_BEAT: u64 = 160;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_slows_players_down_then_refuses_and_comes_back() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let network = Proxy::before(redis.port).await;
    let log = format!("log={}", log_at(network.port));
    // Acknowledged at once, so that the test need not wait for each: what waits for the log is the
    // same.
    let node = Node::ready(&[&log, "ack=memory", "limits.session_beats=0"]).await;
    let beats: Vec<Value> = (0..BATCH_BEATS_MAX)
        .map(|n| json!({ "stage": "s", "viewer": format!("viewer-{n}") }))
        .collect();
    let body = Value::from(beats).to_string();
    let say =
        async || node.client.call(Method::POST, "/v1/heartbeats", body.clone()).await.unwrap();

    assert_eq!(say().await.0, 200);
    eventually("the log has them", async || node.metric("housecount_waiting_events ").await == 0.0)
        .await;
    let before = node.own_bytes();
    // About 10,000 beats a second, which even a build for tests can be told more of.
    network.set(Mode::Slow(Duration::from_millis(100)));
    let (mut accepted, mut refused, mut slowed_ms) = (0, 0, Vec::new());
    // Twice what may wait.
    for _ in 0..2 * WAITING_EVENTS_MAX / BATCH_BEATS_MAX {
        let (status, body) = say().await;
        match status {
            200 => accepted += BATCH_BEATS_MAX,
            503 => {
                let problem: Value = serde_json::from_slice(&body).unwrap();
                match problem["code"].as_str() {
                    Some("overloaded") => refused += BATCH_BEATS_MAX,
                    // The log has not been heard for a while: kept all the same, but not
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
            // Whole batches again.
            accepted -= accepted % BATCH_BEATS_MAX;
        }
    }
    // First a third of the ttl, then no more: the default interval is 30 s, and a tenth more or
    // less.
    let (first, last) = (slowed_ms[0], *slowed_ms.last().unwrap());
    assert!(first <= 33_000 && last > 33_000 && last <= 40_000, "{slowed_ms:?}");
    assert!(accepted >= WAITING_EVENTS_MAX - 2 * BATCH_BEATS_MAX, "{accepted}");
    assert!(refused >= WAITING_EVENTS_MAX / 2, "{refused}");
    assert_eq!(node.metric("housecount_shed_total").await as usize, refused);
    let grown = node.own_bytes().saturating_sub(before);
    assert!(grown < WAITING_EVENTS_MAX as u64 * BYTES_A_BEAT, "{grown} bytes");
    // Now it takes nothing any more. The node is up, says that it isn't ready, and that its counts
    // may be wrong.
    network.set(Mode::Cut);
    eventually("it isn't ready", async || node.status("/readyz").await == 503).await;
    assert_eq!(node.status("/healthz").await, 200);
    assert_eq!(node.stats().await["complete"], false);

    network.set(Mode::Open);
    eventually("all is in the log", async || {
        node.metric("housecount_waiting_events ").await == 0.0
    })
    .await;
    eventually("players are taken again", async || say().await.0 == 200).await;
    eventually("and all are counted", async || {
        let stats = node.stats().await;
        stats["complete"] == true && stats["viewers"] == BATCH_BEATS_MAX + 1
    })
    .await;
    assert_eq!(node.metric("housecount_late_total").await, 0.0, "nothing was given up");
    let other = Node::ready(&[&log]).await;
    assert_eq!(
        other.stats().await["viewers"],
        BATCH_BEATS_MAX + 1,
        "whoever reads the log knows them all"
    );
}
