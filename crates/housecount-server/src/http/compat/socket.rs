//! `GET /ws`: counts for an operator's page, sent every 5 s over a WebSocket.
//!
//! One task serves a socket, and has one message under way at a time. The client's messages are
//! small (`ws::config`), and each is answered before the next is read. The socket ends with the key
//! that it was opened with, with the node, or when the client has sent nothing for too long.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response as RouterResponse;
use futures_util::{SinkExt, StreamExt};
use housecount_access::admission::ClientAddr;
use housecount_access::auth::{Credential, CredentialEnd, end_of};
use housecount_core::limits::{
    REQUEST_WAIT_MS_MAX, WS_BAD_MESSAGES_MAX, WS_CHANNEL_BYTES_MAX, WS_DETAIL_BYTES_MAX,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message as Frame, frame::coding::CloseCode,
};
use tokio_tungstenite::tungstenite::{Bytes, Error, Utf8Bytes};

use super::shape::{ErrorBody, code_of, timestamp};
use crate::http::connection_context::ConnectionContext;
use crate::http::error::Problem;
use crate::http::fast_path::FastPath;
use crate::http::ws::{self, IdleTimer, OpenSocketGauge, Socket};
use crate::node::Node;

/// Time between two updates.
const UPDATE_EVERY: Duration = Duration::from_secs(5);
/// Longest time for a close until the client has seen it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Opens a WebSocket that sends counts.
///
/// `{"type":"subscribe","channel"}` is answered `{"type":"subscribed","channel","timestamp"}`.
/// Every 5 s the node sends
/// `{"type":"stats_update","data":{"viewerCount","activeStages","timestamp"}}`, whatever the
/// channel. The answer to an unreadable message is
/// `{"type":"error","error":{"code","message"},"timestamp"}`.
#[utoipa::path(get, path = "/ws", operation_id = "openDropInWebSocket", tag = "drop-in",
    responses((status = 101, description = "WebSocket messages follow"),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 429, body = ErrorBody),
        (status = 426, description = "`UPGRADE_REQUIRED`: the request is not a WebSocket upgrade",
            body = ErrorBody)))]
pub async fn upgrade_required() -> RouterResponse {
    ws::upgrade_required().await
}

/// A message from the client.
#[derive(Debug, Deserialize)]
struct StatsRequest {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    channel: String,
}

/// A message to the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StatsMessage {
    Subscribed { channel: String, timestamp: String },
    StatsUpdate { data: StatsUpdate },
    Error { error: MessageError, timestamp: String },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsUpdate {
    viewer_count: u64,
    active_stages: u64,
    timestamp: String,
}

#[derive(Debug, Serialize)]
struct MessageError {
    code: &'static str,
    message: String,
}

/// Reason why the service of a socket ends.
enum SocketEnd {
    Stopped,
    Credential(CredentialEnd),
    Silent,
    BadMessages,
    Gone,
}

/// A client's socket, once it is upgraded.
pub struct StatsSocket {
    socket: Socket,
    node: Arc<Node>,
    client_addr: ClientAddr,
    /// Credential of the client. The socket ends when it does.
    credential: Option<Credential>,
    /// Number of consecutive messages that were refused.
    bad: usize,
    /// Counts the connection while it is open.
    _open: OpenSocketGauge,
    /// Keeps the connection's place.
    _connection: Arc<ConnectionContext<FastPath>>,
    stop: watch::Receiver<bool>,
}

impl StatsSocket {
    /// Creates a client on this socket, which the node has admitted with this credential.
    pub fn new(
        socket: Socket,
        node: Arc<Node>,
        client_addr: ClientAddr,
        credential: Option<Credential>,
        open: OpenSocketGauge,
        connection: Arc<ConnectionContext<FastPath>>,
        stop: watch::Receiver<bool>,
    ) -> StatsSocket {
        StatsSocket {
            socket,
            node,
            client_addr,
            credential,
            bad: 0,
            _open: open,
            _connection: connection,
            stop,
        }
    }

    /// Serves the socket until it ends.
    pub async fn run(mut self) {
        let mut stop = self.stop.clone();
        let mut ended = self.credential.clone().map(|credential| {
            let node = self.node.clone();
            Box::pin(async move { node.auth.ended(&credential).await })
        });
        // These end it even in the middle of a message that the client does not read.
        let end = tokio::select! {
            biased;
            () = async { drop(stop.wait_for(|stop| *stop).await) } => SocketEnd::Stopped,
            why = end_of(&mut ended) => SocketEnd::Credential(why),
            end = self.serve() => end,
        };
        match end {
            SocketEnd::Gone => {}
            SocketEnd::Stopped => self.close(CloseCode::Away, "this node is stopping").await,
            SocketEnd::Silent => self.close(CloseCode::Normal, "no message for too long").await,
            SocketEnd::BadMessages => self.close(CloseCode::Policy, "too many bad messages").await,
            SocketEnd::Credential(why) => {
                let problem = Problem::from(why);
                let _ = timeout(CLOSE_WAIT, self.send_error(&problem)).await;
                self.close(CloseCode::Policy, problem.code()).await;
            }
        }
    }

