//! The drop-in API, field by field and error by error, against the real binary. Front-ends that
//! already speak it must see no difference.

mod errors;
mod ledger;
mod players;
mod replay;
mod socket;
mod stats;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;

const ARN: &str = "arn:aws:ivs:us-east-1:123456789012:stage/AbCd";
/// Short times, so that a ttl passes within a test.
const QUICK: [&str; 5] =
    ["interval=1s", "ttl=3s", "window=1s", "leave_grace=50ms", "limits.session_beats=0"];

/// The id as it is written in a path.
fn encoded(id: &str) -> String {
    id.replace('/', "%2F").replace(':', "%3A")
}

async fn post(node: &Node, path: &str, body: Value) -> (u16, Value) {
    node.call(Method::POST, &format!("/api/viewer/{path}"), body).await
}

async fn get(node: &Node, path: &str) -> Value {
    good(node.call(Method::GET, path, Value::Null).await)
}

/// The data of an answer, once all viewers are surely counted. A busy machine may keep a node
/// waiting for a while.
async fn get_complete(node: &Node, path: &str) -> Value {
    let mut found = Value::Null;
    eventually("counts are complete", async || {
        found = get(node, path).await;
        found["complete"] == true
    })
    .await;
    found
}

/// The fields of an object, sorted.
fn fields(body: &Value) -> Vec<&str> {
    body.as_object()
        .unwrap_or_else(|| panic!("not an object: {body}"))
        .keys()
        .map(String::as_str)
        .collect()
}

fn check_timestamp(body: &Value) {
    let at = body["timestamp"].as_str().unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z'), "{body}");
}

/// Asserts that an answer is good; returns its data.
fn good((status, body): (u16, Value)) -> Value {
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body}");
    let has_message = body["message"].as_str().is_some_and(|message| !message.is_empty());
    let expected: &[&str] = &["data", "message", "success", "timestamp"];
    let without: &[&str] = &["data", "success", "timestamp"];
    assert_eq!(fields(&body), if has_message { expected } else { without });
    check_timestamp(&body);
    body["data"].clone()
}

/// Asserts that an answer is an error of this status and code; returns its message and details.
fn bad((status, body): (u16, Value), expected: u16, code: &str) -> (String, Value) {
    assert_eq!((status, body["error"]["code"].as_str()), (expected, Some(code)), "{body}");
    assert_eq!(
        (fields(&body), &body["success"]),
        (vec!["error", "success", "timestamp"], &json!(false))
    );
    let error = &body["error"];
    let known: &[&str] = &["code", "details", "message"];
    assert!(fields(error).iter().all(|field| known.contains(field)), "{body}");
    check_timestamp(&body);
    let message = error["message"].as_str().unwrap().to_string();
    assert!(!message.is_empty(), "{body}");
    (message, error["details"].clone())
}
