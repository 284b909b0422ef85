//! Readiness of the node, in this API's shape. Open to all, as `/healthz` and `/readyz` are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_backend::clock::mono_ms;
use serde::Serialize;
use utoipa::ToSchema;

use super::shape::{DropInError, ErrorBody, ErrorDetails, Success};
use crate::http::error::Problem;
use crate::node::Node;

/// Health of a node that is ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInHealth)]
pub struct Health {
    /// Always `healthy`.
    status: &'static str,
    /// Seconds since the process started.
    uptime: f64,
    /// The version of housecount.
    version: &'static str,
    /// Services that the node depends on.
    services: Services,
}

/// Services that a node depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DropInServices)]
pub struct Services {
    /// The log of any kind: `connected` while it answers and takes writes, else `disconnected`.
    redis: &'static str,
}

impl Services {
    fn of(node: &Node) -> Services {
        let is_connected = node.engine.clock.now().is_some() && !node.engine.hub.is_stalled();
        Services { redis: if is_connected { "connected" } else { "disconnected" } }
    }
}

/// Shows whether the node is ready.
#[utoipa::path(get, path = "/health", operation_id = "checkDropInHealth", tag = "drop-in",
    responses((status = 200, body = Success<Health>),
        (status = 503, description = "`SERVICE_UNAVAILABLE`: not ready; `message` has the reason", body = ErrorBody)))]
pub async fn health(State(node): State<Arc<Node>>) -> Result<Json<Success<Health>>, DropInError> {
    let services = Services::of(&node);
    if let Some(waits_for) = node.engine.not_ready_reason() {
        let details = ErrorDetails { services: Some(services), ..ErrorDetails::default() };
        return Err(DropInError::new(Problem::unavailable("not_ready", waits_for), details));
    }
    let (uptime, version) = (mono_ms() as f64 / 1_000.0, env!("CARGO_PKG_VERSION"));
    Ok(Success::new(&node, Health { status: "healthy", uptime, version, services }))
}

/// Shows whether the node is ready, as `/health` does.
#[utoipa::path(get, path = "/api/health", operation_id = "checkDropInApiHealth", tag = "drop-in",
    responses((status = 200, body = Success<Health>),
        (status = 503, description = "`SERVICE_UNAVAILABLE`: not ready; `message` has the reason", body = ErrorBody)))]
pub async fn api_health(state: State<Arc<Node>>) -> Result<Json<Success<Health>>, DropInError> {
    health(state).await
}
