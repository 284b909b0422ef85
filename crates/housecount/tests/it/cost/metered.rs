//! A node's metered consumption against the emulator's, unit by unit.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount};
use crate::support::redis::{Flavour, Server};

fn sum(cost: &Value, figure: &str) -> f64 {
    cost["purposes"].as_array().unwrap().iter().map(|of| of[figure].as_f64().unwrap()).sum()
}

fn of<'a>(cost: &'a Value, purpose: &str) -> &'a Value {
    cost["purposes"].as_array().unwrap().iter().find(|of| of["purpose"] == purpose).unwrap()
}

/// Whether the node's figures equal the emulator's exactly. They count half units for every answer
/// that was sent, and one unit for each small write that was refused.
fn agrees(cost: &Value, dynamo: &Dynamo) -> bool {
    let billed = &dynamo.faults.billed;
    let now = |count: &AtomicU32| f64::from(count.load(Ordering::SeqCst));
    sum(cost, "writeUnits") == now(&billed.writes) / 2.0 + now(&billed.refused)
        && sum(cost, "readUnits") == now(&billed.reads) / 2.0
}

/// Whether the node's figures become the emulator's within some seconds. The node commits all the
/// time, so they are not equal at each moment.
async fn comes_to_agree(node: &Node, dynamo: &Dynamo) -> Option<Value> {
    for _ in 0..500 {
        let cost = node.get("/v1/cost").await;
        if agrees(&cost, dynamo) {
            return Some(cost);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// Runs a node on a DynamoDB that throttles, leaves items unprocessed and loses answers. The result
/// is the node's own cost, or nothing if it never equals the emulator's.
async fn metered_cost(dynamo: &Dynamo, node: &Node) -> Option<Value> {
    let body = json!({ "stage": "s", "name": "A stage" });
    assert_eq!(node.call(Method::POST, "/v1/stages", body.clone()).await.0, 201);
    assert_eq!(
        node.call(Method::POST, "/v1/stages", body).await.0,
        409,
        "a refused write is counted too"
    );
    let committed = async || node.metric("housecount_commits_total ").await;
    for round in 0..4 {
        node.beat_many("s", round * 15, 15).await;
        node.beat_many("t", round * 15, 15).await;
        // A refused call consumes nothing. Unprocessed items are metered when they are sent again.
        dynamo.faults.throttled.store(2, Ordering::SeqCst);
        dynamo.faults.unprocessed.store(1, Ordering::SeqCst);
        dynamo.faults.lying.store(1, Ordering::SeqCst);
        let before = committed().await;
        eventually("a window is committed", async || {
            node.beat("s", "ann").await;
            committed().await > before
        })
        .await;
        let all = "/v1/stages/s/watch?from=2001-01-01&to=4000000000000";
        assert_eq!(node.call(Method::GET, all, Value::Null).await.0, 200);
    }
    comes_to_agree(node, dynamo).await
}

#[timed_test(flavor = "multi_thread")]
async fn the_meter_is_the_emulators_own_whatever_fails() {
    let quick = [
        "interval=1s",
        "ttl=3s",
        "window=2s",
        "snapshot_interval=1s",
        "archive_flush=1s",
        "limits.session_beats=0",
    ];
    let mut runs = 0;
    let (dynamo, node, cost) = loop {
        let dynamo = Dynamo::start().await;
        let url = dynamo.url("audience");
        assert!(housecount().args(["table", "create", "--cold", &url]).status().unwrap().success());
        let cold = format!("cold={url}");
        let set = [&quick[..], &[&cold, "archive=packed", "log=memory:"]].concat();
        let node = Node::ready(&set).await;
        let hung_up = || dynamo.faults.hung_up.load(Ordering::SeqCst);
        let before = hung_up();
        if let Some(cost) = metered_cost(&dynamo, &node).await {
            break (dynamo, node, cost);
        }
        // On a machine that has no time, an attempt times out whose answer has been sent. The node
        // can't meter that, so such a run shows nothing.
        runs += 1;
        assert!(
            hung_up() > before && runs < 5,
            "run {runs}: the meter never agreed with the emulator: {:#}, {:?}",
            node.get("/v1/cost").await,
            dynamo.faults
        );
    };
    assert!(
        dynamo.faults.billed.refused.load(Ordering::SeqCst) > 0,
        "the emulator billed a refused write"
    );
    assert!(
        dynamo.faults.unbilled.writes.load(Ordering::SeqCst)
            + dynamo.faults.unbilled.reads.load(Ordering::SeqCst)
            > 0
    );
    for purpose in ["snapshots", "ledger", "archive", "leases", "stages"] {
        assert!(of(&cost, purpose)["writeUnits"].as_u64() > Some(0), "{purpose}: {cost:#}");
    }
    assert!(of(&cost, "reads")["readUnits"].as_f64() > Some(0.0), "{cost:#}");
    // The money agrees as well, to the micro-dollar.
    let micros = |units: f64, price: f64| units * price;
    let usd = micros(sum(&cost, "writeUnits"), 0.625) + micros(sum(&cost, "readUnits"), 0.125);
    assert!((cost["total"]["usd"].as_f64().unwrap() * 1e6 - usd).abs() <= 0.5, "{cost:#}");
    assert!(cost["total"]["monthUsd"].as_f64() > cost["total"]["usd"].as_f64(), "{cost:#}");
    assert!(
        cost["storage"]["bytes"].as_u64().is_some()
            && cost["redis"].is_null()
            && cost["limit"].is_null()
    );
    assert_eq!(cost["plans"][0]["plan"], "pure-dynamodb");
    assert_eq!(cost["plans"][4]["plan"], "housecount");
    assert!(cost["total"]["perMillionViewerHoursUsd"].as_f64() > Some(0.0), "{cost:#}");
    assert!(node.metric("housecount_cost_usd{purpose=\"ledger\",store=\"cold\"} ").await > 0.0);
    assert!(
        node.metric("housecount_cold_consumed_units_total{kind=\"write\",purpose=\"leases\"} ")
            .await
            > 0.0
    );
}

#[timed_test(flavor = "multi_thread")]
async fn redis_is_counted_and_asked_for_its_memory() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let node = Node::ready(&[&log, "cold=none", "cost.monthly_limit_usd=5"]).await;
    let before = node.get("/v1/cost").await;
    node.beat_many("s", 0, 500).await;
    eventually("Redis's memory is known", async || {
        node.get("/v1/cost").await["redis"]["memoryBytes"].as_u64() > Some(100_000)
    })
    .await;
    let cost = node.get("/v1/cost").await;
    assert!(cost["redis"]["commands"].as_u64() > before["redis"]["commands"].as_u64(), "{cost:#}");
    assert!(cost["redis"]["bytesIn"].as_u64() > Some(500 * 3), "{cost:#}");
    assert!(cost["redis"]["bytesOut"].as_u64() > Some(0), "{cost:#}");
    assert_eq!(
        (&cost["redis"]["node"], &cost["redis"]["monthUsd"]),
        (&json!("cache.t4g.micro"), &json!(9.344))
    );
    assert_eq!((&cost["total"]["usd"], &cost["total"]["monthUsd"]), (&json!(0.0), &json!(9.344)));
    assert_eq!(cost["audience"], json!({ "viewers": 500, "stages": 1 }));
    // The guard judges the cost only after a quarter of an hour.
    let limit = json!({ "monthUsd": 5.0, "guard": "warn", "isExceeded": false, "isStretched": false, "isSlowed": false });
    assert_eq!(cost["limit"], limit);
    assert!(node.metric("housecount_redis_memory_bytes ").await > 100_000.0);
}
