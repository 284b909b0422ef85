//! Tokens of WebSockets. They are checked at the upgrade, with each message, and when they end.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use housecount_access::auth::{Payload, jwt};
use housecount_test::timed_test;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::{in_s, node, payload, prefixed, strict, token};
use crate::support::eventually;
use crate::support::node::Node;

pub(super) async fn connect(
    node: &Node,
    query: &str,
) -> Result<WebSocketStream<TcpStream>, (u16, Value)> {
    connect_offering(node, query, "").await.map(|(socket, _)| socket)
}

/// Opens a WebSocket and offers subprotocols, as a browser writes them. Returns the WebSocket and
/// the subprotocol that the node answers.
async fn connect_offering(
    node: &Node,
    query: &str,
    subprotocols: &str,
) -> Result<(WebSocketStream<TcpStream>, Option<String>), (u16, Value)> {
    let authority = node.address.trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await.unwrap();
    let mut request = format!("ws://{authority}/v1/ws{query}").into_client_request().unwrap();
    if !subprotocols.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", subprotocols.parse().unwrap());
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, answer)) => {
            let subprotocol = answer.headers().get("sec-websocket-protocol");
            Ok((socket, subprotocol.map(|name| name.to_str().unwrap().to_string())))
        }
        Err(Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            Err((answer.status().as_u16(), serde_json::from_slice(body).unwrap_or(Value::Null)))
        }
        Err(other) => panic!("{other}"),
    }
}

