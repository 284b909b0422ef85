//! Defences of a node on the open internet, against clients that send too much and pages of other
//! sites.

use std::io::{Read, Write};
use std::net::TcpStream;

use housecount_core::limits::{BATCH_BEATS_MAX, VIEWER_SESSIONS_KEPT_MAX};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

const ONE: [&str; 2] = ["log=memory:", "cold=none"];

/// A node with these settings, besides the usual ones.
async fn node(settings: &[&str]) -> Node {
    Node::ready(&[&ONE[..], settings].concat()).await
}

/// An answer; its head is in lower case.
struct ReceivedEvent {
    status: u16,
    head: String,
    body: Value,
}

impl ReceivedEvent {
    fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(name.as_str()))
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Seconds until a retry, which a 429 must name.
    fn retry_after_s(&self) -> u64 {
        assert_eq!(self.status, 429, "{}", self.body);
        self.header("retry-after").unwrap().parse().unwrap()
    }
}

fn ask(
    node: &Node,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> ReceivedEvent {
    let mut stream = TcpStream::connect(node.address.trim_start_matches("http://")).unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    ReceivedEvent { status, head: head.to_lowercase(), body }
}

fn say(node: &Node, path: &str, stage: &str, viewer: &str, session: &str) -> ReceivedEvent {
    let body = json!({ "stage": stage, "viewer": viewer, "session": session }).to_string();
    ask(node, "POST", path, &[], &body)
}

fn beat(node: &Node, stage: &str, viewer: &str, session: &str) -> ReceivedEvent {
    say(node, "/v1/heartbeat", stage, viewer, session)
}

#[timed_test(flavor = "multi_thread")]
async fn a_viewer_may_have_twenty_sessions_on_a_stage() {
    let node = node(&["limits.session_beats=0"]).await;
    // All at once, since sessions on their way to the log count too.
    let sessions = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({ "stage": "s", "viewer": "visitor", "session": n.to_string() }))
            .collect()
    };
    let (_, body) =
        node.call(Method::POST, "/v1/heartbeats", Value::from(sessions(BATCH_BEATS_MAX))).await;
    assert_eq!(body["accepted"], 20, "{body}");
    assert_eq!(body["rejected"][0]["code"], "too_many_sessions");
    let refused = beat(&node, "s", "visitor", "one more");
    assert_eq!(
        (refused.code(), refused.retry_after_s()),
        ("too_many_sessions", 3),
        "the retry time is the grace of a leave"
    );
    let there = beat(&node, "s", "visitor", "7");
    assert_eq!((&there.body["viewers"], &there.body["sessions"]), (&json!(1), &json!(20)));
    assert_eq!(beat(&node, "t", "visitor", "one more").status, 200);
}

/// Covers sessions on stages of their own: all in one batch, then one by one, and by leaves. The
/// session of a leave is kept as well.
#[timed_test(flavor = "multi_thread")]
async fn a_viewer_may_have_a_thousand_sessions_kept() {
    let node = node(&["limits.session_beats=0"]).await;
    let sessions: Vec<Value> =
        (0..9_000).map(|n| json!({ "stage": format!("z{n}"), "viewer": "visitor" })).collect();
    let of_another = json!({ "stage": "z8999", "viewer": "another visitor" });
    for round in 0..3 {
        let batch = Value::from([&sessions[..], std::slice::from_ref(&of_another)].concat());
        let (_, body) = node.call(Method::POST, "/v1/heartbeats", batch).await;
        assert_eq!(body["accepted"], VIEWER_SESSIONS_KEPT_MAX + 1, "round {round}");
        let rejected = body["rejected"].as_array().unwrap();
        let first = (&json!(VIEWER_SESSIONS_KEPT_MAX), &json!("too_many_sessions"));
        assert_eq!((&rejected[0]["index"], &rejected[0]["code"]), first);
        assert_eq!(rejected.len(), sessions.len() - VIEWER_SESSIONS_KEPT_MAX);
    }
    for path in ["/v1/heartbeat", "/v1/leave"] {
        assert_eq!(say(&node, path, "z8999", "visitor", "").code(), "too_many_sessions", "{path}");
        assert!([200, 204].contains(&say(&node, path, "z999", "visitor", "").status), "{path}");
    }
    assert_eq!(node.stats().await["viewers"], 2);
}

