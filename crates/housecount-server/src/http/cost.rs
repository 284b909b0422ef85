//! Metered cost of a node.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_cost::CostBody;

use super::error::ProblemBody;
use crate::node::Node;

/// Shows the metered cost of this node's calls.
///
/// It has the cost so far, of the last hour, and of a month like it. It also has the cost of other
/// plans. Each node counts its own calls, so add up the nodes' costs.
#[utoipa::path(get, path = "/v1/cost", operation_id = "showCost", tag = "operations",
    responses((status = 200, body = CostBody),
        (status = 400, description = "unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn cost(State(node): State<Arc<Node>>) -> Json<CostBody> {
    Json(CostBody::of(&node.costs))
}