pub(super) async fn ask(socket: &mut WebSocketStream<TcpStream>, text: Value) -> Value {
    socket.send(Message::text(text.to_string())).await.unwrap();
    serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn a_websocket_needs_a_token_and_stays_within_it() {
    let node = strict().await;
    let ann = token(&prefixed("ann", "match-"));
    for (query, status) in [
        (String::new(), 401),
        ("?token=".to_string(), 401),
        (format!("?token={ann}x"), 401),
        (format!("?token={ann}&token={ann}"), 401),
        (format!("?Token={ann}"), 400), // an unknown parameter
    ] {
        assert_eq!(
            connect(&node, &query).await.err().map(|refused| refused.0),
            Some(status),
            "{query}"
        );
    }
    let mut socket = connect(&node, &format!("?token={ann}")).await.unwrap();
    assert_eq!(
        ask(&mut socket, json!({ "stage": "match-1", "viewer": "ann" })).await["viewers"],
        1
    );
    for (stage, viewer) in [("match-1", "bob"), ("other", "ann")] {
        let heartbeat = json!({ "stage": stage, "viewer": viewer });
        assert_eq!(ask(&mut socket, heartbeat).await["code"], "token_mismatch");
        let leave = json!({ "stage": stage, "viewer": viewer, "leave": true });
        assert_eq!(ask(&mut socket, leave).await["code"], "token_mismatch");
    }
    assert_eq!(ask(&mut socket, json!({})).await["stage"], "match-1", "the connection stays open");
}

/// Browsers can't send headers with a WebSocket, and its address gets into logs.
#[timed_test(flavor = "multi_thread")]
async fn a_websockets_token_may_be_a_subprotocol_that_is_never_answered() {
    let node = strict().await;
    let ann = token(&payload("ann", "s"));
    for (query, subprotocols) in [
        (String::new(), "housecount.1".to_string()),
        (String::new(), "housecount.1, housecount.token.".to_string()),
        (String::new(), format!("housecount.1, housecount.token.{ann}x")),
        (String::new(), format!("housecount.1, housecount.token.{ann}, housecount.token.{ann}")),
        (format!("?token={ann}"), format!("housecount.1, housecount.token.{ann}")),
    ] {
        let refused = connect_offering(&node, &query, &subprotocols).await.err();
        assert_eq!(refused.map(|refused| refused.0), Some(401), "{query} {subprotocols}");
    }
    for subprotocols in [
        format!("housecount.1, housecount.token.{ann}"),
        format!("housecount.token.{ann},housecount.1"),
    ] {
        let (mut socket, answered) = connect_offering(&node, "", &subprotocols).await.unwrap();
        assert_eq!(answered.as_deref(), Some("housecount.1"));
        assert_eq!(ask(&mut socket, json!({ "stage": "s", "viewer": "ann" })).await["viewers"], 1);
        let other = json!({ "stage": "s", "viewer": "bob" });
        assert_eq!(ask(&mut socket, other).await["code"], "token_mismatch");
    }
}

/// The last message to the player, and the code and reason of the close.
async fn ending(socket: &mut WebSocketStream<TcpStream>) -> (Value, CloseCode, String) {
    let mut last = Value::Null;
    loop {
        match socket.next().await.expect("a close").expect("a close") {
            Message::Text(text) => last = serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => {
                let frame = frame.unwrap();
                return (last, frame.code, frame.reason.to_string());
            }
            _ => {}
        }
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_websocket_ends_with_its_token() {
    let node = strict().await;
    let ann = token(&Payload { exp: in_s(2.0), ..payload("ann", "s") });
    let mut socket = connect(&node, &format!("?token={ann}")).await.unwrap();
    assert_eq!(ask(&mut socket, json!({ "stage": "s", "viewer": "ann" })).await["viewers"], 1);
    let (last, code, reason) = ending(&mut socket).await;
    assert_eq!(
        (&last["code"], code, reason.as_str()),
        (&json!("token_expired"), CloseCode::Policy, "token_expired")
    );
    assert!(last["detail"].as_str().unwrap().contains("get another one"), "{last}");
    let again = connect(&node, &format!("?token={ann}")).await.err().unwrap();
    assert_eq!((again.0, again.1["code"].as_str()), (401, Some("token_expired")));
}

/// The player sends without a pause, so there is always a message to read.
#[timed_test(flavor = "multi_thread")]
async fn a_player_that_never_pauses_does_not_outlive_its_token() {
    let node = strict().await;
    let ann = token(&Payload { exp: in_s(2.0), ..payload("ann", "s") });
    let (mut says, mut hears) = connect(&node, &format!("?token={ann}")).await.unwrap().split();
    let talking = tokio::spawn(async move {
        while says.feed(Message::Ping(Bytes::from_static(b"x"))).await.is_ok() {}
    });
    let answers = async {
        let mut last = Value::Null;
        while let Some(Ok(message)) = hears.next().await {
            if let Message::Text(text) = message {
                last = serde_json::from_str(&text).unwrap();
            }
        }
        last
    };
    // The bound catches a test that hangs; it doesn't measure speed.
    let last =
        tokio::time::timeout(Duration::from_secs(30), answers).await.expect("answers continue");
    assert_eq!(last["code"], "token_expired");
    talking.await.unwrap();
}

#[timed_test(flavor = "multi_thread")]
async fn a_websocket_ends_with_the_key_that_signed_its_token() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), super::public_keys()).unwrap();
    let keys = format!("auth.viewer_keys={}", file.path().display());
    let node = node(&["auth.viewer=required", &keys]).await;
    let open = async |viewer: &str, key: &str, kid: &str| {
        let token = jwt::sign(&payload(viewer, "s"), key, Some(kid.to_string())).unwrap();
        let mut socket = connect(&node, &format!("?token={token}")).await.unwrap();
        let answer = ask(&mut socket, json!({ "stage": "s", "viewer": viewer })).await;
        assert_eq!(answer["stage"], "s", "{answer}");
        socket
    };
    let mut ann = open("ann", super::RSA, "rsa").await;
    let mut bob = open("bob", super::ED, "ed").await;
    std::fs::write(file.path(), format!("kid: ed\n{}", super::ED_PUBLIC)).unwrap();
    let (last, code, reason) = ending(&mut ann).await;
    assert_eq!(
        (&last["code"], code, reason.as_str()),
        (&json!("key_removed"), CloseCode::Policy, "key_removed")
    );
    assert_eq!(ask(&mut bob, json!({})).await["stage"], "s", "bob's key still works");
    eventually("both connections are counted", async || {
        node.metric("housecount_websockets ").await == 1.0
    })
    .await;
}
