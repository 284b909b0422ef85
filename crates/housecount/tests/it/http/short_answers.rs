//! Short answers to heartbeats: a field in the body over HTTP, a subprotocol over WebSockets.

use futures_util::{SinkExt, StreamExt};
use housecount_test::timed_test;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{Answer, FAST, ask};
use crate::support::eventually;
use crate::support::node::Node;

const ORIGIN: [(&str, &str); 1] = [("origin", "https://a.example")];

fn beat(node: &Node, body: &Value) -> Answer {
    ask(node, "POST", "/v1/heartbeat", &ORIGIN, &body.to_string())
}

/// A connected player, and the subprotocol that the node chose.
struct Player(WebSocketStream<TcpStream>, Option<String>);

impl Player {
    async fn connect(node: &Node, protocols: &str) -> Player {
        let authority = node.address.trim_start_matches("http://");
        let stream = TcpStream::connect(authority).await.unwrap();
        let mut request = format!("ws://{authority}/v1/ws").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let chosen = answer.headers().get("sec-websocket-protocol");
        Player(socket, chosen.map(|name| name.to_str().unwrap().to_string()))
    }

    async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Returns the next answer as it is on the wire.
    async fn answer(&mut self) -> String {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("not an answer: {other:?}"),
        }
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.send(message).await;
        serde_json::from_str(&self.answer().await).unwrap()
    }
}

