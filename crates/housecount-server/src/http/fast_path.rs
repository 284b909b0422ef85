//! The fast path: players' calls are answered here, on the HTTP library itself, and all others by
//! the router.
//!
//! A heartbeat costs hardly more than receiving any request. So the work of a framework for each
//! request (boxes, extensions, a route's name as a string) would be most of it. The handlers are
//! the same functions that the router calls.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use bytes::Bytes;
use housecount_access::admission::{AdmissionError, ClientAddr};
use housecount_access::auth::Scope;
use housecount_access::cors::{Cors, CorsDecision};
use housecount_metrics::RouteLabel;
use housecount_wire::ResponseFuture;
use housecount_wire::unread::{self, RequestEnd};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::sync::watch;

use super::answer::ResponseBody;
use super::auth::{self, PlayerCredential};
use super::batch::{self, BatchOutcome};
use super::beats::{HeartbeatAnswer, PlayerRequest};
use super::compat;
use super::connection_context::ConnectionContext;
use super::cors;
use super::direct::{Peer, Sender};
use super::error::Problem;
use super::headers;
use super::query::{self, Parameter};
use crate::node::Node;

/// Parameters of a WebSocket's query. Two tokens are refused as two credentials are (`auth`).
const WS_PARAMETERS: [Parameter; 1] = [Parameter::repeatable("token")];

/// HTTP service that answers players' calls itself and routes all others.
#[derive(Clone, Debug)]
pub struct FastPath(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Arc<Node>,
    cors: Cors,
    router: Router,
    beat: Route,
    beats: Route,
    leave: Route,
    ws: Route,
    stats_ws: Route,
    stop: watch::Receiver<bool>,
}

/// A route, with the counter of its good answers, so that they need no lookup.
#[derive(Debug)]
struct Route {
    path: &'static str,
    good: StatusCode,
    answered: Counter,
}

impl Route {
    fn new(node: &Node, path: &'static str, good: StatusCode) -> Route {
        let answered = node.engine.metrics.requests.get_or_create(&label(path, good)).clone();
        Route { path, good, answered }
    }

    /// Counts an outcome, and makes it an answer.
    fn answer(
        &self,
        node: &Node,
        outcome: Result<Response<ResponseBody>, Problem>,
    ) -> Response<ResponseBody> {
        match outcome {
            Ok(response) if response.status() == self.good => {
                self.answered.inc();
                response
            }
            Ok(response) => {
                node.engine
                    .metrics
                    .requests
                    .get_or_create(&label(self.path, response.status()))
                    .inc();
                response
            }
            Err(problem) => {
                node.engine.metrics.count_rejection(problem.code());
                let response = problem.into_response().map(ResponseBody::Routed);
                node.engine
                    .metrics
                    .requests
                    .get_or_create(&label(self.path, response.status()))
                    .inc();
                response
            }
        }
    }
}

fn label(path: &str, status: StatusCode) -> RouteLabel {
    RouteLabel { route: path.to_string(), status: status.as_u16() }
}

impl FastPath {
    /// Creates the service of a node. Connections that outlive their request end with `stop`.
    #[must_use]
    pub fn new(node: Arc<Node>, stop: watch::Receiver<bool>) -> FastPath {
        let route = |path, good| Route::new(&node, path, good);
        let beat = route("/v1/heartbeat", StatusCode::OK);
        let beats = route("/v1/heartbeats", StatusCode::OK);
        let leave = route("/v1/leave", StatusCode::NO_CONTENT);
        let ws = route("/v1/ws", StatusCode::SWITCHING_PROTOCOLS);
        let stats_ws = route("/ws", StatusCode::SWITCHING_PROTOCOLS);
        let router = super::router(node.clone());
        let (players, operators) =
            (&node.settings.cors_origins, &node.settings.cors_operator_origins);
        let cors = Cors::new(players, operators, cors::is_players);
        FastPath(Arc::new(Inner { node, cors, router, beat, beats, leave, ws, stats_ws, stop }))
    }

