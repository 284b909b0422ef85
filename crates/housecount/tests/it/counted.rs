//! The main promise on real input: every acknowledged heartbeat is counted, on every kind of store.

use std::time::Duration;

use housecount::load::audience::AudienceConfig;
use housecount::load::{self, LoadPlan, LoadReport, Transport};
use housecount_net::client::Client;
use housecount_test::timed_test;
use serde_json::Value;

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

/// A small audience whose viewers come and go often.
fn small() -> (AudienceConfig, Duration) {
    let shape = AudienceConfig {
        viewers: 1_500,
        stages: 20,
        interval_ms: 2_000,
        stay_ms: 6_000,
        gap_ms: 0,
        ramp_ms: 2_000,
        prefix: "load-".to_string(),
        seed: 41,
    };
    (shape, Duration::from_secs(8))
}

/// The audience of `load --viewers 10000 --stages 20 --interval 5s --duration 60s`.
fn full() -> (AudienceConfig, Duration) {
    let shape = AudienceConfig {
        viewers: 10_000,
        interval_ms: 5_000,
        stay_ms: 600_000,
        ramp_ms: 5_000,
        ..small().0
    };
    (shape, Duration::from_secs(60))
}

async fn play(
    nodes: &[&Node],
    (shape, duration): (AudienceConfig, Duration),
    transport: Transport,
) -> LoadReport {
    let nodes = nodes.iter().map(|node| Client::new(&node.address).unwrap()).collect();
    // The bound is strict only in the long proof, which has the machine to itself.
    let agree_within = Duration::from_millis(if shape.viewers >= 10_000 { 100 } else { 5_000 });
    let plan = LoadPlan { nodes, shape, duration, transport, tokens: None, agree_within };
    let report = load::run(plan, |_, _| ()).await.unwrap();
    assert!(report.is_good() && report.failed == 0, "{report:#?}");
    assert!(report.polls > report.incomplete_polls, "{report:#?}");
    assert!(report.expected_viewers > 1_000, "{report:#?}");
    report
}

/// Waits until the totals equal the truth exactly. Leaves take effect after their grace.
async fn equals_the_truth(node: &Node, report: &LoadReport) {
    eventually("the totals equal the truth", async || {
        node.stats().await["viewers"].as_u64() == Some(report.expected_viewers)
    })
    .await;
    let stages = node.get("/v1/stages?limit=1000").await;
    let stages = stages["stages"].as_array().unwrap().iter();
    let counts =
        stages.map(|s| (s["stage"].as_str().unwrap().to_string(), s["viewers"].as_u64().unwrap()));
    let counts: std::collections::BTreeMap<_, _> =
        counts.filter(|(_, viewers)| *viewers > 0).collect();
    assert_eq!(counts, report.expected_by_stage);
}

#[timed_test(flavor = "multi_thread")]
async fn embedded() {
    let node = Node::ready(&[]).await;
    for transport in [Transport::Http, Transport::Batch] {
        let report = play(&[&node], small(), transport).await;
        if transport == Transport::Http {
            equals_the_truth(&node, &report).await;
        }
    }
}

#[timed_test(flavor = "multi_thread")]
async fn acknowledged_from_memory() {
    let node = Node::ready(&["log=memory:", "ack=memory"]).await;
    let report = play(&[&node], small(), Transport::Http).await;
    equals_the_truth(&node, &report).await;
}

#[timed_test(flavor = "multi_thread")]
async fn two_nodes_on_redis_and_dynamodb_answer_alike() {
    two_nodes_answer_alike(small()).await;
}

async fn two_nodes_answer_alike(audience: (AudienceConfig, Duration)) {
    let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
    let (log, cold) = (format!("log={}", redis.url()), format!("cold={}", dynamo.url("table")));
    let made = crate::support::node::housecount()
        .args(["table", "create", "--cold", &dynamo.url("table")])
        .output()
        .unwrap();
    assert!(made.status.success());
    let settings = [log.as_str(), cold.as_str(), "publish_counts=true"];
    let (one, other) = (Node::ready(&settings).await, Node::ready(&settings).await);
    let report = play(&[&one, &other], audience, Transport::Http).await;
    equals_the_truth(&one, &report).await;
    equals_the_truth(&other, &report).await;
    let hottest = one.viewers("load-0000").await;
    eventually("the plain key has the count", async || {
        redis.command("GET hc:viewers:load-0000").trim() == hottest.to_string()
    })
    .await;
    println!("{report:#?}");
}

