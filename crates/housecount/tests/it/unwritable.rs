//! Nodes on a Redis that answers reads and refuses writes. Time stands still, no count is complete,
//! and no node is ready.

use housecount_test::timed_test;
use serde_json::Value;

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

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
