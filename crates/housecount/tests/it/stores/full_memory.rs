//! Nodes on a Redis over its `maxmemory`, and on one that may evict the log instead.

use housecount_test::timed_test;

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

/// Nodes report the fault. So does a node without players, which only writes its `attended` time.
#[timed_test(flavor = "multi_thread")]
async fn over_redis_maxmemory_no_node_calls_its_counts_complete() {
    let redis = Server::start(Flavour::Redis, &["--maxmemory-policy", "noeviction"]).await;
    let log = format!("log={}", redis.url());
    let settings = [log.as_str(), "interval=1s", "ttl=3s"];
    let nodes = [Node::ready(&settings).await, Node::ready(&settings).await];
    nodes[0].beat_many("s", 0, 50).await;
    eventually("both nodes have all viewers", async || nodes[1].viewers("s").await == 50).await;
    assert_eq!(redis.command("CONFIG SET maxmemory 1"), "+OK");
    for node in &nodes {
        eventually("counts are incomplete", async || node.stats().await["complete"] == false).await;
        eventually("the node is not ready", async || node.status("/readyz").await == 503).await;
    }
    assert_eq!(redis.command("CONFIG SET maxmemory 0"), "+OK");
    for node in &nodes {
        eventually("the node is ready again", async || {
            node.status("/readyz").await == 200 && node.stats().await["complete"] == true
        })
        .await;
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_redis_that_may_evict_the_log_is_named_once_and_measured() {
    let redis = Server::start(
        Flavour::Redis,
        &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"],
    )
    .await;
    let lines = tempfile::NamedTempFile::new().unwrap();
    let log = format!("log={}", redis.url());
    let node = Node::start_logging(
        lines.reopen().unwrap(),
        &[&log, "cold=none", "interval=300ms", "log_level=warn"],
    );
    node.until_ready().await;
    eventually("the node has read the eviction policy", async || {
        node.metric("housecount_redis_evicting").await == 1.0
    })
    .await;
    let share = node.metric("housecount_redis_memory_used_ratio").await;
    assert!(share > 0.0 && share < 0.5, "an empty Redis has a few MB of 100: {share}");
    let printed = std::fs::read_to_string(lines.path()).unwrap();
    assert_eq!(printed.matches("maxmemory-policy is allkeys-lru").count(), 1, "{printed}");
}

#[timed_test(flavor = "multi_thread")]
async fn a_redis_that_evicts_nothing_of_ours_is_not_named() {
    let redis = Server::start(Flavour::Valkey, &["--maxmemory-policy", "volatile-lru"]).await;
    let lines = tempfile::NamedTempFile::new().unwrap();
    let log = format!("log={}", redis.url());
    let node = Node::start_logging(
        lines.reopen().unwrap(),
        &[&log, "cold=none", "interval=300ms", "log_level=warn"],
    );
    node.until_ready().await;
    eventually("the node has read Redis's memory", async || {
        node.metric("housecount_redis_memory_bytes").await > 0.0
    })
    .await;
    assert_eq!(node.metric("housecount_redis_evicting").await, 0.0);
    assert_eq!(
        node.metric("housecount_redis_memory_used_ratio").await,
        0.0,
        "without maxmemory the ratio is 0"
    );
    let printed = std::fs::read_to_string(lines.path()).unwrap();
    assert!(!printed.contains("evict"), "{printed}");
}