/// The audience size that users start with. Run with:
/// `cargo test --release -p housecount --test it -- --ignored --nocapture full_size`
#[timed_test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn full_size_embedded() {
    let node = Node::ready(&[]).await;
    let report = play(&[&node], full(), Transport::Http).await;
    equals_the_truth(&node, &report).await;
    println!("{report:#?}");
}

/// The same size with two nodes on Redis and DynamoDB's API.
#[timed_test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn full_size_two_nodes_on_redis_and_dynamodb() {
    two_nodes_answer_alike(full()).await;
}

/// Beats that one node accepts show on the other. How soon is a figure (docs/ARCHITECTURE.md), not
/// a test.
#[timed_test(flavor = "multi_thread")]
async fn what_one_node_takes_the_other_shows() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let (one, other) = (Node::ready(&[&log]).await, Node::ready(&[&log]).await);
    let mut slowest = Duration::ZERO;
    for n in 1..=20u64 {
        let answer = one.beat("s", &format!("viewer-{n}")).await;
        assert_eq!(answer["viewers"], n, "the reply counts its own beat");
        let taken = tokio::time::Instant::now();
        while other.viewers("s").await != n {
            assert!(
                taken.elapsed() < Duration::from_secs(30),
                "the other node has the count within 30 s"
            );
            tokio::task::yield_now().await;
        }
        slowest = slowest.max(taken.elapsed());
    }
    println!("shown by the other node after {slowest:?} at most");
    let strip = |mut stats: Value| {
        stats["asOf"] = Value::Null;
        stats
    };
    assert_eq!(strip(one.stats().await), strip(other.stats().await));
}

/// The `load` command itself, and its verdict.
#[timed_test(flavor = "multi_thread")]
async fn load_reports_and_exits_by_its_verdict() {
    let load = |url: String, transport: &str| {
        let arguments = [
            "load",
            "--url",
            &url,
            "--viewers",
            "50",
            "--interval",
            "500ms",
            "--duration",
            "2s",
            "--json",
        ];
        let mut command = crate::support::node::housecount();
        command.args(arguments).args(["--transport", transport, "--stay", "3s"]);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    for transport in ["http", "ws", "batch"] {
        let node = Node::ready(&["log=memory:", "cold=none"]).await;
        let output = load(node.address.clone(), transport).await.unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{transport}: {report:#}");
        assert!(report["expectedViewers"].as_u64() > Some(0), "{transport}: {report:#}");
        assert_eq!(report["expectedViewers"], report["countedViewers"], "{transport}: {report:#}");
        assert!(
            report["p99Ms"].as_f64() > Some(0.0) && report["failed"] == 0,
            "{transport}: {report:#}"
        );
        assert!(report["leaves"].as_u64() > Some(0), "{transport}: {report:#}");
    }

    let output = load(forgetful().await, "http").await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert!(report["lowPolls"].as_u64() > Some(0) && report["countedViewers"] == 0, "{report:#}");
}

/// A server that acknowledges every beat and counts no viewer. `load` must detect this.
async fn forgetful() -> String {
    use axum::routing::{get, post};
    let no_viewers =
        || async { r#"{"viewers":0,"sessions":0,"complete":true,"recovering":false}"# };
    let router = axum::Router::new()
        .route("/readyz", get(|| async { "ready" }))
        .route("/v1/heartbeat", post(no_viewers))
        .route("/v1/stats", get(no_viewers))
        .route("/v1/stages/{stage}/viewers", get(|| async { r#"{"viewers":[],"complete":true}"# }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[timed_test(flavor = "multi_thread")]
async fn the_demo_has_something_to_see() {
    let node = Node::demo(50, &["log=memory:"]);
    eventually("viewers arrive", async || node.stats().await["viewers"].as_u64() > Some(20)).await;
    assert!(node.stats().await["stages"].as_u64() > Some(1));
    let page = node.get("/v1/stages?sort=stage").await;
    let stages = page["stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["configured"] == true), "{page}");
    let of = |name: &str| stages.iter().filter_map(|stage| stage.get(name)).count();
    assert_eq!((of("name"), of("customer"), of("tags")), (5, 4, 5), "{page}");
}

#[timed_test(flavor = "multi_thread")]
async fn the_demo_needs_no_cold_tier() {
    let node = Node::demo(50, &["log=memory:", "cold=none"]);
    eventually("viewers arrive", async || node.stats().await["viewers"].as_u64() > Some(20)).await;
}
