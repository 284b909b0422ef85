//! The HTTP API: every route on one page, by who calls it.
//!
//! Handlers parse, call the node, and shape the answer; what a route answers is above its handler. All errors
//! are made in `error`, once. docs/API.md tells it to people, `/openapi.json` to programs.

mod admin;
pub(crate) mod beats;
mod body;
mod cost;
mod error;
pub(crate) mod extract;
mod front;
mod live;
mod openapi;
mod ops;
mod patience;
mod server;
mod snapshots;
mod stages;
mod viewers;
mod watch;
pub(crate) mod words;
pub(crate) mod ws;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::server::{Bound, run, serve};
use crate::node::Node;

/// All routes.
pub fn router(node: Arc<Node>) -> Router {
    let (router, api) = OpenApiRouter::with_openapi(openapi::Api::openapi())
        // For players
        .routes(routes!(beats::heartbeat))
        .routes(routes!(beats::heartbeats))
        .routes(routes!(beats::leave))
        .routes(routes!(ws::upgrade_required))
        // For operators
        .routes(routes!(live::stats))
        .routes(routes!(stages::list, stages::create))
        .routes(routes!(stages::show, stages::change, stages::delete))
        .routes(routes!(viewers::of_stage))
        .routes(routes!(viewers::show))
        .routes(routes!(snapshots::of_stage))
        .routes(routes!(watch::of_stage))
        .routes(routes!(watch::of_viewer))
        .routes(routes!(watch::history))
        .routes(routes!(admin::snapshot))
        .routes(routes!(admin::restore))
        // For whoever runs it
        .routes(routes!(cost::cost))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .split_for_parts();
    let api = openapi::text(&api);
    router
        .route("/openapi.json", get(move || async move { ops::json_text(api) }))
        .route("/", get(ops::index))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(node.clone(), ops::observe))
        .with_state(node)
}
