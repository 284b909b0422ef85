//! The HTTP API: every route on one page, by its callers.
//!
//! Handlers parse, call the node, and shape the answer; the attributes above a handler list its
//! answers. All errors are made in one place, `error`. `docs/API.md` describes the API for people,
//! and `/openapi.json` for programs.

mod access;
mod admin;
mod admit;
mod answer;
mod assets;
mod audience;
pub mod auth;
mod batch;
pub(crate) mod beats;
mod by_label;
mod compat;
mod connection_context;
mod cors;
mod cost;
mod direct;
mod events;
pub mod extract;
mod fast_path;
mod headers;
mod history;
mod labels;
mod live;
mod live_by_label;
mod openapi;
mod ops;
mod packed;
mod public_count;
mod query;
mod query_form;
mod report;
mod server;
mod short_answer;
mod snapshots;
mod sorting;
mod stage_list;
mod stage_metrics;
mod stage_show;
mod stages;
mod streams;
mod usage;
mod viewers;
mod watch;
pub mod ws;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use housecount_access::auth::Scope;
use housecount_body::{batch_body, body, gzip, heartbeat_json};
use housecount_problem as error;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::auth::LimitedCalls::{self, Filtered, Refused};
use self::packed::PackedBody;
use self::query::{RouteParameters, check_query};
use self::query_form::both_forms;
pub use self::server::{BoundListener, serve};
use crate::node::Node;

/// Creates all routes, in groups by who may call them.
///
/// A route is in a group, and the group's requirement is checked in front of it, so that no route
/// can lack it. /openapi.json lists the requirement too.
pub fn router(node: Arc<Node>) -> Router {
    let (router, api) = OpenApiRouter::with_openapi(openapi::Api::openapi())
        .merge(strict(for_players()))
        .merge(for_subscribers())
        .merge(strict(for_all()))
        .merge(guarded(&node, Scope::Read, Filtered, strict(for_readers())))
        .merge(guarded(&node, Scope::Read, Refused, strict(for_readers_of_all())))
        .merge(guarded(&node, Scope::Stages, Filtered, strict(for_stage_admins())))
        .merge(guarded(&node, Scope::Admin, Refused, strict(for_admins())))
        .merge(compat::routes(&node))
        .merge(public())
        .split_for_parts();
    let api = Arc::new(PackedBody::new(openapi::text(&api, &node)));
    let router = [&assets::CLIENT, &assets::WATCH_CLIENT]
        .into_iter()
        .fold(router, |router, client| client.routes(router));
    router
        .route("/openapi.json", get(async move |headers| openapi::answer(&api, &headers)))
        // For browsers
        .route("/", get(assets::index))
        .route("/assets/{file}", get(assets::file))
        .route("/docs", get(assets::docs_home))
        .route("/docs/", get(assets::docs))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(node.clone(), ops::count_requests))
        .layer(axum::middleware::from_fn_with_state(node.clone(), compat::shape_errors))
        .with_state(node)
}

type Routes = OpenApiRouter<Arc<Node>>;

/// Creates the routes of players. Their handlers check tokens, since only they know what a token
/// must cover. Many heartbeats at once need an operator key with the scope `beats` instead
/// (`auth::require_batch_scope`).
fn for_players() -> Routes {
    let routes = OpenApiRouter::new()
        .routes(routes!(beats::heartbeat))
        .routes(routes!(beats::leave))
        .routes(routes!(ws::upgrade_required));
    let batch = OpenApiRouter::new().routes(routes!(batch::heartbeats));
    openapi::secured(routes, openapi::VIEWER_TOKEN, None).merge(openapi::secured(
        batch,
        openapi::OPERATOR_KEY,
        Some(Scope::Beats),
    ))
}

/// Creates the route of changing counts: of named stages for players, of all for operators. The
/// needed credential depends on the stages (`auth::authorize_counts`).
fn for_subscribers() -> Routes {
    // `live` checks its query itself, since the query decides who may read the answer (`cors`).
    openapi::secured(OpenApiRouter::new().routes(routes!(live::live)), openapi::VIEWER_TOKEN, None)
}

/// Creates the routes that show only what stages make public.
fn for_all() -> Routes {
    OpenApiRouter::new().routes(routes!(public_count::show))
}

/// Creates the routes of the scope `read` that can be filtered: counts, viewers and history.
fn for_readers() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(stage_list::list))
        .merge(both_forms(routes!(stage_show::show)))
        .merge(both_forms(routes!(viewers::of_stage)))
        .merge(both_forms(routes!(viewers::show)))
        .merge(both_forms(routes!(snapshots::of_stage)))
        .merge(both_forms(routes!(watch::of_stage)))
        .merge(both_forms(routes!(watch::of_viewer)))
        .merge(both_forms(routes!(history::of_stage)))
        .routes(routes!(history::of_all))
        .routes(routes!(history::totals))
        .merge(both_forms(routes!(report::of_stage)))
        .routes(routes!(report::of_all))
        .merge(both_forms(routes!(report::broadcasts)))
        .routes(routes!(report::compare))
        .routes(routes!(usage::list))
}

/// Creates the routes of the scope `read` that cover all stages at once, so limited keys are
/// refused: totals, events, cost and the node's metrics.
fn for_readers_of_all() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(live::stats))
        .routes(routes!(events::list))
        .routes(routes!(events::webhooks))
        .routes(routes!(cost::cost))
        .routes(routes!(ops::metrics))
}

/// Creates the routes of the scope `stages`: stages' configuration.
fn for_stage_admins() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(stages::create))
        .merge(both_forms(routes!(stages::change)))
        .merge(both_forms(routes!(stages::delete)))
}

/// Creates the routes of the scope `admin`: actions by hand.
fn for_admins() -> Routes {
    OpenApiRouter::new().routes(routes!(admin::snapshot)).routes(routes!(admin::restore))
}

/// Creates the routes that are open to all, because they reveal no secret: liveness and readiness,
/// in either API. The static pages are in [`router`].
fn public() -> Routes {
    OpenApiRouter::new().routes(routes!(ops::healthz)).routes(routes!(ops::readyz))
}

/// Restricts the queries of routes to the parameters that their description names. A guard goes
/// around this, so that a call without a key learns nothing.
fn strict(routes: Routes) -> Routes {
    let known = Arc::new(RouteParameters::of(routes.get_openapi()));
    routes.route_layer(axum::middleware::from_fn_with_state(known, check_query))
}

/// Requires an operator key with a scope for these routes. On a node without keys, operators'
/// routes are for this machine (`direct`). `limited` is for keys that cover some stages only.
fn guarded(node: &Arc<Node>, scope: Scope, limited: LimitedCalls, routes: Routes) -> Routes {
    let guard = axum::middleware::from_fn_with_state(
        (node.clone(), scope, limited),
        auth::require_scope_layer,
    );
    openapi::secured(routes.route_layer(guard), openapi::OPERATOR_KEY, Some(scope))
}
