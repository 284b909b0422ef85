//! Heartbeats over a WebSocket as players use it: good messages, every kind of bad message, and how
//! it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use housecount_core::limits::{WS_BAD_MESSAGES_MAX, WS_MESSAGE_BYTES_MAX};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::inside::Inside;
use crate::support::eventually;
use crate::support::faulty::FaultyLog;
use crate::support::node::Node;

const FAST: [&str; 5] = ["log=memory:", "cold=none", "interval=1s", "ttl=3s", "leave_grace=200ms"];

/// A connected player.
struct Player(WebSocketStream<TcpStream>);

impl Player {
    async fn connect(address: &str) -> Player {
        let authority = address.trim_start_matches("http://");
        let stream = TcpStream::connect(authority).await.unwrap();
        let url = format!("ws://{authority}/v1/ws");
        Player(tokio_tungstenite::client_async(url, stream).await.unwrap().0)
    }

    async fn say(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).await.unwrap();
    }

    /// Returns the next answer.
    async fn hear(&mut self) -> Value {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not an answer: {other:?}"),
        }
    }

    async fn ask(&mut self, text: impl ToString) -> Value {
        self.say(text).await;
        self.hear().await
    }

    async fn beat(&mut self, stage: &str, viewer: &str) -> Value {
        self.ask(json!({ "stage": stage, "viewer": viewer })).await
    }

    /// Skips further messages; returns the code with which the node closes.
    async fn closed(&mut self) -> CloseCode {
        loop {
            match self.0.next().await.expect("a close").expect("a close") {
                Message::Close(frame) => return frame.unwrap().code,
                _ => continue,
            }
        }
    }
}

/// Limits hold for messages that come at once over one socket, before the log has any of them.
#[timed_test(flavor = "multi_thread")]
async fn sessions_sent_together_take_their_places_together() {
    let node =
        Node::ready(&["log=memory:", "cold=none", "linger=1s", "limits.sessions_per_viewer=5"])
            .await;
    let mut player = Player::connect(&node.address).await;
    for n in 0..60 {
        let beat = json!({ "stage": "s", "viewer": "ann", "session": n.to_string() });
        player.0.feed(Message::text(beat.to_string())).await.unwrap();
    }
    player.0.flush().await.unwrap();
    assert_eq!(
        player.hear().await["code"],
        "too_many_sessions",
        "the other beats wait for the log"
    );
    let figures = async || {
        let refused = node.metric("housecount_rejected_total{code=\"too_many_sessions\"}").await;
        (node.metric("housecount_events_total{kind=\"beat\"}").await, refused)
    };
    eventually("each beat is accepted or refused", async || {
        figures().await.0 + figures().await.1 == 60.0
    })
    .await;
    // A session that arrives while others are being counted may be asked to try again.
    assert!((1.0..=5.0).contains(&figures().await.0), "{:?}", figures().await);
    eventually("the accepted sessions are online", async || {
        node.stats().await["sessions"].as_f64() == Some(figures().await.0)
    })
    .await;
    drop(player);
}

