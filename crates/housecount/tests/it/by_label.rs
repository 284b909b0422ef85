//! Counts of viewers by label, as operators read them.

use housecount_access::auth::operators::{NewKey, SCOPES};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::http::ask;
use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};
use crate::support::sse::Events;

const LABELLED: [&str; 7] = [
    "cold=none",
    "interval=1s",
    "ttl=30s",
    "leave_grace=200ms",
    "limits.session_beats=0",
    "labels=country,device",
    "linger=1ms",
];
const ALONE: [&str; 1] = ["log=memory:"];

async fn node(more: &[&str]) -> Node {
    Node::ready(&[&LABELLED[..], more].concat()).await
}

async fn say(node: &Node, kind: &str, viewer: &str, session: &str, labels: Value) {
    let body = json!({ "stage": "s", "viewer": viewer, "session": session, "labels": labels });
    let (status, answer) = node.call(Method::POST, &format!("/v1/{kind}"), body).await;
    assert!(status == 200 || status == 204, "{answer}");
}

async fn beat(node: &Node, viewer: &str, session: &str, labels: Value) {
    say(node, "heartbeat", viewer, session, labels).await;
}

/// Returns the values of a label with their viewers.
fn pairs(by: &Value) -> Vec<(Option<&str>, u64)> {
    let values = by["values"].as_array().unwrap();
    values.iter().map(|of| (of["value"].as_str(), of["viewers"].as_u64().unwrap())).collect()
}

async fn devices(node: &Node, path: &str) -> Value {
    node.get(&format!("{path}by=device")).await
}

/// A viewer with a phone and a television is one viewer of each, and one viewer in all.
#[timed_test(flavor = "multi_thread")]
async fn each_value_counts_its_viewers_once() {
    let node = node(&ALONE).await;
    beat(&node, "ann", "a", json!({ "country": "NO", "device": "phone" })).await;
    beat(&node, "ann", "b", json!({ "country": "NO", "device": "tv" })).await;
    beat(&node, "bob", "c", json!({ "device": "tv" })).await;
    beat(&node, "cy", "d", Value::Null).await;
    let expected = [(Some("tv"), 2), (None, 1), (Some("phone"), 1)];
    for path in ["/v1/stages/s?", "/v1/stage?stage=s&", "/v1/stats?"] {
        let answer = devices(&node, path).await;
        assert_eq!(pairs(&answer["by"]), expected, "{path}: {answer}");
        assert_eq!((&answer["by"]["key"], &answer["viewers"]), (&json!("device"), &json!(3)));
        assert!(answer["by"].get("belowFloor").is_none() && answer["asOf"].is_u64());
    }
    let countries = node.get("/v1/stats?by=country").await;
    assert_eq!(pairs(&countries["by"]), [(None, 2), (Some("NO"), 1)]);
    assert!(node.stats().await.get("by").is_none());

    // A reload keeps the labels of the session's first beat; another tab's leave ends its own.
    say(&node, "leave", "ann", "a", Value::Null).await;
    beat(&node, "ann", "a", json!({ "device": "watch" })).await;
    say(&node, "leave", "bob", "c", Value::Null).await;
    eventually("bob has left", async || {
        let answer = devices(&node, "/v1/stages/s?").await;
        pairs(&answer["by"]) == [(None, 1), (Some("phone"), 1), (Some("tv"), 1)]
    })
    .await;
    let other = devices(&node, "/v1/stages/s?").await;
    assert_eq!(other["viewers"], 2);
}

