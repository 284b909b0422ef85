//! The HTTP API: every route on one page, by who calls it.
//!
//! Handlers parse, call the node, and shape the answer; what a route answers is above its handler. All errors
//! are made in `error`, once. docs/API.md tells it to people, `/openapi.json` to programs.

mod admin;
mod beats;
mod body;
mod error;
mod extract;
mod live;
mod ops;
mod server;
mod snapshots;
mod stages;
mod viewers;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::server::{Bound, run};
use crate::node::Node;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "housecount",
        description = "Live audience counts that are never wrong without saying so. Every count comes with \
                       `asOf` (Unix ms), `complete` and `recovering`. Errors are RFC 9457 problems with a stable `code`."
    ),
    tags(
        (name = "players", description = "What players send"),
        (name = "operators", description = "What dashboards and backends ask"),
        (name = "operations", description = "What keeps it running")
    )
)]
struct ApiDoc;

/// All routes.
pub fn router(node: Arc<Node>) -> Router {
    let (router, api) = OpenApiRouter::with_openapi(ApiDoc::openapi())
        // For players
        .routes(routes!(beats::heartbeat))
        .routes(routes!(beats::heartbeats))
        .routes(routes!(beats::leave))
        // For operators
        .routes(routes!(live::stats))
        .routes(routes!(stages::list, stages::create))
        .routes(routes!(stages::show, stages::change, stages::delete))
        .routes(routes!(viewers::of_stage))
        .routes(routes!(viewers::show))
        .routes(routes!(snapshots::of_stage))
        .routes(routes!(admin::snapshot))
        .routes(routes!(admin::restore))
        // For whoever runs it
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .split_for_parts();
    let api = serde_json::to_string_pretty(&api).unwrap_or_default();
    router
        .route("/openapi.json", get(move || async move { ops::json_text(api) }))
        .route("/", get(ops::index))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(node.clone(), ops::observe))
        .with_state(node)
}