    /// Answers a request that came on a connection.
    pub fn serve(
        request: Request<Incoming>,
        connection: Arc<ConnectionContext<FastPath>>,
    ) -> ResponseFuture<ResponseBody> {
        let front = &connection.service;
        let Inner { node, cors, .. } = &*front.0;
        let client_addr = node.admission.addresses.client_addr(connection.peer, request.headers());
        let allowed = cors.decide(request.uri(), request.headers());
        if let Err(mut response) = front.check_address_rate(&request, client_addr, &allowed) {
            let end = RequestEnd::of(request.version(), request.headers());
            let mut body = request.into_body();
            return Box::pin(async move {
                end.settle(&mut body, &mut response).await;
                with_common_headers(*response, allowed)
            });
        }
        // In a box each: one future for all would be as large as the largest, and be copied so.
        let is_post = is_direct_post(&request);
        match request.uri().path() {
            "/v1/heartbeat" if is_post => {
                let mut player_request = PlayerRequest::new(node, request, Some(connection.peer));
                Box::pin(async move {
                    let Inner { node, beat, .. } = &*connection.service.0;
                    let outcome = player_request.beat(node).await;
                    let accepted_short = outcome.as_ref().ok().map(|answer| answer.is_short);
                    let outcome = outcome.map(|answer| heartbeat_response(&answer));
                    let response = beat.answer(node, outcome);
                    match accepted_short {
                        Some(is_short) => with_player_headers(response, is_short, allowed),
                        // In a box, since most requests are accepted.
                        None => with_common_headers(
                            Box::pin(player_request.finish_refused(response)).await,
                            allowed,
                        ),
                    }
                })
            }
            "/v1/leave" if is_post => {
                let mut player_request = PlayerRequest::new(node, request, Some(connection.peer));
                Box::pin(async move {
                    let Inner { node, leave, .. } = &*connection.service.0;
                    let outcome = player_request.leave(node).await;
                    let is_accepted = outcome.is_ok();
                    let response = leave.answer(node, outcome.map(no_content));
                    match is_accepted {
                        true => with_player_headers(response, false, allowed),
                        false => with_common_headers(
                            Box::pin(player_request.finish_refused(response)).await,
                            allowed,
                        ),
                    }
                })
            }
            _ => Box::pin(async move {
                with_common_headers(serve_routed(request, connection, client_addr).await, allowed)
            }),
        }
    }

    /// Counts a request of an address. Returns the answer if the address has sent too much, or the
    /// request is a preflight or an `OPTIONS` probe. Health probes are always allowed: a balancer
    /// decides by them where other clients' requests go.
    fn check_address_rate(
        &self,
        request: &Request<Incoming>,
        client_addr: ClientAddr,
        allowed: &CorsDecision,
    ) -> Result<(), Box<Response<ResponseBody>>> {
        let node = &self.0.node;
        let path = request.uri().path();
        let is_probe = || {
            matches!(path, "/healthz" | "/readyz" | "/health" | "/api/health")
                || options(request).is_some()
        };
        match node.admission.addresses.check(client_addr, 1) {
            Err(error) if !is_probe() => Err(Box::new(refused(node, path, error))),
            _ => {
                let answered = self.0.cors.preflight(allowed, request).or_else(|| options(request));
                let Some(headers) = answered else { return Ok(()) };
                let mut response = no_content(());
                *response.headers_mut() = headers;
                node.engine.metrics.requests.get_or_create(&label("any", response.status())).inc();
                Err(Box::new(response))
            }
        }
    }
}

/// Whether a request may take the fast path of heartbeats and leaves: a POST without a query. The
/// router refuses queries by name.
fn is_direct_post(request: &Request<Incoming>) -> bool {
    request.method() == Method::POST && request.uri().query().is_none()
}

/// Returns the headers of the answer to `OPTIONS *` and `OPTIONS /`. Load balancers probe a server
/// with these (HAProxy's default check). Returns `None` for any other request.
fn options<B>(request: &Request<B>) -> Option<HeaderMap> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let methods = match request.uri().path() {
        "*" => "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
        "/" => "GET, HEAD, OPTIONS",
        _ => return None,
    };
    Some(HeaderMap::from_iter([(ALLOW, HeaderValue::from_static(methods))]))
}

/// Returns the answer to a request that its address may not send now, in the form of its API.
fn refused(node: &Node, path: &str, error: AdmissionError) -> Response<ResponseBody> {
    let problem = Problem::from(error);
    node.engine.metrics.count_rejection(problem.code());
    let response = compat::refusal(node, path, problem).map(ResponseBody::Routed);
    node.engine.metrics.requests.get_or_create(&label("any", response.status())).inc();
    response
}