#[timed_test(flavor = "multi_thread")]
async fn a_refused_viewer_takes_no_room() {
    let mut redis = Server::start(Flavour::Redis, &[]).await;
    redis.kill();
    let log = format!("log={}", redis.url());
    let node = Node::start(&[&log, "cold=none", "limits.viewers_per_stage=1"]);
    let of = |viewer: &str| json!([{ "stage": "s", "viewer": viewer }]);
    assert_eq!(
        beat(&node, "s", "ann", "").status,
        503,
        "the node does not know the log's time yet"
    );
    assert_eq!(node.call(Method::POST, "/v1/heartbeats", of("bob")).await.0, 503);
    redis.run().await;
    node.until_ready().await;
    assert_eq!(beat(&node, "s", "cid", "").status, 200);
    assert_eq!(beat(&node, "s", "ann", "").code(), "stage_full");
    let (_, body) = node.call(Method::POST, "/v1/heartbeats", of("bob")).await;
    assert_eq!(body["rejected"][0]["code"], "stage_full", "{body}");
}

/// Each holds its place until the log has it, or the node gives it up.
#[timed_test(flavor = "multi_thread")]
async fn a_heartbeat_that_waits_for_the_log_takes_room() {
    let mut redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let node = Node::ready(&[&log, "cold=none", "limits.viewers_per_stage=1"]).await;
    redis.kill();
    let ann = json!({ "stage": "s", "viewer": "ann" });
    let waits = node.call(Method::POST, "/v1/heartbeat", ann);
    let refused = async {
        eventually("the heartbeat waits", async || {
            node.metric("housecount_append_queue_events ").await == 1.0
        })
        .await;
        beat(&node, "s", "bob", "").code().to_string()
    };
    let (_, code) = tokio::join!(waits, refused);
    assert_eq!(code, "stage_full");
}

#[timed_test(flavor = "multi_thread")]
async fn a_stage_may_be_full_and_new_stages_are_limited() {
    let node = node(&["limits.viewers_per_stage=2", "limits.new_stages_per_minute=3"]).await;
    assert_eq!(
        (beat(&node, "s", "ann", "").status, beat(&node, "s", "bob", "").status),
        (200, 200)
    );
    let full = beat(&node, "s", "cid", "");
    assert_eq!((full.code(), full.retry_after_s()), ("stage_full", 30));
    assert_eq!(
        (beat(&node, "s", "ann", "tab-2").status, beat(&node, "s", "bob", "").status),
        (200, 200)
    );
    // A leave of an absent viewer makes no room. In a batch each entry counts for its own viewer.
    let leave = json!({ "stage": "s", "viewer": "cid" });
    assert_eq!(node.call(Method::POST, "/v1/leave", leave).await.0, 204);
    let of = |viewer: &str| json!({ "stage": "s", "viewer": viewer });
    let batch = json!([of("cid"), of("ann"), { "stage": "s" }, of("dee"), of("bob")]);
    let (_, body) = node.call(Method::POST, "/v1/heartbeats", batch).await;
    let rejected: Vec<_> =
        body["rejected"].as_array().unwrap().iter().map(|r| (&r["index"], &r["code"])).collect();
    let expected = [(0, "stage_full"), (2, "invalid_viewer"), (3, "stage_full")]
        .map(|(n, code)| (json!(n), json!(code)));
    assert_eq!(rejected, expected.iter().map(|(n, code)| (n, code)).collect::<Vec<_>>(), "{body}");
    // If a minute begins in between, three more may be opened.
    let opened = (0..7).map(|n| beat(&node, &format!("new-{n}"), "ann", ""));
    let refused: Vec<ReceivedEvent> = opened.filter(|answer| answer.status != 200).collect();
    assert!(refused.len() >= 2);
    for answer in refused {
        assert_eq!(answer.code(), "too_many_stages");
        assert!((1..=60).contains(&answer.retry_after_s()));
    }
}

