//! `auth.viewer = optional`: a viewer who has shown a token needs one while it lasts. That holds
//! for every route that others may try.

use futures_util::{SinkExt, StreamExt};
use housecount_access::auth::Payload;
use housecount_test::timed_test;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::raw::say;
use super::tokens::beat;
use super::ws::{ask, connect};
use super::{SECRET, in_s, node, payload, refused, token};
use crate::support::eventually;
use crate::support::node::Node;

async fn optional() -> Node {
    let keys = format!("auth.viewer_keys=secret:{SECRET}");
    node(&["auth.viewer=optional", "auth.leeway=0s", "limits.session_beats=0", &keys]).await
}

/// Sends each kind of call for a viewer without a token; returns whether each is refused.
async fn refusals(node: &Node, stage: &str, viewer: &str) -> Vec<bool> {
    let heartbeat = json!({ "stage": stage, "viewer": viewer });
    let named = json!({ "userId": viewer, "stageArn": stage, "participantId": "" });
    let joins = json!({ "userId": viewer, "stageArn": stage, "participantId": "p" });
    let mut refusals = Vec::new();
    for (path, body) in [
        ("/v1/heartbeat", &heartbeat),
        ("/v1/leave", &heartbeat),
        ("/api/viewer/rejoin", &joins),
        ("/api/viewer/heartbeat", &named),
        ("/api/viewer/leave", &named),
    ] {
        refusals.push(say(node, path, None, body).0 == 401);
    }
    let (_, many) = say(
        node,
        "/v1/heartbeats",
        None,
        &json!([heartbeat, { "stage": stage, "viewer": "other" }]),
    );
    refusals.push(many["rejected"][0]["code"] == "token_missing");
    assert_eq!(
        many["accepted"].as_u64(),
        Some(if refusals.last() == Some(&true) { 1 } else { 2 }),
        "{many}"
    );
    let mut socket = connect(node, "").await.unwrap();
    for leave in [false, true] {
        let message = json!({ "stage": stage, "viewer": viewer, "leave": leave });
        refusals.push(ask(&mut socket, message).await["code"] == "token_missing");
    }
    refusals
}

#[timed_test(flavor = "multi_thread")]
async fn no_event_is_taken_without_the_token_of_a_viewer_that_has_one() {
    let node = optional().await;
    assert_eq!(refusals(&node, "s", "ann").await, [false; 8]);
    let ann = token(&payload("ann", "s"));
    assert_eq!(beat(&node, Some(&ann), "s", "ann").0, 200);
    // The token binds its viewer on every stage, and binds no other viewer.
    assert_eq!(refusals(&node, "s", "ann").await, [true; 8]);
    assert_eq!(refusals(&node, "t", "ann").await, [true; 8]);
    assert_eq!(refusals(&node, "s", "bob").await, [false; 8]);
    assert_eq!(refused(&beat(&node, None, "s", "ann")), (401, "token_missing"));
    assert_eq!(beat(&node, Some(&ann), "s", "ann").0, 200);
    assert_eq!(node.viewers("s").await, 3, "all three viewers are counted");
    // A bad token binds no viewer.
    assert_eq!(refused(&beat(&node, Some("x.y.z"), "s", "cid")), (401, "token_invalid"));
    assert_eq!(refused(&beat(&node, Some(&ann), "s", "cid")), (403, "token_mismatch"));
    assert_eq!(refusals(&node, "s", "cid").await, [false; 8]);
}

#[timed_test(flavor = "multi_thread")]
async fn a_websocket_or_a_stream_shows_a_token_too_and_none_outlives_it() {
    let node = optional().await;
    let ann = token(&payload("ann", "s"));
    let mut socket = connect(&node, &format!("?token={ann}")).await.unwrap();
    assert_eq!(refusals(&node, "s", "ann").await, [true; 8]);
    assert_eq!(ask(&mut socket, json!({ "stage": "s", "viewer": "ann" })).await["viewers"], 2);
    // A WebSocket that was opened before the token was shown is bound as well, and so are its
    // repeats.
    let mut early = connect(&node, "").await.unwrap();
    assert_eq!(ask(&mut early, json!({ "stage": "s", "viewer": "bob" })).await["stage"], "s");
    let bob = token(&Payload { exp: in_s(2.0), ..payload("bob", "s") });
    assert_eq!(beat(&node, Some(&bob), "s", "bob").0, 200);
    for message in [json!({}), json!({ "leave": true })] {
        assert_eq!(ask(&mut early, message).await["code"], "token_missing");
    }
    eventually("the token has expired", async || beat(&node, None, "s", "bob").0 == 200).await;
    assert_eq!(ask(&mut early, json!({})).await["stage"], "s");
    early.send(Message::Close(None)).await.unwrap();
    while let Some(Ok(_)) = early.next().await {}
    assert_eq!(beat(&node, None, "s", "ann").1["code"], Value::from("token_missing"));
}
