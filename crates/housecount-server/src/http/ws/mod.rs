//! `GET /v1/ws`: heartbeats over a WebSocket, by the crate `tokio-tungstenite`.
//!
//! The fast path answers the upgrade itself. From then on the connection is the bare socket, with a
//! player's task (`connection`). Hyper's buffers are freed, and an idle player costs a few
//! kilobytes.

mod connection;
mod idle;
pub mod message;
mod replies;
mod short;

use std::sync::Arc;

use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response as Routed};
use housecount_access::admission::{AddressConnection, ClientAddr};
use housecount_access::auth::{Claims, Credential};
use housecount_metrics::Metrics;
use housecount_net::traffic::ClientTransport;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub use self::connection::Socket;
use self::connection::{Player, PlayerSocket};
pub use self::idle::IdleTimer;
pub use self::message::not_text;
use housecount_wire::socket::stream::MaybeTlsStream;
use housecount_wire::timeouts::TimeoutStream;
use housecount_wire::write_timeout::WriteTimeoutStream;

use super::answer::ResponseBody;
use super::compat::socket::StatsSocket;
use super::connection_context::ConnectionContext;
use super::error::{Problem, ProblemBody};
use super::fast_path::FastPath;
use crate::node::Node;

/// Subprotocols of the messages below, for clients that offer one, in the order of preference.
const SUBPROTOCOLS: [&str; 2] = [SHORT_ANSWERS, "housecount.1"];
/// Subprotocol with short answers.
const SHORT_ANSWERS: &str = "housecount.2";
/// Prefix of a viewer's token where a client offers it as a subprotocol. It is never answered.
const TOKEN_SUBPROTOCOL: &str = "housecount.token.";

/// Opens a WebSocket for heartbeats and leaves, which are answered with counts.
///
/// Messages are JSON as text. A heartbeat is `{"stage","viewer","session"?}`. `{}` repeats the last
/// heartbeat. A leave is a heartbeat with `"leave": true`; without ids it has those of the last
/// heartbeat. A heartbeat has the answer of `POST /v1/heartbeat`, with its `stage`. A leave has
/// `{"stage","left":true}`. The answer to any refused message is
/// `{"code","detail","retryAfterMs"?}`. Subprotocol `housecount.2` has short answers.
///
/// A browser sends a viewer's token as a subprotocol, `housecount.token.TOKEN` beside
/// `housecount.1` or `housecount.2`. The token's one is never answered. A token in `?token=` gets
/// into the logs of proxies.
#[utoipa::path(get, path = "/v1/ws", operation_id = "openWebSocket", tag = "players",
    params(("token" = Option<String>, Query, description = "viewer's token, for clients that can't send headers")),
    responses(
        (status = 101, description = "WebSocket messages follow"),
        (status = 400, description = "unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 426, description = "the request is not a WebSocket upgrade",
            body = ProblemBody, content_type = "application/problem+json")))]
pub async fn upgrade_required() -> Routed {
    let detail = "this path is for WebSockets only; send an upgrade request (version 13)";
    let mut response =
        Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail).into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Answers a request for an upgrade, and serves the socket on this worker. Returns `None` if the
/// request is not one. `claims` are those of the player's token.
pub fn upgrade(
    request: &mut Request<Incoming>,
    node: &Arc<Node>,
    claims: Option<Claims>,
    context: Arc<ConnectionContext<FastPath>>,
    counted: Option<AddressConnection>,
    client_addr: ClientAddr,
    stop: watch::Receiver<bool>,
) -> Option<Response<ResponseBody>> {
    let accept = accept_key(request.headers())?;
    let is_offered = |known: &&str| offered(request.headers()).any(|name| name == *known);
    let subprotocol = SUBPROTOCOLS.into_iter().find(is_offered);
    let has_short_answers = subprotocol == Some(SHORT_ANSWERS);
    let labels = node.admission.header_labels(context.peer, request.headers());
    let open = OpenSocketGauge::new(node.engine.metrics.clone(), counted);
    tokio::spawn(run_upgraded(
        hyper::upgrade::on(request),
        node.clone(),
        Player { claims, client_addr, has_short_answers, labels: labels.map(Box::new) },
        context,
        open,
        stop,
    ));
    Some(switching(accept, subprotocol.map(HeaderValue::from_static)))
}