#[timed_test(flavor = "multi_thread")]
async fn a_player_beats_repeats_and_leaves() {
    let node = Node::ready(&FAST).await;
    let mut ann = Player::connect(&node.address).await;
    let answer = ann.beat("s", "ann").await;
    assert_eq!(
        (&answer["stage"], &answer["viewers"], &answer["sessions"]),
        (&json!("s"), &json!(1), &json!(1))
    );
    // The fields are the same as over HTTP, and the stage.
    let mut over_http = node.beat("s", "ann").await;
    over_http["stage"] = json!("s");
    let keys = |answer: &Value| answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer), keys(&over_http));
    assert!((900..=1_000).contains(&answer["nextMs"].as_u64().unwrap()));

    let mut bob = Player::connect(&node.address).await;
    assert_eq!(bob.ask(r#"{"stage":"s","viewer":"bob","session":"tab"}"#).await["viewers"], 2);
    assert_eq!(ann.ask("{}").await["viewers"], 2, "{{}} repeats the last heartbeat");
    let metrics = node.client.call(Method::GET, "/metrics", "").await.unwrap().1;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    assert!(metrics.contains("housecount_websockets 2"), "{metrics}");
    assert!(
        metrics.contains("housecount_acknowledged_events_total{transport=\"ws\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("housecount_requests_total{route=\"/v1/ws\",status=\"101\"} 2"),
        "{metrics}"
    );

    assert_eq!(bob.ask(r#"{"leave":true}"#).await, json!({ "stage": "s", "left": true }));
    eventually("bob has left", async || node.viewers("s").await == 1).await;
    let by_name = json!({ "stage": "s", "viewer": "ann", "leave": true });
    assert_eq!(bob.ask(by_name).await["left"], true, "a leave may name another viewer");
    eventually("ann has left", async || node.viewers("s").await == 0).await;
    // A close isn't a leave, so the session stays for its ttl.
    ann.beat("s", "ann").await;
    ann.0.close(None).await.unwrap();
    while ann.0.next().await.is_some() {}
    assert_eq!(node.viewers("s").await, 1);
}

#[timed_test(flavor = "multi_thread")]
async fn bad_messages_are_answered_and_ws_bad_messages_max_ends_them() {
    let node = Node::ready(&FAST).await;
    let mut player = Player::connect(&node.address).await;
    for (message, code, named) in [
        ("{}", "invalid_stage", "no heartbeat to repeat"),
        (r#"{"leave":true}"#, "invalid_stage", "no heartbeat to repeat"),
        (r#"{"stage":"s"}"#, "invalid_viewer", "viewer is missing"),
        (r#"{"stage":"a b","viewer":"v"}"#, "invalid_stage", "without spaces"),
        (r#"{"stage":"s","viewer":"v","session":"\u0007"}"#, "invalid_session", "no control"),
        (r#"{"stage":5,"viewer":"v"}"#, "invalid_stage", "stage is a number; send a string"),
        (r#"{"leave":1}"#, "invalid_body", "leave is a number; send true or false"),
        ("[]", "invalid_body", "not a JSON object"),
        ("", "invalid_body", "EOF"),
    ] {
        let answer = player.ask(message).await;
        assert_eq!(answer["code"], code, "{message}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(named), "{message}: {answer}");
        assert!(answer.get("retryAfterMs").is_none(), "{message}: {answer}");
    }
    assert_eq!(player.beat("s", "ann").await["viewers"], 1, "the connection stays open");
    player.0.send(Message::binary(Bytes::from_static(b"{}"))).await.unwrap();
    assert!(player.hear().await["detail"].as_str().unwrap().contains("binary"));
    player.0.send(Message::Ping(Bytes::from_static(b"hello"))).await.unwrap();
    assert_eq!(
        player.0.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"hello"))
    );
    // One message was bad before.
    for _ in 1..WS_BAD_MESSAGES_MAX {
        player.say("nonsense").await;
    }
    assert_eq!(player.closed().await, CloseCode::Policy);
    assert_eq!(node.viewers("s").await, 1);
}

#[timed_test(flavor = "multi_thread")]
async fn ws_message_bytes_max() {
    let node = Node::ready(&FAST).await;
    let beat = r#"{"stage":"s","viewer":"ann"}"#;
    let padded = |bytes: usize| format!("{beat}{}", " ".repeat(bytes - beat.len()));
    let mut player = Player::connect(&node.address).await;
    assert_eq!(player.ask(padded(WS_MESSAGE_BYTES_MAX)).await["viewers"], 1);
    player.say(padded(WS_MESSAGE_BYTES_MAX + 1)).await;
    assert_eq!(player.closed().await, CloseCode::Size);
    // Fragments don't make a message smaller.
    let mut player = Player::connect(&node.address).await;
    player.say(padded(100 * WS_MESSAGE_BYTES_MAX)).await;
    assert_eq!(player.closed().await, CloseCode::Size);
}

#[timed_test(flavor = "multi_thread")]
async fn a_stage_that_is_not_open_is_named() {
    let node = Node::ready(&["log=memory:", "stages.auto=false"]).await;
    let mut player = Player::connect(&node.address).await;
    for _ in 0..2 * WS_BAD_MESSAGES_MAX {
        assert_eq!(
            player.beat("s", "ann").await["code"],
            "stage_not_found",
            "a refused beat is not a bad message"
        );
    }
    assert_eq!(node.call(Method::POST, "/v1/stages", json!({ "stage": "t" })).await.0, 201);
    assert_eq!(player.beat("t", "ann").await["viewers"], 1);
}

/// A player that beats without end is always answered, and can still leave.
#[timed_test(flavor = "multi_thread")]
async fn beats_beyond_session_burst_are_answered_from_memory() {
    let node = Node::ready(&["log=memory:", "cold=none", "leave_grace=100ms"]).await;
    let mut player = Player::connect(&node.address).await;
    let first = player.beat("s", "ann").await;
    assert_eq!((&first["viewers"], first.get("coalesced")), (&json!(1), None));
    let mut surplus = 0;
    for _ in 1..200 {
        let answer = player.ask("{}").await;
        assert_eq!((&answer["stage"], &answer["viewers"]), (&json!("s"), &json!(1)), "{answer}");
        surplus += u64::from(answer["coalesced"] == true);
    }
    let figure = async |name: &str| node.metric(name).await as u64;
    let logged = figure("housecount_events_total{kind=\"beat\"}").await;
    assert_eq!(figure("housecount_coalesced_beats_total{transport=\"ws\"}").await, surplus);
    assert_eq!(figure("housecount_acknowledged_events_total{transport=\"ws\"}").await, logged);
    assert_eq!((surplus > 0, logged + surplus), (true, 200));
    assert_eq!(player.ask(r#"{"leave":true}"#).await["left"], true);
    eventually("no viewer is online", async || node.viewers("s").await == 0).await;
}

/// Beats that wait for the log share one answer per stage, which has the latest count.
#[timed_test(flavor = "multi_thread")]
async fn answers_are_shared() {
    let inside = Inside::ready(FaultyLog::default(), &[]).await;
    let mut player = Player::connect(&inside.address).await;
    inside.log.away.store(true, Ordering::SeqCst);
    player.say(r#"{"stage":"s","viewer":"viewer-0"}"#).await;
    // From the second batch on, they wait together for the first one's append.
    for n in 1..100 {
        player.say(json!({ "stage": "s", "viewer": format!("viewer-{n}") })).await;
    }
    eventually("all beats are accepted", async || {
        inside.metric("housecount_append_queue_events 100")
    })
    .await;
    inside.log.away.store(false, Ordering::SeqCst);
    let mut answers = 1;
    while player.hear().await["viewers"] != 100 {
        answers += 1;
    }
    assert!(answers <= 3, "{answers} answers to 100 beats");
}

#[timed_test(flavor = "multi_thread")]
async fn ack_timeout_ms_is_answered_with_when_to_retry() {
    let inside = Inside::ready(FaultyLog::default(), &[]).await;
    let mut player = Player::connect(&inside.address).await;
    inside.log.away.store(true, Ordering::SeqCst);
    let answer = player.beat("s", "ann").await;
    assert_eq!(
        (&answer["code"], &answer["retryAfterMs"]),
        (&json!("log_unavailable"), &json!(5_000))
    );
    inside.log.away.store(false, Ordering::SeqCst);
    eventually("the beat is counted", async || {
        inside.node.engine.hub.count("s").value.viewers == 1
    })
    .await;
    assert_eq!(player.ask("{}").await["viewers"], 1);
}

/// A player that reads nothing costs the memory of a few answers, however much it sends. Once it
/// reads, it gets the latest answer.
#[timed_test(flavor = "multi_thread")]
async fn a_slow_reader_skips_to_the_latest() {
    let node = Node::ready(&FAST).await;
    let mut slow = Player::connect(&node.address).await;
    let beats = 50_000;
    let mut message = 0;
    // The node stops reading, or reads all of it. Either way the node lives and holds little.
    while message < beats {
        let sent =
            slow.0.feed(Message::text(format!(r#"{{"stage":"s","viewer":"v{}"}}"#, message % 500)));
        match tokio::time::timeout(Duration::from_secs(2), sent).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        message += 1;
    }
    let flushed = tokio::time::timeout(Duration::from_secs(10), slow.0.flush()).await;
    assert_eq!(node.status("/healthz").await, 200);
    let mut answers = 0;
    if flushed.is_ok() {
        slow.say(r#"{"stage":"last","viewer":"v"}"#).await;
        while slow.hear().await["stage"] != "last" {
            answers += 1;
        }
        assert!(answers < message, "{answers} answers to {message} heartbeats");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_stopping_node_says_goodbye() {
    let mut node = Node::ready(&FAST).await;
    let mut player = Player::connect(&node.address).await;
    player.beat("s", "ann").await;
    let stopped = tokio::task::spawn_blocking(move || node.stop());
    assert_eq!(player.closed().await, CloseCode::Away);
    assert!(stopped.await.unwrap().success());
}

/// Each frame counts against the requests of its address. A client that keeps sending nonsense is
/// disconnected.
#[timed_test(flavor = "multi_thread")]
async fn pings_count_for_their_address() {
    let limited = ["limits.address_per_second=1", "limits.address_burst=100"];
    for frame in [Message::Ping(Bytes::from_static(b"x")), Message::Pong(Bytes::new())] {
        let node = Node::ready(&[&FAST[..], &limited].concat()).await;
        let mut player = Player::connect(&node.address).await;
        assert_eq!(player.beat("s", "ann").await["viewers"], 1);
        // Far more frames than allowed, all at once. The node may close before it has them all.
        for _ in 0..500 {
            if player.0.feed(frame.clone()).await.is_err() {
                break;
            }
        }
        let _ = player.0.flush().await;
        let (mut complaints, mut pongs) = (Vec::new(), 0);
        let closed = loop {
            match player.0.next().await.expect("a close").expect("a close") {
                Message::Text(text) => {
                    complaints.push(serde_json::from_str::<Value>(&text).unwrap())
                }
                Message::Close(close) => break close.unwrap(),
                _ => pongs += 1,
            }
        };
        assert_eq!(
            (closed.code, closed.reason.as_str()),
            (CloseCode::Policy, "too many bad messages")
        );
        assert!(pongs < 120, "{pongs}");
        assert!(!complaints.is_empty());
        for complaint in complaints {
            assert_eq!(complaint["code"], "too_many_requests");
            assert!(complaint["retryAfterMs"].as_u64().unwrap() >= 1_000, "{complaint}");
        }
        let (status, problem) = node.call(Method::GET, "/v1/stats", Value::Null).await;
        assert_eq!(
            (status, &problem["code"]),
            (429, &json!("too_many_requests")),
            "both protocols share a bucket"
        );
    }
}