async fn serve_routed(
    mut request: Request<Incoming>,
    connection: Arc<ConnectionContext<FastPath>>,
    client_addr: ClientAddr,
) -> Response<ResponseBody> {
    request.extensions_mut().insert(client_addr);
    request.extensions_mut().insert(Peer(connection.peer));
    let Inner { node, router, beats, ws, stats_ws, stop, .. } = &*connection.service.0;
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/heartbeats") if request.uri().query().is_none() => {
            let (request, lender) = unread::lend(request);
            let mut response = beats
                .answer(node, batch::heartbeat_batch(node, request).await.map(heartbeat_batch));
            if let Some(lender) = lender {
                lender.settle(&mut response).await;
            }
            return response;
        }
        (&Method::GET, "/v1/live") => {
            match node.admission.connections.open_proxied(connection.peer, client_addr) {
                Ok(counted) => {
                    // Held by the stream, which the router answers with.
                    counted.map(|counted| request.extensions_mut().insert(Arc::new(counted)));
                }
                Err(error) => return refused(node, "/v1/live", error),
            }
        }
        (&Method::GET, "/v1/ws") => {
            if let Err(problem) =
                query::check(request.uri().query().unwrap_or_default(), &WS_PARAMETERS)
            {
                return ws.answer(node, Err(problem));
            }
            let bearer = PlayerCredential::of_web_socket(node, request.headers(), request.uri());
            let claims = match bearer.claims(node, None).await {
                Ok(claims) => claims,
                Err(problem) => return ws.answer(node, Err(problem)),
            };
            let counted =
                match node.admission.connections.open_proxied(connection.peer, client_addr) {
                    Ok(counted) => counted,
                    Err(error) => return ws.answer(node, Err(error.into())),
                };
            let connection = connection.clone();
            if let Some(response) = super::ws::upgrade(
                &mut request,
                node,
                claims,
                connection,
                counted,
                client_addr,
                stop.clone(),
            ) {
                return ws.answer(node, Ok(response));
            }
        }
        // The router answers a caller without permission, and a request that is not an upgrade.
        (&Method::GET, "/ws") => {
            let admitted = auth::admit(node, Sender::of(&request), Scope::Read);
            if let (Ok(credential), true) = (admitted, super::ws::is_upgrade(request.headers())) {
                let counted =
                    match node.admission.connections.open_proxied(connection.peer, client_addr) {
                        Ok(counted) => counted,
                        Err(error) => return refused(node, "/ws", error),
                    };
                let connection = connection.clone();
                let opened = super::ws::open_stats(
                    &mut request,
                    node,
                    credential,
                    connection,
                    counted,
                    client_addr,
                    stop.clone(),
                );
                if let Some(response) = opened {
                    return stats_ws.answer(node, Ok(response));
                }
            }
        }
        _ => {}
    }
    let (request, lender) = unread::lend(request);
    let mut response = routed(router.clone(), request).await;
    if let Some(lender) = lender {
        lender.settle(&mut response).await;
    }
    response
}

/// Returns the router's answer.
async fn routed<B>(router: Router, request: Request<B>) -> Response<ResponseBody>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let answered = TowerToHyperService::new(router).call(request.map(axum::body::Body::new));
    answered.await.unwrap_or_else(|never: Infallible| match never {}).map(ResponseBody::Routed)
}

/// Adds the headers of an accepted heartbeat or leave.
fn with_player_headers(
    mut response: Response<ResponseBody>,
    is_short: bool,
    allowed: CorsDecision,
) -> Response<ResponseBody> {
    allowed.apply(response.headers_mut());
    headers::set_player(response.headers_mut(), is_short);
    response
}

/// Adds the headers that every answer has. The one to an upgrade has a connection's headers only.
/// It has no content, and browsers ask no permission for a WebSocket (90 bytes).
fn with_common_headers(
    mut response: Response<ResponseBody>,
    allowed: CorsDecision,
) -> Response<ResponseBody> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    allowed.apply(response.headers_mut());
    headers::set_common(response.headers_mut());
    response
}

fn heartbeat_response(answer: &HeartbeatAnswer) -> Response<ResponseBody> {
    json_bytes(answer.text().into_bytes())
}

/// Returns the answer to many heartbeats.
fn heartbeat_batch(outcome: BatchOutcome) -> Response<ResponseBody> {
    match outcome {
        BatchOutcome::Taken(body) => json(&body),
        BatchOutcome::Refused(_) => outcome.into_response().map(ResponseBody::Routed),
    }
}

fn json(body: &impl Serialize) -> Response<ResponseBody> {
    let mut text = Vec::with_capacity(128);
    // Bodies of these types can always be serialized.
    let _ = serde_json::to_writer(&mut text, body);
    json_bytes(text)
}

/// Returns an answer with complete JSON.
fn json_bytes(text: Vec<u8>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Full::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn no_content(_: ()) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Full::default()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
