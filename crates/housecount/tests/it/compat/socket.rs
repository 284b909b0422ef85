//! The WebSocket `/ws`: the messages that an operator's page gets, and how it ends.

use futures_util::{SinkExt, StreamExt};
use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;
use housecount_core::limits::{WS_BAD_MESSAGES_MAX, WS_CHANNEL_BYTES_MAX};
use housecount_test::timed_test;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{bad, check_timestamp, fields, good, post};
use crate::support::eventually;
use crate::support::node::Node;

type Socket = WebSocketStream<TcpStream>;

async fn connect(node: &Node, headers: &[(&'static str, &str)]) -> Result<Socket, (u16, Value)> {
    let authority = node.address.trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await.unwrap();
    let mut request = format!("ws://{authority}/ws").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            Err((answer.status().as_u16(), serde_json::from_slice(body).unwrap_or(Value::Null)))
        }
        Err(other) => panic!("{other}"),
    }
}

/// Returns the next message of this type; skips pings and other messages.
async fn hear(socket: &mut Socket, kind: &str) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.expect("a message").expect("a message") {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == kind {
                return message;
            }
        }
    }
}

async fn closed(socket: &mut Socket) -> CloseCode {
    loop {
        if let Message::Close(frame) = socket.next().await.expect("a close").expect("a close") {
            return frame.unwrap().code;
        }
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_page_subscribes_and_gets_counts() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let mut socket = connect(&node, &[]).await.unwrap();
    let longest = "é".repeat(WS_CHANNEL_BYTES_MAX / 2);
    for channel in ["stats", &*longest] {
        socket
            .send(Message::text(json!({ "type": "subscribe", "channel": channel }).to_string()))
            .await
            .unwrap();
        let answer = hear(&mut socket, "subscribed").await;
        assert_eq!(
            (fields(&answer), &answer["channel"]),
            (vec!["channel", "timestamp", "type"], &json!(channel))
        );
        check_timestamp(&answer);
    }
    for (viewer, stage) in [("ann", "s"), ("ann", "t"), ("bob", "s")] {
        good(
            post(
                &node,
                "rejoin",
                json!({ "userId": viewer, "stageArn": stage, "participantId": "p" }),
            )
            .await,
        );
    }
    let update = hear(&mut socket, "stats_update").await;
    assert_eq!(fields(&update), ["data", "type"]);
    let data = &update["data"];
    assert_eq!(fields(data), ["activeStages", "timestamp", "viewerCount"]);
    assert_eq!((&data["viewerCount"], &data["activeStages"]), (&json!(2), &json!(2)));
    check_timestamp(data);
    hear(&mut socket, "stats_update").await;
    socket.close(None).await.unwrap();
    eventually("the WebSocket is closed", async || {
        node.metric("housecount_websockets ").await == 0.0
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn bad_messages_are_answered_and_end_the_socket_at_last() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let mut socket = connect(&node, &[]).await.unwrap();
    let too_long =
        json!({ "type": "subscribe", "channel": "x".repeat(WS_CHANNEL_BYTES_MAX + 1) }).to_string();
    for message in [
        Message::text("{"),
        Message::text(r#"{"type":"dance"}"#),
        Message::text(too_long),
        Message::binary(vec![1]),
    ] {
        socket.send(message).await.unwrap();
        let answer = hear(&mut socket, "error").await;
        assert_eq!(fields(&answer), ["error", "timestamp", "type"]);
        assert_eq!(answer["error"]["code"], "VALIDATION_ERROR", "{answer}");
    }
    // A message that is understood resets the count of bad ones.
    socket.send(Message::text(r#"{"type":"subscribe","channel":"c"}"#)).await.unwrap();
    hear(&mut socket, "subscribed").await;
    for _ in 0..WS_BAD_MESSAGES_MAX {
        socket.send(Message::text("x")).await.unwrap();
    }
    assert_eq!(closed(&mut socket).await, CloseCode::Policy);
}

#[timed_test(flavor = "multi_thread")]
async fn it_is_the_operators() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    for header in [
        ("origin", "https://evil.example"),
        ("x-forwarded-for", "203.0.113.7"),
        ("host", "evil.example"),
    ] {
        bad(connect(&node, &[header]).await.err().unwrap(), 401, "UNAUTHORIZED");
    }
    let file = NamedTempFile::new().unwrap();
    let (beats, beats_entry) = new_key("beats", &[Scope::Beats]);
    let (read, read_entry) = new_key("read", &[Scope::Read]);
    std::fs::write(file.path(), format!("{beats_entry}\n{read_entry}")).unwrap();
    let keys = format!("auth.operator_keys={}", file.path().display());
    let node = Node::ready(&["log=memory:", "cold=none", &keys]).await;
    bad(connect(&node, &[]).await.err().unwrap(), 401, "UNAUTHORIZED");
    bad(connect(&node, &[("x-api-key", &beats)]).await.err().unwrap(), 403, "FORBIDDEN");
    let mut socket = connect(&node, &[("x-api-key", &read)]).await.unwrap();
    socket.send(Message::text(r#"{"type":"subscribe","channel":"c"}"#)).await.unwrap();
    hear(&mut socket, "subscribed").await;
    // The WebSocket ends when its key is revoked.
    std::fs::write(file.path(), beats_entry).unwrap();
    let last = hear(&mut socket, "error").await;
    assert_eq!(last["error"]["code"], "UNAUTHORIZED", "{last}");
    assert_eq!(closed(&mut socket).await, CloseCode::Policy);
}

#[timed_test(flavor = "multi_thread")]
async fn it_ends_with_the_node() {
    let mut node = Node::ready(&["log=memory:", "cold=none"]).await;
    let mut socket = connect(&node, &[]).await.unwrap();
    let ends = tokio::spawn(async move { closed(&mut socket).await });
    assert!(node.stop().success());
    assert_eq!(ends.await.unwrap(), CloseCode::Away);
}