#[timed_test(flavor = "multi_thread")]
async fn an_unknown_label_is_named_with_the_known_ones() {
    let with = node(&ALONE).await;
    beat(&with, "ann", "a", Value::Null).await;
    let without = Node::ready(&["log=memory:", "cold=none"]).await;
    without.beat("s", "ann").await;
    for path in ["/v1/stats", "/v1/stages/s", "/v1/live?stage=s"] {
        for (node, keys) in [(&with, "country, device"), (&without, "the setting labels")] {
            let by = if path.contains('?') { "&by=plan" } else { "?by=plan" };
            let answer = ask(node, "GET", &format!("{path}{by}"), &[], "");
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_query")));
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("plan") && detail.contains(keys), "{path}: {detail}");
        }
    }
    let answer = ask(&with, "GET", "/v1/live?by=country", &[], "");
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[timed_test(flavor = "multi_thread")]
async fn a_stream_sends_labels_as_they_change() {
    let node = node(&ALONE).await;
    beat(&node, "ann", "a", json!({ "device": "phone" })).await;
    let path = "/v1/live?stage=s&totals=true&by=device";
    let mut events = Events::open(&node.address, path, None).await;
    let mut next = async |stage: Value, wanted: &[(Option<&str>, u64)]| {
        loop {
            let event = events.next().await.unwrap();
            if event.name != "labels" || event.data["stage"] != stage {
                continue;
            }
            assert!(event.data["complete"].is_boolean() && event.data["asOf"].is_u64());
            if pairs(&event.data["by"]) == wanted {
                break;
            }
        }
    };
    next(json!("s"), &[(Some("phone"), 1)]).await;
    next(Value::Null, &[(Some("phone"), 1)]).await;
    beat(&node, "ann", "b", json!({ "device": "tv" })).await;
    next(json!("s"), &[(Some("phone"), 1), (Some("tv"), 1)]).await;
}

/// Two nodes count alike, whichever of them got a session's labels.
#[timed_test(flavor = "multi_thread")]
async fn nodes_agree_about_labels() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let nodes = [node(&[&log]).await, node(&[&log]).await];
    for (n, device) in ["phone", "tv", "phone", "tv", "tablet"].into_iter().enumerate() {
        beat(&nodes[n % 2], &format!("viewer-{n}"), "a", json!({ "device": device })).await;
    }
    // The other node knows the session, and keeps its labels.
    beat(&nodes[1], "viewer-0", "a", json!({ "device": "watch" })).await;
    for node in &nodes {
        eventually("both nodes have read all", async || {
            let answer = devices(node, "/v1/stages/s?").await;
            pairs(&answer["by"]) == [(Some("phone"), 2), (Some("tv"), 2), (Some("tablet"), 1)]
        })
        .await;
    }
}

/// A key limited to stages sees no value with fewer viewers than the floor.
#[timed_test(flavor = "multi_thread")]
async fn a_limited_key_sees_no_small_counts() {
    let file = NamedTempFile::new().unwrap();
    let key = |stages: &[String]| {
        NewKey { name: "any", scopes: &SCOPES, customer: None, stages }.create().unwrap()
    };
    let [(whole, all), (limited, some)] = [key(&[]), key(&["s*".to_string()])];
    std::fs::write(file.path(), format!("{all}\n{some}")).unwrap();
    let keys = format!("auth.operator_keys={}", file.path().display());
    let node = node(&["log=memory:", "labels_floor=2", &keys]).await;
    for (viewer, device) in [("ann", "tv"), ("bob", "tv"), ("cy", "phone")] {
        beat(&node, viewer, "a", json!({ "device": device })).await;
    }
    let by = |key: &str| {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", &*authorization)];
        let answer = ask(&node, "GET", "/v1/stages/s?by=device", &headers, "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["by"].clone()
    };
    let all = by(&whole);
    assert_eq!(pairs(&all), [(Some("tv"), 2), (Some("phone"), 1)]);
    assert!(all.get("belowFloor").is_none());
    let some = by(&limited);
    assert_eq!((pairs(&some), &some["belowFloor"]), (vec![(Some("tv"), 2)], &json!(1)));
    let headers = [("authorization", format!("Bearer {limited}"))];
    let path = "/v1/live?stage=s&by=device";
    let mut events = Events::open_with(&node.address, path, &headers).await;
    let labels = loop {
        let event = events.next().await.unwrap();
        if event.name == "labels" {
            break event.data["by"].clone();
        }
    };
    assert_eq!(labels, some);
    let answer = ask(&node, "GET", path, &[], "");
    assert_eq!(answer.status, 401, "labels are for operators: {}", answer.body);
}