fn names(answer: &Value) -> Vec<&str> {
    answer.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Starts a node, and waits until its counts are complete.
async fn complete_node(more: &[&str]) -> Node {
    let base = [&FAST[..], &["limits.session_beats=0"]].concat();
    let node = Node::ready(&[&base[..], more].concat()).await;
    let zoe = json!({ "stage": "z", "viewer": "zoe" });
    eventually("counts are complete", async || beat(&node, &zoe).json()["complete"] == true).await;
    node
}

#[timed_test(flavor = "multi_thread")]
async fn a_body_asks_for_a_short_answer_over_http() {
    let node = complete_node(&[]).await;
    let ann = json!({ "stage": "s", "viewer": "ann", "answer": "short" });
    let short = beat(&node, &ann);
    let numbers: [u64; 2] = serde_json::from_str(&short.body).unwrap();
    assert!(numbers[0] == 1 && (9..=11).contains(&numbers[1]), "{}", short.body);
    assert!(!short.body.contains(' '));
    let names: Vec<&str> = short.headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["content-type", "access-control-allow-origin", "connection", "content-length", "date"];
    assert_eq!(names, expected, "no header is there that a player does not need");
    // Any other value changes nothing, as for any other field that the node does not know.
    for other in [json!("long"), json!(true), json!(null), json!({ "short": 1 })] {
        let bob = json!({ "stage": "s", "viewer": "bob", "answer": other });
        let answer = beat(&node, &bob).json();
        assert!(answer["viewers"] == 2 && answer["complete"] == true, "{other}: {answer}");
    }
    let refused = beat(&node, &json!({ "stage": "s", "answer": "short" }));
    assert_eq!((refused.status, refused.problem().0.as_str()), (400, "invalid_viewer"));
}

/// A heartbeat's answer has a header for scripts only where it names one that they may read.
#[timed_test(flavor = "multi_thread")]
async fn players_answers_have_no_header_that_they_do_not_need() {
    let node = Node::ready(&[&FAST[..], &["limits.session_beats=1"]].concat()).await;
    let ann = json!({ "stage": "s", "viewer": "ann" });
    let answer = beat(&node, &ann);
    assert_eq!(answer.status, 200);
    for absent in ["access-control-expose-headers", "x-content-type-options"] {
        assert_eq!(answer.header(absent), None);
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let leave = || ask(&node, "POST", "/v1/leave", &ORIGIN, &ann.to_string());
    let refused = (0..60).map(|_| leave()).find(|answer| answer.status == 429).unwrap();
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("access-control-expose-headers"), Some("retry-after"));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    let stats = ask(&node, "GET", "/v1/stats", &[], "");
    assert_eq!(stats.header("x-content-type-options"), Some("nosniff"));
}

#[timed_test(flavor = "multi_thread")]
async fn a_subprotocol_has_short_answers() {
    let node = complete_node(&[]).await;
    let mut ann = Player::connect(&node, "housecount.1, housecount.2").await;
    assert_eq!(ann.1.as_deref(), Some("housecount.2"));
    for message in [json!({ "stage": "s", "viewer": "ann" }), json!({})] {
        ann.send(&message).await;
        let steady = ann.answer().await;
        let numbers: [u64; 2] = serde_json::from_str(&steady).unwrap();
        assert!(numbers[0] == 1 && (9..=11).contains(&numbers[1]), "{steady}");
    }

    // Another stage is named, and then the first one again.
    let other = json!({ "stage": "t", "viewer": "ann" });
    assert_eq!(ann.ask(&other).await["stage"], "t");
    let back = json!({ "stage": "s", "viewer": "ann", "sessions": true });
    let back = ann.ask(&back).await;
    assert_eq!(names(&back), ["nextMs", "sessions", "stage", "viewers"]);
    let again = ann.ask(&json!({})).await;
    assert_eq!(
        (names(&again), &again["sessions"]),
        (vec!["nextMs", "sessions", "viewers"], &json!(1))
    );
    let refused = ann.ask(&json!({ "stage": "s" })).await;
    assert_eq!(names(&refused), ["code", "detail"]);
    assert_eq!(ann.ask(&json!({ "leave": true })).await, json!({ "left": true }));
    let by_name = json!({ "stage": "t", "viewer": "ann", "leave": true });
    assert_eq!(ann.ask(&by_name).await, json!({ "stage": "t", "left": true }));
    // The client knows the stage that it named first.
    let mut first = Player::connect(&node, "housecount.2").await;
    let leave = json!({ "stage": "s", "viewer": "ann", "leave": true });
    assert_eq!(first.ask(&leave).await, json!({ "left": true }));
    assert_eq!(first.ask(&by_name).await["stage"], "t");
    eventually("ann has left both", async || node.stats().await["viewers"] == 1).await;

    // Other offers are answered as before, and the token's is never answered.
    for (offered, chosen) in [
        ("housecount.1", Some("housecount.1")),
        ("housecount.2, housecount.token.t", Some("housecount.2")),
        ("housecount.3", None),
    ] {
        if chosen.is_some() {
            assert_eq!(Player::connect(&node, offered).await.1.as_deref(), chosen, "{offered}");
        }
    }
    let mut old = Player::connect(&node, "housecount.1").await;
    let asked = json!({ "stage": "s", "viewer": "bob", "sessions": true, "quiet": true });
    for _ in 0..3 {
        assert_eq!(old.ask(&asked).await["complete"], true, "the fields mean nothing there");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_quiet_player_has_an_answer_at_least_every_second_time() {
    let node = complete_node(&[]).await;
    let mut ann = Player::connect(&node, "housecount.2").await;
    let first = ann.ask(&json!({ "stage": "s", "viewer": "ann", "quiet": true })).await;
    assert!(first.is_array(), "{first}");
    let beats = async || node.metric("housecount_events_total{kind=\"beat\"}").await;
    let acknowledged =
        async || node.metric("housecount_acknowledged_events_total{transport=\"ws\"}").await;
    let before = beats().await;
    for n in 0..5_u32 {
        // This one has no answer, but the log has it.
        ann.send(&json!({})).await;
        eventually("the heartbeat is logged", async || {
            beats().await == before + f64::from(2 * n + 1)
        })
        .await;
        let answer = ann.ask(&json!({})).await;
        assert!(answer.is_array(), "{answer}");
    }
    // An error is never left out, and the next heartbeat is answered.
    assert_eq!(ann.ask(&json!({ "stage": "s" })).await["code"], "invalid_viewer");
    assert!(ann.ask(&json!({})).await.is_array());
    assert_eq!(acknowledged().await, 12.0);
}
