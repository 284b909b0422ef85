//! Operations: health, readiness, metrics, and the counters around every request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use housecount_engine::internals::StartProgress;
use housecount_engine::internals::traced;
use housecount_metrics::{MetricsFormat, PathLabel, RouteLabel, StageLabel};
use serde::Serialize;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;
use utoipa::ToSchema;

use super::error::{Problem, ProblemBody, ProblemCode};
use super::extract::check_percent_encoding;
use super::stage_metrics;
use crate::node::Node;

/// Shows whether the process is alive: it answers.
#[utoipa::path(get, path = "/healthz", operation_id = "checkHealth", tag = "operations", responses((status = 200, body = String)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// A node that is not ready for traffic: what it waits for, and how far its start is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotReady)]
pub struct NotReadyBody {
    #[serde(flatten)]
    problem: ProblemBody,
    /// Progress of the start. Absent once the node has started: then a store is unavailable, or the
    /// node stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    start: Option<StartBody>,
}

/// Progress of a start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StartProgress)]
pub struct StartBody {
    /// Current step: `starting`, `checkingColdTier`, `readingLog`, `readingRoster` or
    /// `restoringProofs`.
    step: &'static str,
    /// Percentage of the step that is done, 0 to 99. Absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    percent: Option<u8>,
}

impl From<StartProgress> for StartBody {
    fn from(StartProgress { step, percent }: StartProgress) -> StartBody {
        StartBody { step: step.name(), percent }
    }
}

/// Shows whether the node is ready for traffic.
///
/// A ready node can reach the log, and has read it to its end.
#[utoipa::path(get, path = "/readyz", operation_id = "checkReadiness", tag = "operations",
    responses((status = 200, body = String),
        (status = 503, description = "not ready; `detail` has the reason", body = NotReadyBody,
            content_type = "application/problem+json")))]
pub async fn readyz(State(node): State<Arc<Node>>) -> Response {
    // Read before the reason, so that a start which ends meanwhile still has one.
    let start = node.engine.readiness.start().map(StartBody::from);
    let Some(waits_for) = node.engine.not_ready_reason() else { return "ready\n".into_response() };
    let problem = Problem::unavailable("not_ready", waits_for);
    let body = NotReadyBody { problem: problem.json(), start };
    problem.response_of(&body)
}

/// Shows all metrics of this node, for Prometheus.
///
/// The format is its text format 0.0.4, or OpenMetrics 1.0.0 if `Accept` asks for
/// `application/openmetrics-text`.
#[utoipa::path(get, path = "/metrics", operation_id = "showMetrics", tag = "operations",
    responses((status = 200, content(
        (String = "text/plain; version=0.0.4; charset=utf-8"),
        (String = "application/openmetrics-text; version=1.0.0; charset=utf-8")))))]
pub async fn metrics(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    node.costs.update_metrics(&node.engine.metrics);
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let format = MetricsFormat::accepted(&accept.join(","));
    let largest = match node.settings.metrics_stages {
        0 => Vec::new(),
        stages_max => stage_metrics::largest(&node, stages_max).await,
    };
    let text = {
        // Another scrape must not empty the list in between.
        let _turn = node.scrape.lock();
        let of_stages = &node.engine.metrics.stage_viewers;
        of_stages.clear();
        for (stage, viewers) in largest {
            let viewers = i64::try_from(viewers).unwrap_or(i64::MAX);
            of_stages.get_or_create(&StageLabel { stage }).set(viewers);
        }
        node.engine.metrics.encode(node.engine.figures(), format)
    };
    let [kind, vary] = [format.content_type(), "accept"].map(HeaderValue::from_static);
    ([(header::CONTENT_TYPE, kind), (header::VARY, vary)], text).into_response()
}

/// Refuses broken percent-encoding, and counts the answers. It is around every request.
pub async fn count_requests(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_string();
    let began = Instant::now();
    let span = tracing::debug_span!(target: traced::TARGET, traced::REQUEST, route, status = Empty);
    let response = match check_percent_encoding(request.uri().path()) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(problem) => problem.into_response(),
    };
    span.record("status", i64::from(response.status().as_u16()));
    if let Some(ProblemCode(code)) = response.extensions().get() {
        node.engine.metrics.count_rejection(code);
    }
    let path = PathLabel { route: route.clone() };
    node.engine.metrics.request.get_or_create(&path).observe(began.elapsed().as_secs_f64());
    let label = RouteLabel { route, status: response.status().as_u16() };
    node.engine.metrics.requests.get_or_create(&label).inc();
    response
}