#[timed_test(flavor = "multi_thread")]
async fn an_address_may_send_so_much() {
    let node = node(&[
        "limits.address_per_second=1",
        "limits.address_burst=40",
        "proxies=127.0.0.0/8",
        "insecure=true",
    ])
    .await;
    let from = |by: &str| ask(&node, "GET", "/v1/stats", &[("x-forwarded-for", by)], "").status;
    let until_refused = |by: &str| (0..).find(|_| from(by) == 429).unwrap();
    assert!((40..60).contains(&until_refused("198.51.100.7")));
    // The part that the client wrote itself changes nothing, and other addresses have their own
    // limit.
    assert_eq!(from("203.0.113.9, 198.51.100.7"), 429);
    assert_eq!(from("198.51.100.7, 203.0.113.9"), 200);
    let refused = ask(&node, "GET", "/v1/stats", &[("x-forwarded-for", "198.51.100.7")], "");
    assert_eq!(refused.code(), "too_many_requests");
    assert!((1..=2).contains(&refused.retry_after_s()));
    let lives = ask(&node, "GET", "/healthz", &[("x-forwarded-for", "198.51.100.7")], "");
    assert_eq!(lives.status, 200, "health checks are not limited");
    // Each of the heartbeats in one request counts.
    let many = Value::from(
        (0..39).map(|n| json!({ "stage": "s", "viewer": n.to_string() })).collect::<Vec<_>>(),
    );
    let post = || {
        ask(&node, "POST", "/v1/heartbeats", &[("x-forwarded-for", "192.0.2.1")], &many.to_string())
    };
    assert_eq!((post().status, post().code()), (200, "too_many_requests"));
}

#[timed_test(flavor = "multi_thread")]
async fn pages_of_other_sites_may_play_and_not_operate() {
    let node = node(&[]).await;
    let origin = ("origin", "https://fans.example");
    let beat = json!({ "stage": "s", "viewer": "ann" }).to_string();
    for (path, body) in
        [("/v1/heartbeat", beat.as_str()), ("/v1/heartbeat", "{}"), ("/v1/leave", beat.as_str())]
    {
        let answer =
            ask(&node, "POST", path, &[origin, ("content-type", "application/json")], body);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let wants = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let preflight = ask(&node, "OPTIONS", "/v1/heartbeat", &wants, "");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("get, post"));
    assert!(
        preflight
            .header("access-control-allow-headers")
            .unwrap()
            .contains("authorization, content-type")
    );
    assert_eq!(preflight.header("access-control-max-age"), Some("86400"));
    let preflight = ask(&node, "OPTIONS", "/v1/stages", &wants, "");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (405, None));
    for path in ["/v1/stages", "/v1/live", "/v1/live?stage=s&totals=true", "/api/stats"] {
        let answer = ask(&node, "GET", path, &[origin], "");
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (401, None),
            "{path}"
        );
    }
    let page = ask(&node, "GET", "/", &[], "");
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'self'")
    );
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
}

#[timed_test(flavor = "multi_thread")]
async fn the_sites_can_be_named() {
    let node = node(&[
        "cors.origins=https://a.example, https://b.example",
        "cors.operator_origins=https://ops.example",
    ])
    .await;
    let allowed = |path: &str, origin: &str| {
        let answer = ask(&node, "GET", path, &[("origin", origin)], "");
        assert_eq!(answer.header("vary"), Some("origin"), "caches keep answers apart by origin");
        answer.header("access-control-allow-origin").map(str::to_string)
    };
    assert_eq!(allowed("/v1/ws", "https://b.example").as_deref(), Some("https://b.example"));
    assert_eq!(allowed("/v1/ws", "https://ops.example"), None);
    assert_eq!(
        allowed("/v1/stages", "https://ops.example").as_deref(),
        Some("https://ops.example")
    );
    assert_eq!(allowed("/v1/stages", "https://a.example"), None);
}