    /// Sends updates, and answers the client's messages.
    async fn serve(&mut self) -> SocketEnd {
        let mut updates = interval_at(Instant::now() + UPDATE_EVERY, UPDATE_EVERY);
        updates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silence = IdleTimer::new(Duration::from_millis(REQUEST_WAIT_MS_MAX));
        loop {
            let sent = tokio::select! {
                biased;
                _ = updates.tick() => self.send_update().await,
                () = silence.expired() => return SocketEnd::Silent,
                frame = self.socket.next() => match frame {
                    Some(Ok(frame)) => {
                        silence.reset();
                        self.answer(frame).await
                    }
                    Some(Err(_)) | None => return SocketEnd::Gone,
                },
            };
            if sent.is_err() {
                return SocketEnd::Gone;
            }
            if self.bad >= WS_BAD_MESSAGES_MAX {
                return SocketEnd::BadMessages;
            }
        }
    }

    /// Answers a frame. Each frame, whatever is in it, counts as a request of its address.
    async fn answer(&mut self, frame: Frame) -> Result<(), Error> {
        if matches!(frame, Frame::Close(_)) {
            // The library has answered it.
            return Ok(());
        }
        let counted =
            self.node.admission.addresses.check(self.client_addr, 1).map_err(Problem::from);
        let subscribed = counted.and_then(|()| match &frame {
            Frame::Text(text) => channel(text).map(Some),
            Frame::Binary(_) => Err(ws::not_text()),
            _ => Ok(None),
        });
        match subscribed {
            Ok(None) => Ok(()),
            Ok(Some(channel)) => {
                self.bad = 0;
                let timestamp = timestamp(&self.node);
                self.send(&StatsMessage::Subscribed { channel, timestamp }).await
            }
            Err(problem) => {
                self.bad += 1;
                self.node.engine.metrics.count_rejection(problem.code());
                self.send_error(&problem).await
            }
        }
    }

    /// Sends the counts and a ping. The answer to the ping shows that the client is still there.
    async fn send_update(&mut self) -> Result<(), Error> {
        let (count, active_stages) = self.node.engine.hub.totals().value;
        let data = StatsUpdate {
            viewer_count: count.viewers,
            active_stages,
            timestamp: timestamp(&self.node),
        };
        self.send(&StatsMessage::StatsUpdate { data }).await?;
        self.socket.send(Frame::Ping(Bytes::new())).await
    }

    async fn send_error(&mut self, problem: &Problem) -> Result<(), Error> {
        let detail = problem.detail();
        let message = detail[..detail.floor_char_boundary(WS_DETAIL_BYTES_MAX)].to_string();
        let error = MessageError { code: code_of(problem.status()), message };
        let timestamp = timestamp(&self.node);
        self.send(&StatsMessage::Error { error, timestamp }).await
    }

    async fn send(&mut self, message: &StatsMessage) -> Result<(), Error> {
        // Messages of this type can always be serialized.
        let text = serde_json::to_string(message).unwrap_or_default();
        self.socket.send(Frame::Text(Utf8Bytes::from(text))).await
    }

    /// Closes the socket, and waits until the client has seen that.
    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let close = async {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            self.socket.close(Some(frame)).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<_, Error>(())
        };
        let _ = timeout(CLOSE_WAIT, close).await;
    }
}

/// Returns the channel that a message subscribes to. Every channel gets the same updates.
fn channel(text: &str) -> Result<String, Problem> {
    let request: StatsRequest =
        serde_json::from_str(text).map_err(|e| Problem::body(format!("not a message: {e}")))?;
    if request.kind != "subscribe" {
        return Err(Problem::body(
            "type is not `subscribe`; send {\"type\":\"subscribe\",\"channel\"}",
        ));
    }
    if request.channel.len() > WS_CHANNEL_BYTES_MAX {
        return Err(Problem::body(format!("channel is longer than {WS_CHANNEL_BYTES_MAX} bytes")));
    }
    Ok(request.channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ws_channel_bytes_max_and_what_subscribes() {
        let subscribe = |channel: &str| format!(r#"{{"type":"subscribe","channel":"{channel}"}}"#);
        assert_eq!(channel(&subscribe("stats")).as_deref(), Ok("stats"));
        assert_eq!(channel(r#"{"type":"subscribe"}"#).as_deref(), Ok(""));
        let longest = "x".repeat(WS_CHANNEL_BYTES_MAX);
        assert_eq!(channel(&subscribe(&longest)).as_deref(), Ok(&*longest));
        for bad in [
            &*subscribe(&format!("{longest}x")),
            "",
            "{}",
            "[]",
            "\"x\"",
            r#"{"type":"subscribe","channel":1}"#,
        ] {
            assert_eq!(
                channel(bad).map_err(|problem| problem.code()),
                Err("invalid_body"),
                "{bad}"
            );
        }
    }
}
