//! Nodes on a log in DynamoDB, and faults of it.

use std::sync::atomic::Ordering;

use housecount_test::timed_test;
use serde_json::Value;

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::Node;

fn figures(stats: &Value) -> (u64, bool, bool) {
    (stats["viewers"].as_u64().unwrap(), stats["complete"] == true, stats["recovering"] == true)
}

async fn stand() -> (Dynamo, Vec<String>) {
    let dynamo = Dynamo::start().await;
    dynamo.make_table("table");
    let settings = [
        format!("log={}&flush=100ms", dynamo.url("table")),
        format!("cold={}", dynamo.url("table")),
        "interval=10s".to_string(),
        "ttl=30s".to_string(),
    ];
    (dynamo, settings.to_vec())
}

async fn node(settings: &[String]) -> Node {
    Node::ready(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Beats go to two nodes, and one of them is killed. All nodes count the acknowledged beats, a node
/// that starts later included.
#[timed_test(flavor = "multi_thread")]
async fn two_nodes_are_one_and_kill_9_loses_nothing() {
    let (_dynamo, settings) = stand().await;
    let mut nodes = [node(&settings).await, node(&settings).await];
    nodes[0].beat_many("s", 0, 3_000).await;
    nodes[1].beat_many("s", 3_000, 500).await;
    for n in 0..5 {
        nodes[n % 2].beat("t", &format!("single-{n}")).await;
    }
    for node in &nodes {
        eventually("both nodes have all viewers", async || {
            figures(&node.stats().await) == (3_505, true, false)
        })
        .await;
    }
    nodes[0].beat_many("s", 0, 3_100).await;
    nodes[0].kill();
    nodes[1].beat_many("s", 3_500, 10).await;
    nodes[0].restart();
    nodes[0].until_ready().await;
    let third = node(&settings).await;
    for node in [&nodes[0], &nodes[1], &third] {
        eventually("all nodes have all viewers", async || {
            figures(&node.stats().await) == (3_515, true, false)
        })
        .await;
        assert_eq!((node.viewers("s").await, node.viewers("t").await), (3_510, 5));
    }
}

/// A table that throttles, and whose answers are lost. Every acknowledged beat is in the log, and
/// no beat counts twice.
#[timed_test(flavor = "multi_thread")]
async fn a_table_that_throttles_and_lies_loses_nothing() {
    let (dynamo, settings) = stand().await;
    let nodes = [node(&settings).await, node(&settings).await];
    nodes[0].beat_many("s", 0, 100).await;
    dynamo.faults.lying.store(12, Ordering::SeqCst);
    nodes[0].beat_many("s", 50, 100).await;
    dynamo.faults.throttled.store(12, Ordering::SeqCst);
    nodes[1].beat_many("s", 100, 100).await;
    let third = node(&settings).await;
    for node in [&nodes[0], &nodes[1], &third] {
        eventually("all nodes have all viewers", async || figures(&node.stats().await).0 == 200)
            .await;
        eventually("all counts are complete", async || {
            figures(&node.stats().await) == (200, true, false)
        })
        .await;
    }
}
