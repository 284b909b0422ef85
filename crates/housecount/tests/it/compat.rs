//! The drop-in API, field by field: front-ends that already speak it must see nothing new.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;

const ARN: &str = "arn:aws:ivs:us-east-1:123456789012:stage/AbCd";

async fn post(node: &Node, path: &str, body: Value) -> (u16, Value) {
    node.call(Method::POST, &format!("/api/viewer/{path}"), body).await
}

/// The fields of an object, sorted.
fn fields(body: &Value) -> Vec<&str> {
    body.as_object().unwrap_or_else(|| panic!("no object: {body}")).keys().map(String::as_str).collect()
}

/// That an answer is good, and its data.
fn good(answer: (u16, Value)) -> Value {
    let (status, body) = answer;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    assert_eq!(fields(&body), ["data", "message", "success", "timestamp"]);
    let at = body["timestamp"].as_str().unwrap();
    assert!(
        at.starts_with("20") && at.ends_with('Z') && !body["message"].as_str().unwrap().is_empty(),
        "{body}"
    );
    body["data"].clone()
}

fn bad(answer: &(u16, Value), status: u16, error: &str) {
    assert_eq!((answer.0, answer.1["error"].as_str()), (status, Some(error)), "{}", answer.1);
    assert_eq!(fields(&answer.1), ["error", "message"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_comes_stays_and_goes() {
    let node = Node::ready(&["log=memory:", "cold=none", "leave_grace=50ms"]).await;
    let ann = json!({ "userId": "ann", "stageArn": ARN });
    bad(&post(&node, "heartbeat", ann.clone()).await, 404, "NOT_FOUND");

    let mut phone = ann.clone();
    phone["participantId"] = json!("phone");
    let joined = good(post(&node, "rejoin", phone.clone()).await);
    let expected = json!({ "userId": "ann", "stageArn": ARN, "participantId": "phone", "currentViewers": 1 });
    assert_eq!(joined, expected);
    let mut laptop = ann.clone();
    laptop["participantId"] = json!("laptop");
    assert_eq!(good(post(&node, "rejoin", laptop).await)["currentViewers"], 1, "two sessions are one viewer");
    let bob = json!({ "userId": "bob", "stageArn": ARN, "participantId": "tab" });
    assert_eq!(good(post(&node, "rejoin", bob).await)["currentViewers"], 2);

    let beaten = good(post(&node, "heartbeat", ann.clone()).await);
    assert_eq!((fields(&beaten), &beaten["currentViewers"]), (vec!["currentViewers", "nextMs"], &json!(2)));
    let sessions = node.get("/v1/viewers/ann").await["stages"][0]["sessions"].clone();
    assert_eq!(sessions, json!(["laptop", "phone"]), "no third session");

    let path = format!("/api/viewer/list/{}", ARN.replace('/', "%2F").replace(':', "%3A"));
    let list = good((200, node.get(&path).await));
    assert_eq!(fields(&list), ["activeViewers", "complete", "stageArn", "totalViewers", "viewers"]);
    assert_eq!(
        (&list["stageArn"], &list["totalViewers"], &list["activeViewers"]),
        (&json!(ARN), &json!(2), &json!(2))
    );
    assert_eq!(fields(&list["viewers"][0]), ["lastHeartbeat", "participantIds", "userId"]);
    assert_eq!(list["viewers"][0]["participantIds"], json!(["laptop", "phone"]));

    let stats = good((200, node.get("/api/stats").await));
    assert_eq!(fields(&stats), ["activeStages", "complete", "stages", "totalViewers"]);
    assert_eq!((&stats["totalViewers"], &stats["activeStages"]), (&json!(2), &json!(1)));
    assert_eq!(stats["stages"], json!([{ "stageArn": ARN, "viewerCount": 2 }]));

    // A leave ends all sessions, whichever it names.
    assert_eq!(good(post(&node, "leave", phone).await), json!({ "userId": "ann", "stageArn": ARN }));
    eventually("ann has left", async || node.get("/api/stats").await["data"]["totalViewers"] == 1).await;
    bad(&post(&node, "heartbeat", ann).await, 404, "NOT_FOUND");
}

/// Of a viewer's sessions the one that was heard last is refreshed, and the others run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_without_a_participant_is_the_newest_sessions() {
    let node =
        Node::ready(&["log=memory:", "cold=none", "interval=1s", "ttl=3s", "limits.session_beats=0"]).await;
    let ann = |session: &str| json!({ "userId": "ann", "stageArn": "s", "participantId": session });
    good(post(&node, "rejoin", ann("old")).await);
    // The clock goes on by itself; what is waited for is another millisecond.
    let before = node.stats().await["asOf"].as_u64();
    eventually("time goes on", async || node.stats().await["asOf"].as_u64() > before).await;
    good(post(&node, "rejoin", ann("new")).await);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        good(post(&node, "heartbeat", json!({ "userId": "ann", "stageArn": "s" })).await);
        let sessions = node.get("/v1/viewers/ann").await["stages"][0]["sessions"].clone();
        if sessions == json!(["new"]) {
            break;
        }
        assert_eq!(sessions, json!(["new", "old"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_wrong_is_named() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let all = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    for (path, field) in [
        ("rejoin", "userId"),
        ("rejoin", "stageArn"),
        ("rejoin", "participantId"),
        ("heartbeat", "userId"),
        ("heartbeat", "stageArn"),
        ("leave", "userId"),
        ("leave", "stageArn"),
    ] {
        for without in [Value::Null, json!("")] {
            let mut body = all.clone();
            body[field] = without;
            let answer = post(&node, path, body).await;
            bad(&answer, 400, "VALIDATION_ERROR");
            assert!(
                answer.1["message"].as_str().unwrap().contains(field),
                "{path} without {field}: {}",
                answer.1
            );
        }
    }
    for body in [
        json!({ "userId": "a\nb", "stageArn": "s", "participantId": "p" }),
        json!([1]),
        json!({ "userId": 7 }),
    ] {
        bad(&post(&node, "rejoin", body).await, 400, "VALIDATION_ERROR");
    }
    for (path, status, error) in [
        ("/api/viewer/duration?userId=ann", 400, "VALIDATION_ERROR"),
        ("/api/viewer/duration?userId=ann&stageArn=s&from=never", 400, "VALIDATION_ERROR"),
        ("/api/viewer/duration?userId=ann&stageArn=s", 501, "NOT_IMPLEMENTED"),
        ("/api/viewer/list/a%20b", 400, "VALIDATION_ERROR"),
    ] {
        bad(&node.call(Method::GET, path, Value::Null).await, status, error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_viewer_watched() {
    let node =
        Node::ready(&["interval=1s", "ttl=3s", "window=1s", "leave_grace=50ms", "limits.session_beats=0"])
            .await;
    let ann = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    good(post(&node, "rejoin", ann.clone()).await);
    let path = "/api/viewer/duration?userId=ann&stageArn=s";
    let none = good((200, node.get(path).await));
    assert_eq!(fields(&none), ["stageArn", "userId", "watchDuration", "watchDurationFormatted"]);
    assert_eq!((&none["watchDuration"], &none["watchDurationFormatted"]), (&json!(0), &json!("0s")));
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let said = loop {
        ticks.tick().await;
        good(post(&node, "heartbeat", ann.clone()).await);
        let said = good((200, node.get(path).await));
        if said["watchDuration"].as_u64() >= Some(2) {
            break said;
        }
    };
    assert_eq!(said["watchDurationFormatted"], format!("{}s", said["watchDuration"]));
}

/// A stage that isn't open, and a log that is away, say so in this API's shape.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_in_the_same_shape() {
    let node = Node::ready(&["stages.auto=false"]).await;
    let ann = json!({ "userId": "ann", "stageArn": "s", "participantId": "p" });
    bad(&post(&node, "rejoin", ann.clone()).await, 404, "NOT_FOUND");
    assert_eq!(node.call(Method::POST, "/v1/stages", json!({ "stage": "s" })).await.0, 201);
    good(post(&node, "rejoin", ann).await);
}
