//! The drop-in API: every call that front-ends of the common IVS viewer API make, in its names and
//! shapes.
//!
//! A participant is a session. The calls ask the hub, the ledger and the stages' configuration as
//! every other call does. No file here decides whether a viewer is online, or which time is proven.
//! `docs/API.md` describes how each field differs from the one that such a front-end expects.

mod duration;
mod health;
mod history;
mod list;
mod players;
mod request;
mod shape;
pub(crate) mod socket;
mod stats;
mod views;

use std::sync::Arc;

use housecount_access::auth::Scope;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::shape::{refusal, shape_errors};
use super::auth::LimitedCalls::{Filtered, Refused};
use super::{Routes, guarded};
use crate::node::Node;

/// Returns the routes of this API. The three calls of players need the scope `beats`, and health
/// needs none. All others are for operators, and need the scope `read`.
pub fn routes(node: &Arc<Node>) -> Routes {
    let players = OpenApiRouter::new()
        .routes(routes!(players::rejoin))
        .routes(routes!(players::heartbeat))
        .routes(routes!(players::leave));
    let readers = OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(duration::duration))
        .routes(routes!(history::history))
        .routes(routes!(views::stats))
        .routes(routes!(stats::stages));
    let readers_of_all = OpenApiRouter::new()
        .routes(routes!(stats::stats))
        .routes(routes!(stats::viewers))
        .routes(routes!(socket::upgrade_required));
    let open =
        OpenApiRouter::new().routes(routes!(health::health)).routes(routes!(health::api_health));
    guarded(node, Scope::Beats, Filtered, players)
        .merge(guarded(node, Scope::Read, Filtered, readers))
        .merge(guarded(node, Scope::Read, Refused, readers_of_all))
        .merge(open)
}
