//! Events as callers and webhooks get them, from real nodes.

mod receiver;
mod served;
mod targets;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::node::Node;

/// Settings of a node whose stages empty quickly.
const QUICK: [&str; 7] = [
    "interval=1s",
    "ttl=3s",
    "leave_grace=50ms",
    "events=true",
    "events_thresholds=2,4",
    "events_drop_viewers=3",
    "limits.session_beats=0",
];

async fn leave(node: &Node, stage: &str, viewer: &str) {
    let body = json!({ "stage": stage, "viewer": viewer });
    assert_eq!(node.call(Method::POST, "/v1/leave", body).await.0, 204);
}

/// All events so far, read page by page.
async fn events(node: &Node, query: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), String::from("0"));
    loop {
        let page = node.get(&format!("/v1/events?after={after}&limit=2{query}")).await;
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        after = page["next"].as_str().unwrap().to_string();
        if page["atEnd"] == true {
            return events;
        }
    }
}

/// An event as type, stage and viewers.
fn brief(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or("-").to_string();
    let number = |name: &str| event[name].as_u64().map_or("-".to_string(), |n| n.to_string());
    let threshold = event["threshold"].as_u64().map(|n| format!(" {n} {}", text("direction")));
    format!(
        "{} {} {}{}",
        text("type"),
        text("stage"),
        number("viewers"),
        threshold.unwrap_or_default()
    )
}

/// Waits for an event of a type on a stage.
async fn until(node: &Node, kind: &str, stage: &str) {
    let query = format!("&type={kind}&stage={stage}");
    eventually(&format!("{kind} of {stage}"), async || !events(node, &query).await.is_empty())
        .await;
}
