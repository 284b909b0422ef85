//! The limit of a viewer's streams over all stages, on every way that a heartbeat may come.

use futures_util::StreamExt;
use housecount_access::auth::{Payload, Scope};
use housecount_test::timed_test;
use serde_json::{Value, json};

use super::operators::{key, keys};
use super::raw::say;
use super::ws::{ask, connect};
use super::{SECRET, node, payload, prefixed, refused, token};
use crate::support::eventually;
use crate::support::node::{Node, housecount};
use crate::support::redis::{Flavour, Server};

async fn limited(policy: &str, more: &[&str]) -> Node {
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    let policy = format!("limits.streams_policy={policy}");
    let own = ["auth.viewer=required", &keys, "limits.streams_per_viewer=1", &policy];
    node(&[&own[..], more].concat()).await
}

/// Token of a viewer for all stages.
fn of(viewer: &str) -> String {
    token(&prefixed(viewer, ""))
}

/// Sends a heartbeat of ann.
fn beat(node: &Node, stage: &str, session: &str) -> (u16, Value) {
    let body = json!({ "stage": stage, "viewer": "ann", "session": session });
    say(node, "/v1/heartbeat", Some(&of("ann")), &body)
}

/// Stages and sessions of the streams that a refusal names.
fn active(answer: &(u16, Value)) -> Vec<(&str, &str)> {
    let active = answer.1["active"].as_array().map(Vec::as_slice).unwrap_or_default();
    active
        .iter()
        .map(|stream| {
            assert!(stream["since"].as_u64().unwrap() > 1_700_000_000_000, "{stream}");
            (stream["stage"].as_str().unwrap(), stream["session"].as_str().unwrap())
        })
        .collect()
}

#[timed_test(flavor = "multi_thread")]
async fn a_stream_beyond_the_limit_is_refused_until_another_one_ends() {
    let node = limited("refuse", &[]).await;
    assert_eq!(beat(&node, "s", "tab-1").0, 200);
    for stage in ["s", "t"] {
        let answer = beat(&node, stage, "tab-2");
        assert_eq!(refused(&answer), (409, "too_many_streams"), "{}", answer.1);
        assert_eq!(active(&answer), [("s", "tab-1")]);
    }
    assert_eq!(beat(&node, "s", "tab-1").0, 200, "its own stream goes on");
    let bob = json!({ "stage": "s", "viewer": "bob", "session": "tab-2" });
    assert_eq!(say(&node, "/v1/heartbeat", Some(&of("bob")), &bob).0, 200);
    assert_eq!(node.viewers("s").await, 2);
    // A stream that leaves gives its place at once, before its leave takes effect.
    let leave = json!({ "stage": "s", "viewer": "ann", "session": "tab-1" });
    assert_eq!(say(&node, "/v1/leave", Some(&of("ann")), &leave).0, 204);
    assert_eq!(beat(&node, "t", "tab-2").0, 200);
}

