//! Heartbeats over WebSockets, one per viewer, through the crate `tokio-tungstenite`.
//!
//! Each viewer is a task that sends one message after another and waits for each answer. The task
//! connects when it has a message to send. So a broken connection is opened again with the next
//! heartbeat.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use housecount_core::limits::WS_WRITE_BUFFER_BYTES_MAX;
use housecount_net::client::{Client, Connection};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{LoadShared, PlannedCall, REQUESTS_MAX, note};

/// Time limit of an answer, and of opening a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Maximum number of a viewer's unsent calls. More would mean that its answers take longer than
/// this many intervals.
const CALLS_MAX: usize = 8;
/// Size of a connection's read buffer, which is small because a test may have many thousands.
const BUFFER_BYTES: usize = 1_024;

type LoadSocket = WebSocketStream<Connection>;

/// Connected viewers.
pub(super) struct WsViewers {
    shared: Arc<LoadShared>,
    talking: HashMap<(String, String), mpsc::Sender<PlannedCall>>,
    tasks: JoinSet<()>,
    /// Limits the number of connections that are opened at once.
    connecting: Arc<Semaphore>,
}

impl WsViewers {
    pub(super) fn new(shared: Arc<LoadShared>) -> WsViewers {
        let connecting = Arc::new(Semaphore::new(REQUESTS_MAX));
        WsViewers { shared, talking: HashMap::new(), tasks: JoinSet::new(), connecting }
    }

    /// Queues a call of a viewer.
    pub(super) fn say(&mut self, turn: usize, call: PlannedCall) {
        let Some(viewer) = call.about.first().cloned() else { return };
        let is_leave = call.is_leave;
        let talking = self.talking.entry(viewer.clone()).or_insert_with(|| {
            let (sent, to_send) = mpsc::channel(CALLS_MAX);
            let node = self.shared.plan.nodes[turn % self.shared.plan.nodes.len()].clone();
            self.tasks.spawn(connection_task(
                self.shared.clone(),
                node,
                self.connecting.clone(),
                to_send,
            ));
            sent
        });
        if let Err(
            mpsc::error::TrySendError::Full(call) | mpsc::error::TrySendError::Closed(call),
        ) = talking.try_send(call)
        {
            note(
                &self.shared,
                call,
                Err("the node has not answered this viewer's earlier heartbeats yet".into()),
                0,
            );
        }
        if is_leave {
            // The task ends after the leave.
            self.talking.remove(&viewer);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Waits until all calls are sent.
    pub(super) async fn end(mut self) {
        self.talking.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn connection_task(
    shared: Arc<LoadShared>,
    node: Client,
    connecting: Arc<Semaphore>,
    mut to_send: mpsc::Receiver<PlannedCall>,
) {
    let mut socket = None;
    while let Some(call) = to_send.recv().await {
        let started = Instant::now();
        let answer = match shared.token(&call) {
            Ok(token) => say(&mut socket, &node, &connecting, &call, token).await,
            Err(why) => Err(why),
        };
        if answer.is_err() {
            socket = None;
        }
        note(&shared, call, answer, started.elapsed().as_micros() as u64);
    }
    if let Some(mut socket) = socket {
        let closed = async {
            let _ = socket.close(None).await;
            while let Some(Ok(_)) = socket.next().await {}
        };
        let _ = timeout(ANSWER_WITHIN, closed).await;
    }
}

/// Sends a call, and returns the answer with the status that it would have over HTTP.
async fn say(
    socket: &mut Option<LoadSocket>,
    node: &Client,
    connecting: &Semaphore,
    call: &PlannedCall,
    token: Option<String>,
) -> Result<(u16, Value), String> {
    let answered = async {
        if socket.is_none() {
            let _permit = connecting.acquire().await.map_err(|e| e.to_string())?;
            *socket = Some(connect(node, token).await?);
        }
        let Some(socket) = socket else { return Err("not connected".to_string()) };
        let text = String::from_utf8_lossy(&call.body).into_owned();
        socket.send(Message::text(text)).await.map_err(|e| e.to_string())?;
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(answer(&text)),
                Some(Ok(Message::Close(frame))) => {
                    return Err(format!(
                        "closed: {}",
                        frame.map_or_else(String::new, |f| f.to_string())
                    ));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("closed".to_string()),
            }
        }
    };
    match timeout(ANSWER_WITHIN, answered).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

fn answer(text: &str) -> (u16, Value) {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let status = match (body["left"] == true, body["viewers"].is_u64()) {
        (true, _) => 204,
        (_, true) => 200,
        _ => 503,
    };
    (status, body)
}

async fn connect(node: &Client, token: Option<String>) -> Result<LoadSocket, String> {
    let stream = node.open().await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WS_WRITE_BUFFER_BYTES_MAX);
    // `http` becomes `ws` and `https` becomes `wss`.
    let url = format!("{}/v1/ws", node.url().replacen("http", "ws", 1));
    let failed = |e: tungstenite::Error| format!("{url}: {e}");
    let mut request = url.as_str().into_client_request().map_err(failed)?;
    if let Some(token) = token {
        let offered = HeaderValue::try_from(format!("housecount.1, housecount.token.{token}"));
        request.headers_mut().insert(
            SEC_WEBSOCKET_PROTOCOL,
            offered.map_err(|_| "the token has characters that a header can't contain")?,
        );
    }
    let connected = client_async_with_config(request, stream, Some(config)).await;
    connected.map(|(socket, _)| socket).map_err(failed)
}
