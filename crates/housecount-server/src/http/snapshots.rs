//! A stage's snapshots: its count every five minutes, for 30 days.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_engine::internals::snapshots_read as read;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Problem, ProblemBody};
use super::extract::{PastStageParam, ValidQuery, closed_range};
use crate::node::Node;

/// Parameters of a range of time.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RangeQuery {
    /// Unix ms or RFC 3339, included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms or RFC 3339, included; now if not given.
    to: Option<String>,
}

/// A stage's count at a moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct SnapshotBody {
    /// Time of the snapshot, Unix ms.
    timestamp: u64,
    /// Distinct online viewers.
    viewers: u64,
    /// Online sessions.
    sessions: u64,
    /// Largest number of viewers at once until then.
    peak: u64,
    /// Whether the count was bridged from an earlier one.
    recovering: bool,
}

/// A stage's snapshots.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageSnapshotsResponse)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotsBody {
    /// The stage.
    stage: String,
    /// Snapshots in order of time, at most 1,000.
    snapshots: Vec<SnapshotBody>,
    /// Value of `from` for the next page, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_from: Option<u64>,
}

/// Lists a stage's snapshots.
#[utoipa::path(get, path = "/v1/stages/{stage}/snapshots", operation_id = "listStageSnapshots", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), RangeQuery),
    responses((status = 200, body = SnapshotsBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_stage(
    State(node): State<Arc<Node>>,
    PastStageParam { stage, filter }: PastStageParam,
    ValidQuery(range): ValidQuery<RangeQuery>,
) -> Result<Json<SnapshotsBody>, Problem> {
    let now = node.engine.clock.now().ok_or(housecount_engine::internals::IngestError::Starting)?;
    let (from, to) = closed_range(&node, range.from.as_deref(), range.to.as_deref())?;
    let cold = node.engine.reads.as_deref().ok_or_else(Problem::no_cold)?;
    let mut found = Vec::new();
    for time in filter.times_of(stage.as_str()) {
        let (from, to) = (from.max(time.from), to.min(time.to.minus(1)));
        let limit = (PAGE_ROWS_MAX + 1).saturating_sub(found.len());
        if from <= to && limit > 0 {
            found.extend(read::list(cold, &stage, from, to, limit, now).await?);
        }
    }
    let next_from = found.get(PAGE_ROWS_MAX).map(|next| next.at.0);
    let snapshots = found.into_iter().take(PAGE_ROWS_MAX).map(|snapshot| SnapshotBody {
        timestamp: snapshot.at.0,
        viewers: snapshot.count.viewers,
        sessions: snapshot.count.sessions,
        // An earlier peak may be from the time of another customer.
        peak: if filter.is_all() { snapshot.peak } else { snapshot.count.viewers },
        recovering: snapshot.recovering,
    });
    Ok(Json(SnapshotsBody { stage: stage.to_string(), snapshots: snapshots.collect(), next_from }))
}
