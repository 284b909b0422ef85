//! Acknowledged beats are never lost, and no count is low without a flag. Real processes are
//! killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount, signal};
use crate::support::redis::{Cluster, Flavour, Server};

fn figures(stats: &Value) -> (u64, bool, bool) {
    (stats["viewers"].as_u64().unwrap(), stats["complete"] == true, stats["recovering"] == true)
}

fn make_table(dynamo: &Dynamo) -> String {
    let made =
        housecount().args(["table", "create", "--cold", &dynamo.url("table")]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("cold={}", dynamo.url("table"))
}

#[timed_test(flavor = "multi_thread")]
async fn a_killed_embedded_node_knows_all_viewers_again() {
    let mut node = Node::ready(&[]).await;
    node.beat_many("s", 0, 5_000).await;
    for n in 0..50 {
        node.beat("t", &format!("single-{n}")).await;
    }
    node.kill();
    node.restart();
    node.until_ready().await;
    assert_eq!(figures(&node.stats().await), (5_050, true, false));
    assert_eq!((node.viewers("s").await, node.viewers("t").await), (5_000, 50));
}

#[timed_test(flavor = "multi_thread")]
async fn a_stopped_node_loses_nothing_that_it_took() {
    let mut node = Node::ready(&["ack=memory", "linger=1s"]).await;
    node.beat_many("s", 0, 100).await;
    assert!(node.stop().success());
    node.restart();
    node.until_ready().await;
    assert_eq!(node.viewers("s").await, 100);
}

/// The node is down for longer than an interval. No player could beat meanwhile, so no viewer times
/// out because of it.
#[timed_test(flavor = "multi_thread")]
async fn after_a_long_stop_the_counts_from_before_stand_in() {
    let mut node = Node::ready(&["interval=300ms", "ttl=2s"]).await;
    node.beat_many("s", 0, 100).await;
    node.kill();
    // The outage must be longer than ttl, so the test waits.
    tokio::time::sleep(std::time::Duration::from_millis(3_000)).await;
    node.restart();
    node.until_ready().await;
    let (viewers, complete, recovering) = figures(&node.stats().await);
    assert_eq!((viewers, complete, recovering), (100, false, true));
    assert_eq!(node.viewers("s").await, 100);
    node.beat("s", "a-new-viewer").await;
    // The node restarts once more before any player could come back. The missing viewers are still
    // missing.
    node.kill();
    node.restart();
    node.until_ready().await;
    let (viewers, complete, recovering) = figures(&node.stats().await);
    assert!(viewers >= 100 && !complete && recovering, "{viewers}");
    eventually("counts are exact again", async || !figures(&node.stats().await).2).await;
    assert!(node.viewers("s").await <= 1);
}

/// Polls a node until `stop` is set; returns the lowest count that the node showed.
fn watch(node: &Node, stage: &'static str) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u64>) {
    let (client, stop) = (node.client.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let polling = tokio::spawn(async move {
        let mut lowest = u64::MAX;
        while !stopped.load(Ordering::SeqCst) {
            let (_, body) =
                client.call(Method::GET, &format!("/v1/stages/{stage}"), "").await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            lowest = lowest.min(body["viewers"].as_u64().unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        lowest
    });
    (stop, polling)
}

#[timed_test(flavor = "multi_thread")]
async fn a_flushed_redis_lowers_no_count() {
    let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
    let (log, cold) = (format!("log={}", redis.url()), make_table(&dynamo));
    let nodes = [Node::ready(&[&log, &cold]).await, Node::ready(&[&log, &cold]).await];
    nodes[0].beat_many("s", 0, 2_000).await;
    nodes[1].beat_many("s", 2_000, 1_000).await;
    for node in &nodes {
        eventually("both nodes have all viewers", async || node.viewers("s").await == 3_000).await;
    }
    let watched = nodes.each_ref().map(|node| watch(node, "s"));
    assert_eq!(redis.command("FLUSHALL"), "+OK");
    nodes[0].beat_many("s", 3_000, 10).await;
    for node in &nodes {
        eventually("new viewers are counted", async || node.viewers("s").await == 3_010).await;
    }
    eventually("the log is rebuilt", async || redis.command("HGET hc:{0}:meta whole") == "1").await;
    for (stop, polling) in watched {
        stop.store(true, Ordering::SeqCst);
        assert_eq!(polling.await.unwrap().min(3_000), 3_000, "a count was too low");
    }
    // A node that starts only now finds everything in the log.
    let third = Node::ready(&[&log, &cold]).await;
    assert_eq!(figures(&third.stats().await), (3_010, true, false));
}

#[timed_test(flavor = "multi_thread")]
async fn a_killed_redis_that_comes_back_empty_lowers_no_count() {
    let mut redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let node = Node::ready(&[&log]).await;
    node.beat_many("s", 0, 500).await;
    let (stop, polling) = watch(&node, "s");
    redis.kill();
    eventually("counts are incomplete", async || !figures(&node.stats().await).1).await;
    assert_eq!(node.status("/readyz").await, 503);
    // The beat is not acknowledged but kept. It counts as soon as the log is back.
    let late =
        node.call(Method::POST, "/v1/heartbeat", json!({ "stage": "s", "viewer": "late" })).await;
    assert_eq!((late.0, late.1["code"].as_str()), (503, Some("log_unavailable")), "{}", late.1);
    redis.run().await;
    eventually("all viewers are counted", async || {
        figures(&node.stats().await) == (501, true, false)
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(polling.await.unwrap(), 500, "a count was too low");
    let second = Node::ready(&[&log]).await;
    assert_eq!(figures(&second.stats().await), (501, true, false));
}

/// While the log stalls, time stands still. No viewer times out because Redis is unavailable.
#[timed_test(flavor = "multi_thread")]
async fn a_frozen_redis_times_out_no_viewer() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let node = Node::ready(&[&format!("log={}", redis.url()), "interval=500ms", "ttl=2s"]).await;
    node.beat_many("s", 0, 100).await;
    signal(redis.pid(), "STOP");
    eventually("counts are incomplete", async || !figures(&node.stats().await).1).await;
    // The outage must be longer than ttl, so the test waits.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(node.viewers("s").await, 100);
    // Players continue meanwhile, and their beats are appended with their true time.
    let beats: Vec<Value> =
        (0..100).map(|n| json!({ "stage": "s", "viewer": format!("viewer-{n}") })).collect();
    let (status, _) = node.call(Method::POST, "/v1/heartbeats", Value::from(beats)).await;
    assert_eq!(status, 503);
    signal(redis.pid(), "CONT");
    eventually("the node is ready again", async || node.status("/readyz").await == 200).await;
    eventually("silent viewers time out", async || {
        figures(&node.stats().await) == (0, true, false)
    })
    .await;
}

/// Redis restarts from an old dump, so it is not empty, but lacks records.
#[timed_test(flavor = "multi_thread")]
async fn a_redis_that_goes_back_to_a_dump_is_rebuilt() {
    let mut redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let node = Node::ready(&[&log]).await;
    node.beat_many("s", 0, 100).await;
    assert_eq!(redis.command("SAVE"), "+OK");
    node.beat_many("s", 100, 200).await;
    let (stop, polling) = watch(&node, "s");
    redis.kill();
    redis.run().await;
    assert_eq!(redis.command("EXISTS hc:{0}:log"), ":1", "Redis has loaded its dump");
    eventually("counts are complete again", async || {
        figures(&node.stats().await) == (300, true, false)
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(polling.await.unwrap(), 300, "a count was too low");
    eventually("a new node has all viewers", async || {
        let second = Node::ready(&[&log]).await;
        figures(&second.stats().await) == (300, true, false)
    })
    .await;
}

/// The node drops a connection to a replica, and finds the server that took the place.
#[timed_test(flavor = "multi_thread")]
async fn a_redis_demoted_to_a_replica_is_left() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let node = Node::ready(&[&format!("log={}", redis.url())]).await;
    node.beat("s", "ann").await;
    assert_eq!(redis.command("REPLICAOF 127.0.0.1 1"), "+OK");
    let refused =
        node.call(Method::POST, "/v1/heartbeat", json!({ "stage": "s", "viewer": "bob" })).await;
    assert_eq!(refused.0, 503);
    assert_eq!(redis.command("REPLICAOF NO ONE"), "+OK");
    eventually("the held beat is counted", async || node.viewers("s").await == 2).await;
}

#[timed_test(flavor = "multi_thread")]
async fn after_a_total_loss_counts_are_bridged_from_snapshots() {
    let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
    let (log, cold) = (format!("log={}", redis.url()), make_table(&dynamo));
    let settings = [
        log.as_str(),
        cold.as_str(),
        "interval=1s",
        "ttl=10s",
        "snapshot_interval=1s",
        "limits.session_beats=0",
    ];
    let mut nodes = [Node::ready(&settings).await, Node::ready(&settings).await];
    nodes[0].beat_many("s", 0, 300).await;
    nodes[1].beat_many("t", 300, 40).await;
    eventually("snapshots of both stages are saved", async || {
        let (status, saved) = nodes[0].call(Method::POST, "/v1/admin/snapshot", Value::Null).await;
        status == 200 && saved["viewers"] == 340
    })
    .await;
    nodes.iter_mut().for_each(Node::kill);
    assert_eq!(redis.command("FLUSHALL"), "+OK");
    nodes.iter_mut().for_each(Node::restart);
    for node in &nodes {
        node.until_ready().await;
        let stats = node.stats().await;
        assert_eq!((figures(&stats), &stats["stages"]), ((340, false, true), &json!(2)));
        assert_eq!((node.viewers("s").await, node.viewers("t").await), (300, 40));
    }
    // All but ten of the audience beat until the end.
    eventually("counts are exact again", async || {
        nodes[0].beat_many("s", 0, 290).await;
        nodes[1].beat_many("t", 300, 40).await;
        figures(&nodes[0].stats().await).1 && figures(&nodes[1].stats().await).1
    })
    .await;
    for node in &nodes {
        assert_eq!(figures(&node.stats().await), (330, true, false));
    }
}

#[timed_test(flavor = "multi_thread")]
async fn snapshots_are_as_other_programs_read_them() {
    let dynamo = Dynamo::start().await;
    let cold = make_table(&dynamo);
    let node = Node::ready(&["log=memory:", &cold, "snapshot_interval=1s"]).await;
    let arn = "arn:aws:ivs:eu-west-1:1:stage/AbC";
    node.beat_many(arn, 0, 7).await;
    eventually("two snapshots are saved", async || dynamo.snapshots("table", arn).len() >= 2).await;
    let items = dynamo.snapshots("table", arn);
    let item = &items[1];
    let number = |name: &str| item[name]["N"].as_str().unwrap().parse::<u64>().unwrap();
    let at = number("timestamp");
    assert_eq!(item["pk"]["S"], format!("STAGE#{arn}"));
    assert_eq!(item["sk"]["S"], format!("SNAPSHOT#{at}"));
    assert_eq!(item["stageArn"]["S"], arn);
    assert_eq!(number("viewerCount"), 7);
    assert_eq!(at % 1_000, 0, "snapshots are aligned");
    assert_eq!(number("ttl"), at / 1_000 + 30 * 24 * 3_600);
    let ttl = dynamo.call("DescribeTimeToLive", json!({ "TableName": "table" }));
    assert_eq!(ttl["TimeToLiveDescription"]["TimeToLiveStatus"], "ENABLED");
    assert_eq!(ttl["TimeToLiveDescription"]["AttributeName"], "ttl");
    let path = format!("/v1/stages/{}/snapshots", arn.replace('/', "%2F"));
    let listed = node.get(&path).await;
    assert_eq!(
        (&listed["snapshots"][1]["timestamp"], &listed["snapshots"][1]["viewers"]),
        (&json!(at), &json!(7))
    );
    let none = node.get(&format!("{path}?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z")).await;
    assert_eq!(none["snapshots"], json!([]));
}

/// Counts, in all and by stage, don't depend on the cold tier.
#[timed_test(flavor = "multi_thread")]
async fn a_cold_tier_that_is_away_hides_no_count() {
    let dynamo = Dynamo::start().await;
    let cold = make_table(&dynamo);
    let node = Node::ready(&["log=memory:", &cold]).await;
    node.call(Method::POST, "/v1/stages", json!({ "stage": "s", "name": "The final" })).await;
    node.beat_many("s", 0, 7).await;
    node.beat_many("t", 0, 3).await;
    dynamo.faults.throttled.store(u32::MAX, Ordering::SeqCst);
    let stage = node.get("/v1/stages/s").await;
    assert_eq!((&stage["viewers"], &stage["name"]), (&json!(7), &json!("The final")));
    let listed = node.get("/v1/stages").await;
    assert_eq!(listed["configurationKnown"], false);
    assert_eq!(
        listed["stages"][1],
        json!({ "stage": "t", "configured": false, "viewers": 3, "sessions": 3, "peak": 3 })
    );
    let (status, body) = node.call(Method::PATCH, "/v1/stages/s", json!({ "name": "x" })).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("cold_tier_unavailable")));
}

/// A node that is stopped while the log is unavailable ends soon.
#[timed_test(flavor = "multi_thread")]
async fn a_node_can_be_stopped_while_the_log_is_away() {
    let mut redis = Server::start(Flavour::Redis, &[]).await;
    let mut node = Node::ready(&[&format!("log={}", redis.url()), "ack=memory"]).await;
    redis.kill();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..6 {
        let beats =
            (0..5_000).map(|v| json!({ "stage": "s", "viewer": format!("viewer-{n}-{v}") }));
        let (client, body) = (node.client.clone(), Value::from_iter(beats).to_string());
        // The time of arrival decides whether a call is answered at once or waits for the log.
        calls.spawn(async move { client.call(Method::POST, "/v1/heartbeats", body).await });
    }
    eventually("15 records are waiting", async || {
        node.metric("housecount_append_queue_events ").await >= 30_000.0
    })
    .await;
    let started = tokio::time::Instant::now();
    assert!(node.stop().success());
    println!("stopped after {:?}", started.elapsed());
}

/// The cold tier is unavailable. Snapshots fail, are counted and are tried again. Heartbeats are
/// not affected.
#[timed_test(flavor = "multi_thread")]
async fn a_throttled_cold_tier_delays_snapshots_only() {
    let dynamo = Dynamo::start().await;
    let cold = make_table(&dynamo);
    let node = Node::ready(&["log=memory:", &cold, "snapshot_interval=10s"]).await;
    dynamo.faults.throttled.store(u32::MAX, Ordering::SeqCst);
    node.beat_many("s", 0, 7).await;
    eventually("a failure is counted", async || {
        let (_, metrics) = node.client.call(Method::GET, "/metrics", "").await.unwrap();
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        metrics
            .lines()
            .any(|l| l.starts_with("housecount_snapshot_failures_total ") && !l.ends_with(" 0"))
    })
    .await;
    assert_eq!(node.beat("s", "viewer-0").await["viewers"], 7);
    dynamo.faults.throttled.store(0, Ordering::SeqCst);
    eventually("the snapshot is saved", async || !dynamo.snapshots("table", "s").is_empty()).await;
}

#[timed_test(flavor = "multi_thread")]
async fn two_nodes_write_each_snapshot_once() {
    let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
    let (log, cold) = (format!("log={}", redis.url()), make_table(&dynamo));
    let settings = [log.as_str(), cold.as_str(), "snapshot_interval=3s"];
    let nodes = [Node::ready(&settings).await, Node::ready(&settings).await];
    nodes[0].beat_many("s", 0, 7).await;
    let aligned = || {
        let items = dynamo.snapshots("table", "s");
        items.iter().filter(|i| i["sk"]["S"].as_str().unwrap().ends_with("000")).count()
    };
    eventually("three slots are saved", async || aligned() >= 3).await;
    let mut saved = 0;
    for node in &nodes {
        let (_, metrics) = node.client.call(Method::GET, "/metrics", "").await.unwrap();
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let line = metrics.lines().find(|l| l.starts_with("housecount_snapshots_total ")).unwrap();
        saved += line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    }
    // Each node also saves once when it starts, here before there were any viewers.
    assert!(saved <= aligned() + 2, "{saved} snapshots for {} slots", aligned());
}

#[timed_test(flavor = "multi_thread")]
async fn expired_snapshots_are_swept_from_the_embedded_store() {
    let node = Node::ready(&["snapshot_interval=1s", "snapshot_retention=2s"]).await;
    node.beat_many("s", 0, 7).await;
    let listed =
        async || node.get("/v1/stages/s/snapshots").await["snapshots"].as_array().unwrap().clone();
    eventually("two snapshots are saved", async || listed().await.len() >= 2).await;
    let first = listed().await[0]["timestamp"].clone();
    eventually("the first snapshot expires", async || {
        listed().await.iter().all(|s| s["timestamp"] != first)
    })
    .await;
    assert!(listed().await.len() <= 4);
}

#[timed_test(flavor = "multi_thread")]
async fn a_cluster_counts_on_all_its_masters() {
    let cluster = Cluster::start().await;
    let log = format!("log={}", cluster.url());
    let (one, other) = (Node::ready(&[&log]).await, Node::ready(&[&log]).await);
    one.beat_many("s", 0, 1_000).await;
    other.beat_many("s", 1_000, 500).await;
    for node in [&one, &other] {
        eventually("both nodes have all viewers", async || node.viewers("s").await == 1_500).await;
    }
    let used = cluster.masters.iter().filter(|master| master.command("DBSIZE") != ":0").count();
    assert_eq!(used, 3, "every master has partitions");
}