/// A reloaded or crashed tab need not wait until its old session ends.
#[timed_test(flavor = "multi_thread")]
async fn a_session_may_take_the_place_of_its_own_earlier_one() {
    let node = limited("refuse", &[]).await;
    assert_eq!(beat(&node, "s", "before").0, 200);
    let take = |stage: &str, replaces: Value| {
        let body = json!({
            "stage": stage, "viewer": "ann", "session": "after", "replaces": replaces,
        });
        say(&node, "/v1/heartbeat", Some(&of("ann")), &body)
    };
    assert_eq!(refused(&take("s", json!("another"))), (409, "too_many_streams"));
    assert_eq!(refused(&take("t", json!("before"))), (409, "too_many_streams"), "other stage");
    for wrong in [json!(7), json!("a\u{7}b"), json!("x".repeat(129))] {
        assert_eq!(refused(&take("s", wrong)), (400, "invalid_session"));
    }
    assert_eq!(take("s", json!("before")).0, 200);
    assert_eq!(refused(&beat(&node, "s", "before")), (409, "displaced"));
    assert_eq!(take("s", json!("before")).0, 200, "the same again changes nothing");
    eventually("one session is left", async || {
        node.get("/v1/stages/s/viewers").await["viewers"][0]["sessions"] == json!(["after"])
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn a_new_stream_displaces_the_oldest() {
    let node = limited("displace", &[]).await;
    assert_eq!(beat(&node, "s", "tab-1").0, 200);
    assert_eq!(beat(&node, "t", "tab-2").0, 200);
    assert_eq!(refused(&beat(&node, "s", "tab-1")), (409, "displaced"));
    eventually("the first is not counted", async || node.viewers("s").await == 0).await;
    assert_eq!(beat(&node, "t", "tab-2").0, 200);
    assert_eq!(beat(&node, "s", "tab-3").0, 200);
    assert_eq!(refused(&beat(&node, "t", "tab-2")), (409, "displaced"));
    eventually("the last is counted alone", async || {
        (node.viewers("s").await, node.viewers("t").await) == (1, 0)
    })
    .await;
    assert_eq!(node.metric("housecount_events_total{kind=\"displace\"}").await, 2.0);
}

#[timed_test(flavor = "multi_thread")]
async fn a_token_may_set_another_limit() {
    let node = limited("refuse", &[]).await;
    let family = token(&Payload { streams: Some(2), ..prefixed("ann", "") });
    let join = |token: &str, session: &str| {
        let body = json!({ "stage": "s", "viewer": "ann", "session": session });
        say(&node, "/v1/heartbeat", Some(token), &body)
    };
    for session in ["1", "2", "1", "2"] {
        assert_eq!(join(&family, session).0, 200);
    }
    let answer = join(&family, "3");
    assert_eq!((refused(&answer), active(&answer).len()), ((409, "too_many_streams"), 2));
    let none = token(&Payload { streams: Some(0), ..payload("bob", "s") });
    let bob = json!({ "stage": "s", "viewer": "bob" });
    assert_eq!(refused(&say(&node, "/v1/heartbeat", Some(&none), &bob)).1, "too_many_streams");
    // With a lower limit since, the latest of both streams ends at its next heartbeat.
    assert_eq!(join(&of("ann"), "1").0, 200);
    assert_eq!(refused(&join(&of("ann"), "2")), (409, "displaced"));
}

/// The player need not send anything first.
#[timed_test(flavor = "multi_thread")]
async fn a_websocket_learns_at_once_that_its_session_was_displaced() {
    let node = limited("displace", &[]).await;
    let mut socket = connect(&node, &format!("?token={}", of("ann"))).await.unwrap();
    let first = json!({ "stage": "s", "viewer": "ann", "session": "tab-1" });
    assert_eq!(ask(&mut socket, first).await["viewers"], 1);
    assert_eq!(beat(&node, "t", "tab-2").0, 200);
    let message = socket.next().await.unwrap().unwrap();
    let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    assert_eq!(message["code"], "displaced", "{message}");
    assert_eq!(ask(&mut socket, json!({})).await["code"], "displaced");
    // It may go on as a new session, which displaces the other one.
    let again = json!({ "stage": "s", "viewer": "ann", "session": "tab-3" });
    assert_eq!(ask(&mut socket, again).await["viewers"], 1);
    assert_eq!(refused(&beat(&node, "t", "tab-2")), (409, "displaced"));
}

/// Operators' calls have no token, and none of them may see a viewer's streams.
#[timed_test(flavor = "multi_thread")]
async fn a_batch_and_the_drop_in_api_keep_the_limit() {
    let (file, keys) = keys();
    let key = key(&keys, Scope::Beats);
    let operators = format!("auth.operator_keys={}", file.path().display());
    let node = limited("refuse", &[&operators]).await;
    let beats = json!([
        { "stage": "s", "viewer": "ann", "session": "1" },
        { "stage": "t", "viewer": "ann", "session": "2" },
        { "stage": "t", "viewer": "bob", "session": "2" },
    ]);
    let (status, answer) = say(&node, "/v1/heartbeats", Some(key), &beats);
    assert_eq!((status, &answer["accepted"]), (200, &json!(2)), "{answer}");
    assert_eq!(answer["rejected"][0]["code"], "too_many_streams", "{answer}");
    assert!(answer["rejected"][0].get("active").is_none());
    let rejoin = json!({ "userId": "ann", "stageArn": "t", "participantId": "3" });
    let (status, answer) = say(&node, "/api/viewer/rejoin", Some(key), &rejoin);
    assert_eq!(status, 409, "{answer}");
}

/// Two nodes may admit a stream each. The next heartbeats end one, and the same one on both.
#[timed_test(flavor = "multi_thread")]
async fn after_a_race_of_two_nodes_one_stream_is_left() {
    for policy in ["refuse", "displace"] {
        let redis = Server::start(Flavour::Redis, &[]).await;
        let log = format!("log={}", redis.url());
        let nodes = [limited(policy, &[&log]).await, limited(policy, &[&log]).await];
        // Neither node reads the other's heartbeat before it has answered its own.
        let racing = std::thread::scope(|scope| {
            let join = |n: usize| {
                let node = &nodes[n];
                scope.spawn(move || beat(node, ["s", "t"][n], ["a", "b"][n]).0)
            };
            [join(0), join(1)].map(|join| join.join().unwrap())
        });
        assert!(racing.contains(&200), "{racing:?}");
        eventually("one stream is left, on both nodes", async || {
            let _ = (beat(&nodes[0], "s", "a"), beat(&nodes[1], "t", "b"));
            let mut seen = Vec::new();
            for node in &nodes {
                seen.push((node.viewers("s").await, node.viewers("t").await));
            }
            seen[0] == seen[1] && seen[0].0 + seen[0].1 == 1
        })
        .await;
    }
}

#[test]
fn a_limit_of_streams_needs_tokens() {
    let refused = |settings: &[&str]| {
        let flags = settings.iter().flat_map(|setting| ["--set", setting]);
        let mut serve = housecount();
        let output = serve.args(["serve", "--log", "memory:", "--cold", "none"]).args(flags);
        let output = output.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = refused(&["limits.streams_per_viewer=2"]);
    assert!(error.contains("limits.streams_per_viewer") && error.contains("required"), "{error}");
    // STREAMS_PER_VIEWER_MAX
    let error = refused(&["limits.streams_per_viewer=101", "auth.viewer=required"]);
    assert!(error.contains("at most 100"), "{error}");
    let error = refused(&["limits.streams_policy=maybe"]);
    assert!(error.contains("refuse") && error.contains("displace"), "{error}");
}
