//! Tokens of WebSockets: looked at once at the upgrade, with each message, and when they end.

use futures_util::{SinkExt, StreamExt};
use housecount::auth::Payload;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{in_s, payload, strict, token};
use crate::support::node::Node;

async fn connect(node: &Node, query: &str) -> Result<WebSocketStream<TcpStream>, (u16, Value)> {
    let authority = node.address.trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await.unwrap();
    match tokio_tungstenite::client_async(format!("ws://{authority}/v1/ws{query}"), stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            Err((answer.status().as_u16(), serde_json::from_slice(body).unwrap_or(Value::Null)))
        }
        Err(other) => panic!("{other}"),
    }
}

async fn ask(socket: &mut WebSocketStream<TcpStream>, text: Value) -> Value {
    socket.send(Message::text(text.to_string())).await.unwrap();
    serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_needs_a_token_and_stays_within_it() {
    let node = strict().await;
    let ann = token(&payload("ann", "match-*"));
    for (query, status) in [
        (String::new(), 401),
        ("?token=".to_string(), 401),
        (format!("?token={ann}x"), 401),
        (format!("?token={ann}&token={ann}"), 401),
        (format!("?Token={ann}"), 401),
    ] {
        assert_eq!(connect(&node, &query).await.err().map(|refused| refused.0), Some(status), "{query}");
    }
    let mut socket = connect(&node, &format!("?x=1&token={ann}")).await.unwrap();
    assert_eq!(ask(&mut socket, json!({ "stage": "match-1", "viewer": "ann" })).await["viewers"], 1);
    for (stage, viewer) in [("match-1", "bob"), ("other", "ann")] {
        let said = json!({ "stage": stage, "viewer": viewer });
        assert_eq!(ask(&mut socket, said).await["code"], "token_mismatch");
        let leave = json!({ "stage": stage, "viewer": viewer, "leave": true });
        assert_eq!(ask(&mut socket, leave).await["code"], "token_mismatch");
    }
    assert_eq!(ask(&mut socket, json!({})).await["stage"], "match-1", "the connection stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ends_with_its_token() {
    let node = strict().await;
    let ann = token(&Payload { exp: in_s(2.0), ..payload("ann", "s") });
    let mut socket = connect(&node, &format!("?token={ann}")).await.unwrap();
    assert_eq!(ask(&mut socket, json!({ "stage": "s", "viewer": "ann" })).await["viewers"], 1);
    let closed = loop {
        if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!((closed.code, closed.reason.as_str()), (CloseCode::Policy, "token_expired"));
    let again = connect(&node, &format!("?token={ann}")).await.err().unwrap();
    assert_eq!((again.0, again.1["code"].as_str()), (401, Some("token_expired")));
}
