//! The cost guard merges two flushes of a DynamoDB log into one, and later goes back. No event is
//! lost, and the ledger is exact throughout.

use std::sync::Arc;

use housecount::app::App;
use housecount::config::{Layers, NodeSettings};
use housecount_backend::clock::mono_ms;
use housecount_backend::log::Log;
use housecount_core::fold::HandleKey;
use housecount_core::keys::{log_pk, parse_log_sk};
use housecount_core::limits::{COST_GUARD_HOLD_MS, FLUSH_STRETCH_MAX};
use housecount_metrics::MetricsFormat;
use housecount_net::client::Client;
use housecount_server::http::BoundListener;
use housecount_server::node::Node;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::crowd::Crowd;
use super::tap::Tap;
use super::{SETTINGS, refusals_are_in_order, the_ledger_is_exact};
use crate::support::dynamo::Dynamo;
use crate::support::eventually;

const FLUSH_MS: u64 = 150;
const BEHIND_MS: u64 = 700;

/// A node in this process, so that the test can make minutes pass for the guard.
struct Inside {
    node: Arc<Node>,
    client: Client,
    _stop: oneshot::Sender<()>,
}

impl Inside {
    async fn ready(log: Arc<dyn Log>, dynamo: &Dynamo) -> Inside {
        let guard = ["limits.session_beats=0", "cost.monthly_limit_usd=0.01", "cost.guard=stretch"];
        let flags = SETTINGS.iter().chain(&guard).map(|flag| {
            let (name, value) = flag.split_once('=').unwrap();
            ("--set".to_string(), name.to_string(), value.to_string())
        });
        let settings =
            NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags.collect()).unwrap())
                .unwrap();
        let cold = dynamo.cold("table").await;
        let app = App::with_stores(settings, log, Some(Arc::new(cold))).unwrap();
        let bound = BoundListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", bound.address)).unwrap();
        let (node, (stop, stopped)) = (app.node.clone(), oneshot::channel::<()>());
        tokio::spawn(app.run(bound, async {
            let _ = stopped.await;
        }));
        eventually("the node is ready", async || {
            node.engine.readiness.not_ready_reason().is_none()
        })
        .await;
        Inside { node, client, _stop: stop }
    }

    /// Whether `/metrics` shows flushes and snapshots stretched by these factors.
    fn shows(&self, flushes: u64, snapshots: u64) -> bool {
        self.node.costs.update_metrics(&self.node.engine.metrics);
        let text = self
            .node
            .engine
            .metrics
            .encode(self.node.engine.hub.gauge_values(), MetricsFormat::Text);
        let has = |line: String| text.lines().any(|l| l == line);
        has(format!("housecount_cost_flush_stretch {flushes}"))
            && has(format!("housecount_cost_stretch {snapshots}"))
    }
}

/// Beats again as soon as the last beat was acknowledged, so there is always an item to put.
async fn beat_on(client: Client, viewer: String) {
    let body = json!({ "stage": "restless", "viewer": viewer }).to_string();
    loop {
        let _ = client.call(Method::POST, "/v1/heartbeat", body.clone()).await;
    }
}

/// Times of the log's items, in order.
fn positions(dynamo: &Dynamo) -> Vec<u64> {
    let answer = dynamo.call(
        "Query",
        json!({
            "TableName": "table", "KeyConditionExpression": "pk = :pk", "ProjectionExpression": "sk",
            "ExpressionAttributeValues": { ":pk": { "S": log_pk(0) } },
        }),
    );
    let sk = |item: &serde_json::Value| parse_log_sk(item["sk"]["S"].as_str()?);
    answer["Items"].as_array().unwrap().iter().filter_map(sk).map(|(at, ..)| at.0).collect()
}

/// Gaps in ms between the items after the first `before` ones. Waits until there are twenty of
/// those.
async fn gaps_after(dynamo: &Dynamo, before: usize) -> Vec<u64> {
    eventually("twenty more items are written", async || positions(dynamo).len() > before + 20)
        .await;
    positions(dynamo)[before..].windows(2).map(|two| two[1] - two[0]).collect()
}

#[timed_test(flavor = "multi_thread")]
async fn flushes_are_stretched_above_the_limit_and_go_back() {
    let dynamo = Dynamo::start().await;
    dynamo.make_table("table");
    let flush = format!("flush={FLUSH_MS}ms");
    let tap = Tap::over(Arc::new(dynamo.log("table", &flush).await), HandleKey(7));
    let inside = Inside::ready(Arc::new(dynamo.log("table", &flush).await), &dynamo).await;
    let crowd = Crowd::new(std::slice::from_ref(&inside.client), 300);
    let (mut beats, mut restless) = (crowd.go(), JoinSet::new());
    for n in 0..3 {
        restless.spawn(beat_on(inside.client.clone(), format!("restless-{n}")));
    }
    assert!(inside.shows(1, 1));
    // Even spread over an hour, the puts so far cost more than a cent a month.
    gaps_after(&dynamo, 10).await;
    let (costs, started_ms, hour) = (&inside.node.costs, mono_ms(), COST_GUARD_HOLD_MS / 60_000);
    let pass = |minutes: std::ops::RangeInclusive<u64>| {
        minutes.for_each(|minute| costs.sample(started_ms + 1_000 + minute * 60_000));
    };
    pass(1..=hour);
    assert!(inside.shows(FLUSH_STRETCH_MAX, 3));
    // One item may have been on its way.
    let gaps = gaps_after(&dynamo, positions(&dynamo).len() + 2).await;
    let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
    assert!(mean >= FLUSH_MS * FLUSH_STRETCH_MAX * 9 / 10, "{gaps:?}");

    // Hours with almost no puts.
    pass(hour + 1..=5 * hour);
    assert!(inside.shows(1, 1));
    let before = positions(&dynamo).len();
    eventually("flushes have their usual interval", async || {
        positions(&dynamo)[before..].windows(2).any(|two| two[1] - two[0] < FLUSH_MS * 3 / 2)
    })
    .await;

    restless.shutdown().await;
    crowd.end();
    while beats.join_next().await.is_some() {}
    refusals_are_in_order(&crowd, false);
    the_ledger_is_exact(&inside.client, &dynamo, &tap, &crowd, BEHIND_MS).await;
}
