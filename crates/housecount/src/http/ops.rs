//! What keeps it running: health, readiness, metrics, and the counters around every request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::{HeaderValue, Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{Problem, ProblemBody, ProblemCode};
use super::extract::check_percent_encoding;
use crate::metrics::RouteLabel;
use crate::node::Node;

/// Whether the process is alive: it answers.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = String)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the node may be sent traffic: the log is reachable, and has been read to its end.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = String),
        (status = 503, description = "what it waits for", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn readyz(State(node): State<Arc<Node>>) -> Result<&'static str, Problem> {
    match node.readiness.waits_for() {
        Some(waits_for) => Err(Problem::unavailable("not_ready", waits_for)),
        None if node.hub.is_silent() => {
            Err(Problem::unavailable("not_ready", "waiting for the log: nothing heard from it for a while"))
        }
        None => Ok("ready\n"),
    }
}

/// Everything counted about this node, in Prometheus's text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String)))]
pub async fn metrics(State(node): State<Arc<Node>>) -> Response {
    node.costs.show(&node.metrics);
    let text = node.metrics.encode(node.hub.figures());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A JSON document that is text already.
pub fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// What is where, for whoever opens the address in a browser.
pub async fn index() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "housecount {version}\n\n\
         /v1/stats       how many are online altogether\n\
         /v1/stages      every stage with its count and peak\n\
         /v1/cost        what it costs\n\
         /openapi.json   the whole API\n\
         /readyz         whether this node may be sent traffic\n\
         /metrics        for Prometheus\n"
    )
}

/// Around every request: refuses broken percent-encoding, and counts what was answered.
pub async fn observe(State(node): State<Arc<Node>>, request: Request<Body>, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_string();
    let response = match check_percent_encoding(request.uri().path()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(ProblemCode(code)) = response.extensions().get() {
        node.metrics.reject(code);
    }
    let label = RouteLabel { route, status: response.status().as_u16() };
    node.metrics.requests.get_or_create(&label).inc();
    response
}