/// Answers a request of an operator's page for counts: the drop-in API's socket. The socket ends
/// when `credential` does.
pub fn open_stats(
    request: &mut Request<Incoming>,
    node: &Arc<Node>,
    credential: Option<Credential>,
    context: Arc<ConnectionContext<FastPath>>,
    counted: Option<AddressConnection>,
    client_addr: ClientAddr,
    stop: watch::Receiver<bool>,
) -> Option<Response<ResponseBody>> {
    let accept = accept_key(request.headers())?;
    // Its messages have no subprotocol of this API. Servers built on the package `ws` answer the
    // first one offered, so front-ends expect that.
    let subprotocol = offered(request.headers()).next().and_then(as_header);
    let open = OpenSocketGauge::new(node.engine.metrics.clone(), counted);
    let (upgrade, node) = (hyper::upgrade::on(request), node.clone());
    tokio::spawn(async move {
        let Some(socket) = socket_of(upgrade, &node).await else { return };
        StatsSocket::new(socket, node, client_addr, credential, open, context, stop).run().await;
    });
    Some(switching(accept, subprotocol))
}

/// Returns the subprotocols that a client offers, in its order.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    offered_in(headers).map(|(_, name)| name)
}

/// Returns the subprotocols as [`offered`], each with the header that it is in.
fn offered_in(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderValue, &str)> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok().map(|text| (value, text)));
    let names =
        texts.flat_map(|(value, text)| text.split(',').map(move |name| (value, name.trim())));
    names.filter(|(_, name)| !name.is_empty())
}

/// Returns the tokens among the subprotocols that a client offers. A browser can send no header
/// with a WebSocket, and URLs get into logs.
pub(super) fn offered_tokens(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderValue, &str)> {
    offered_in(headers)
        .filter_map(|(value, name)| Some((value, name.strip_prefix(TOKEN_SUBPROTOCOL)?)))
}

fn as_header(subprotocol: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(subprotocol).ok()
}

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    accept_key(headers).is_some()
}

/// Returns the answer to a request for a WebSocket. `subprotocol` is one that the client offers.
/// Without one, a browser that offers any closes the socket (RFC 6455, 4.1). That is right if it
/// knows none of this API's.
fn switching(accept: HeaderValue, subprotocol: Option<HeaderValue>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// Returns the key that proves to the client that the server understands WebSocket. Returns `None`
/// if the request is not for one.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
    };
    let is_upgrade =
        has(CONNECTION, "upgrade") && has(UPGRADE, "websocket") && has(SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

/// Serves the player, once the answer is sent.
async fn run_upgraded(
    upgrade: OnUpgrade,
    node: Arc<Node>,
    player: Player,
    context: Arc<ConnectionContext<FastPath>>,
    open: OpenSocketGauge,
    stop: watch::Receiver<bool>,
) {
    let Some(socket) = socket_of(upgrade, &node).await else { return };
    // In a task of its own, without the state of the upgrade.
    tokio::spawn(run_here(PlayerSocket::new(socket, node, player), open, context, stop));
}

/// Returns the WebSocket, once the answer is sent.
async fn socket_of(upgrade: OnUpgrade, node: &Node) -> Option<Socket> {
    let (mut stream, begun) = upgrade.await.ok().and_then(into_stream)?;
    stream.set_traffic(node.costs.traffic.of(ClientTransport::WebSocket).clone());
    let stream = WriteTimeoutStream::new(stream);
    Some(
        WebSocketStream::from_partially_read(
            stream,
            begun,
            Role::Server,
            Some(connection::config()),
        )
        .await,
    )
}

/// Serves the WebSocket, and meanwhile holds its count and its connection's place.
async fn run_here(
    mut player: PlayerSocket,
    _open: OpenSocketGauge,
    _context: Arc<ConnectionContext<FastPath>>,
    stop: watch::Receiver<bool>,
) {
    player.run(stop).await;
}

/// Returns the socket itself, and the bytes that were already read from it.
fn into_stream(upgraded: Upgraded) -> Option<(MaybeTlsStream, Vec<u8>)> {
    let parts = upgraded.downcast::<TokioIo<TimeoutStream<MaybeTlsStream>>>().ok()?;
    let (stream, ahead) = parts.io.into_inner().into_parts();
    Some((stream, [&parts.read_buf[..], &ahead].concat()))
}

/// An open WebSocket, which is counted.
pub struct OpenSocketGauge {
    metrics: Arc<Metrics>,
    /// Count for the client's address, if the client comes through a proxy.
    _counted: Option<AddressConnection>,
}

impl OpenSocketGauge {
    fn new(metrics: Arc<Metrics>, counted: Option<AddressConnection>) -> OpenSocketGauge {
        metrics.websockets.inc();
        OpenSocketGauge { metrics, _counted: counted }
    }
}

impl Drop for OpenSocketGauge {
    fn drop(&mut self) {
        self.metrics.websockets.dec();
    }
}
