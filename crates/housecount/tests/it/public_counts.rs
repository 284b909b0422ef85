//! Counts as players and the public see them, by every way that shows one.

use futures_util::{SinkExt, StreamExt};
use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::http::{Answer, ask};
use crate::support::eventually;
use crate::support::node::Node;
use crate::support::sse::Events;

const FAST: [&str; 5] =
    ["log=memory:", "interval=1s", "ttl=30s", "leave_grace=200ms", "limits.session_beats=0"];
const VIEWERS: usize = 123;

async fn node(more: &[&str]) -> Node {
    let node = Node::ready(&[&FAST[..], more].concat()).await;
    eventually("counts are complete", async || node.stats().await["complete"] == true).await;
    node
}

/// Configures a stage with a value, and fills it.
async fn stage(node: &Node, value: &str) {
    let body = json!({ "stage": value, "publicCount": value });
    let (status, body) = node.call(Method::POST, "/v1/stages", body).await;
    assert_eq!((status, &body["publicCount"]), (201, &json!(value)), "{body}");
    node.beat_many(value, 0, VIEWERS).await;
}

fn get(node: &Node, path: &str) -> Answer {
    ask(node, "GET", path, &[], "")
}

fn post(node: &Node, path: &str, body: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    let answer = ask(node, "POST", path, &headers, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// Sends a heartbeat over a WebSocket; returns its second answer, which names no stage.
async fn over_web_socket(node: &Node, protocol: &str, stage: &str) -> Value {
    let authority = node.address.trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await.unwrap();
    let mut request = format!("ws://{authority}/v1/ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let beat = json!({ "stage": stage, "viewer": "viewer-0" }).to_string();
    let mut last = Value::Null;
    for message in [beat, "{}".to_string()] {
        socket.send(Message::text(message)).await.unwrap();
        last = match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not an answer: {other:?}"),
        };
    }
    last
}

/// Counts as every player's call shows them, each as viewers and sessions; absent ones are null.
async fn seen_by_players(node: &Node, stage: &str) -> Vec<(Value, Value)> {
    let beat = json!({ "stage": stage, "viewer": "viewer-0" });
    let full = post(node, "/v1/heartbeat", &beat);
    let of = |body: &Value| (body["viewers"].clone(), body["sessions"].clone());
    let mut seen = vec![of(&full), of(&over_web_socket(node, "housecount.1", stage).await)];
    let path = format!("/v1/live?stage={stage}");
    let mut events = Events::open(&node.address, &path, None).await;
    seen.push(of(&events.next().await.unwrap().data));
    seen
}

#[timed_test(flavor = "multi_thread")]
async fn players_see_what_the_stage_allows_and_operators_see_all() {
    let node = node(&[]).await;
    for (value, viewers, rounded_or_none) in [
        ("exact", json!(123), json!(123)),
        ("rounded", json!(120), json!(120)),
        ("hidden", Value::Null, Value::Null),
    ] {
        stage(&node, value).await;
        for seen in seen_by_players(&node, value).await {
            assert_eq!(seen, (viewers.clone(), rounded_or_none.clone()), "{value}");
        }
        // Short answers: an array as usual, and an object where there is no count.
        let short = json!({ "stage": value, "viewer": "viewer-0", "answer": "short" });
        let short = post(&node, "/v1/heartbeat", &short);
        let of_socket = over_web_socket(&node, "housecount.2", value).await;
        for short in [short, of_socket] {
            match &viewers {
                Value::Null => {
                    let fields: Vec<&String> = short.as_object().unwrap().keys().collect();
                    assert_eq!(fields, ["nextMs"], "{short}");
                }
                viewers => assert_eq!(&short[0], viewers, "{short}"),
            }
        }
        let ids = json!({ "userId": "viewer-0", "stageArn": value, "participantId": "" });
        let beat = post(&node, "/api/viewer/heartbeat", &ids);
        assert_eq!(beat["data"]["currentViewers"], viewers, "{beat}");
        let ids = json!({ "userId": "viewer-0", "stageArn": value, "participantId": "p" });
        let rejoin = post(&node, "/api/viewer/rejoin", &ids);
        assert_eq!(rejoin["data"]["currentViewers"], viewers, "{rejoin}");
        // Operators.
        let path = format!("/v1/stages/{value}");
        let shown = node.get(&path).await;
        assert_eq!((&shown["viewers"], &shown["publicCount"]), (&json!(123), &json!(value)));
        let path = format!("/v1/live?stage={value}&totals=true");
        let mut events = Events::open(&node.address, &path, None).await;
        assert_eq!(events.next().await.unwrap().data["viewers"], 123);
        assert_eq!(
            node.get(&format!("/api/viewer/list/{value}")).await["data"]["totalViewers"],
            123
        );
    }
    // Null means the setting, and a change is seen at once on the node that took it.
    let (status, _) =
        node.call(Method::PATCH, "/v1/stages/hidden", json!({ "publicCount": null })).await;
    assert_eq!(status, 200);
    assert_eq!(seen_by_players(&node, "hidden").await[0].0, json!(123));
    let (status, _) = node.call(Method::DELETE, "/v1/stages/rounded", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(seen_by_players(&node, "rounded").await[0].0, json!(123));
    let wrong = json!({ "stage": "s", "publicCount": "fuzzy" });
    let (status, body) = node.call(Method::POST, "/v1/stages", wrong).await;
    assert_eq!((status, &body["code"]), (400, &json!("invalid_body")), "{body}");
}

/// With operator keys, a key decides who is an operator on a stream of named stages.
#[timed_test(flavor = "multi_thread")]
async fn a_key_opens_exact_counts_on_a_stream() {
    let file = NamedTempFile::new().unwrap();
    let (key, entry) = new_key("all", &[Scope::Read, Scope::Stages, Scope::Beats]);
    std::fs::write(file.path(), entry).unwrap();
    let operators = format!("auth.operator_keys={}", file.path().display());
    let node = Node::ready(&[&FAST[..], &[&operators]].concat()).await;
    let call = async |path: &str, body: Value| {
        let answer = node.client.call_as(&key, Method::POST, path, body.to_string()).await;
        answer.unwrap().0
    };
    let body = json!({ "stage": "s", "publicCount": "rounded" });
    assert_eq!(call("/v1/stages", body).await, 201);
    let beats: Vec<Value> =
        (0..VIEWERS).map(|n| json!({ "stage": "s", "viewer": format!("v{n}") })).collect();
    assert_eq!(call("/v1/heartbeats", json!(beats)).await, 200);
    let header = ("authorization", format!("Bearer {key}"));
    for (headers, viewers) in [(vec![], 120), (vec![header], VIEWERS)] {
        let path = "/v1/live?stage=s&fields=viewers";
        let mut events = Events::open_with(&node.address, path, &headers).await;
        assert_eq!(events.next().await.unwrap().data["viewers"], viewers);
    }
}

#[timed_test(flavor = "multi_thread")]
async fn the_public_call_shows_open_stages_and_tells_nothing_of_others() {
    let node = node(&[]).await;
    let public = |stage: &str| get(&node, &format!("/v1/public/count?stage={stage}"));
    for value in ["exact", "rounded", "hidden"] {
        stage(&node, value).await;
    }
    node.beat("plain", "ann").await;
    for (stage, viewers) in [("exact", 123), ("rounded", 120)] {
        let answer = public(stage);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let names: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(names, ["asOf", "complete", "recovering", "stage", "viewers"]);
        assert_eq!((&body["stage"], &body["viewers"]), (&json!(stage), &json!(viewers)));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=2"));
        assert_eq!(answer.header("vary"), Some("origin"));
        let tag = answer.header("etag").unwrap().to_string();
        let path = format!("/v1/public/count?stage={stage}");
        let again = ask(&node, "GET", &path, &[("if-none-match", &tag)], "");
        assert_eq!((again.status, &*again.body), (304, ""));
        assert_eq!(again.header("etag"), Some(&*tag));
        let other = ask(&node, "GET", &path, &[("if-none-match", "W/\"1-10\"")], "");
        assert_eq!(other.status, 200);
        let page = ask(&node, "GET", &path, &[("origin", "https://fans.example")], "");
        assert_eq!(page.header("access-control-allow-origin"), Some("*"));
    }
    // One more viewer changes the exact count, and not the rounded one.
    let tags = ["exact", "rounded"].map(|stage| public(stage).header("etag").unwrap().to_string());
    for stage in ["exact", "rounded"] {
        node.beat(stage, "one-more").await;
    }
    let now = ["exact", "rounded"].map(|stage| public(stage).header("etag").unwrap().to_string());
    assert!(tags[0] != now[0] && tags[1] == now[1], "{tags:?} {now:?}");
    let [hidden, plain, absent] = ["hidden", "plain", "absent"].map(|stage| {
        let answer = public(stage);
        assert_eq!(answer.status, 404, "{}", answer.body);
        assert_eq!(answer.json()["code"], "no_public_count");
        answer.body.replace(stage, "STAGE")
    });
    assert!(hidden == plain && plain == absent, "{hidden} {plain} {absent}");
    for bad in ["/v1/public/count", "/v1/public/count?stage=a%20b", "/v1/public/count?stage=a&x=1"]
    {
        assert_eq!(get(&node, bad).status, 400, "{bad}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn the_setting_is_for_stages_without_a_value_of_their_own() {
    for (setting, players, public) in [
        ("exact", json!(1), Some(1)),
        ("rounded", json!(10), Some(10)),
        ("hidden", Value::Null, None),
    ] {
        let node = node(&[&format!("public_count={setting}")]).await;
        stage(&node, "exact").await;
        let beat = json!({ "stage": "plain", "viewer": "ann" });
        assert_eq!(post(&node, "/v1/heartbeat", &beat)["viewers"], players, "{setting}");
        let own = json!({ "stage": "exact", "viewer": "viewer-0" });
        assert_eq!(post(&node, "/v1/heartbeat", &own)["viewers"], 123, "{setting}");
        let plain = get(&node, "/v1/public/count?stage=plain");
        assert_eq!(plain.json()["viewers"].as_u64(), public, "{setting}: {}", plain.body);
        let absent = get(&node, "/v1/public/count?stage=none-such");
        assert_eq!(absent.json()["viewers"].as_u64(), public.map(|_| 0), "{setting}");
    }
}
