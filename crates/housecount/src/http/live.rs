//! Counts: the shape that every one of them has, and the totals.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::fold::Count;
use serde::Serialize;
use utoipa::ToSchema;

use crate::hub::{Answer, Standing};
use crate::node::Node;

/// How far an answer can be trusted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingBody {
    /// When it was so: Unix ms on the log's clock.
    as_of: u64,
    /// Whether everybody is counted for sure. If not, the count may be low.
    complete: bool,
    /// Whether it is bridged from what was known before a loss. Never longer than one ttl.
    recovering: bool,
}

impl From<Standing> for StandingBody {
    fn from(standing: Standing) -> StandingBody {
        StandingBody { as_of: standing.as_of.0, complete: standing.complete, recovering: standing.recovering }
    }
}

/// A stage's count.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct CountBody {
    /// Distinct online viewers.
    viewers: u64,
    /// Online sessions.
    sessions: u64,
    #[serde(flatten)]
    standing: StandingBody,
}

impl From<Answer<Count>> for CountBody {
    fn from(answer: Answer<Count>) -> CountBody {
        let Count { viewers, sessions } = answer.of;
        CountBody { viewers, sessions, standing: answer.standing.into() }
    }
}

/// The count over all stages.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalsBody {
    /// Distinct online viewers: one on two stages is one.
    viewers: u64,
    /// Online sessions.
    sessions: u64,
    /// Stages with somebody online.
    stages: u64,
    #[serde(flatten)]
    standing: StandingBody,
}

/// How many are online altogether.
#[utoipa::path(get, path = "/v1/stats", tag = "operators", responses((status = 200, body = TotalsBody)))]
pub async fn stats(State(node): State<Arc<Node>>) -> Json<TotalsBody> {
    let Answer { of: (count, stages), standing } = node.hub.totals();
    Json(TotalsBody { viewers: count.viewers, sessions: count.sessions, stages, standing: standing.into() })
}
