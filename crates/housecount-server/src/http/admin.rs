//! Snapshot and restore by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_backend::threads::blocking::run_blocking_future;
use housecount_engine::internals::SnapshotOutcome;
use housecount_engine::internals::{LastRoster, last_roster};
use serde::Serialize;
use tokio::runtime::Handle;
use utoipa::ToSchema;

use super::error::{Problem, ProblemBody};
use crate::node::Node;

/// Result of a snapshot.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SaveSnapshotsResponse)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotResponse {
    /// `saved`, `nothingActive` or `busyElsewhere`. The last means that another node takes the
    /// snapshot, or just took it.
    outcome: &'static str,
    /// Moment of the snapshot, Unix ms.
    at: Option<u64>,
    /// Stages saved.
    stages: u64,
    /// Viewers in the snapshot.
    viewers: u64,
    /// Time that the snapshot took, in ms.
    took_ms: u64,
}

/// Saves the count of every active stage now.
#[utoipa::path(post, path = "/v1/admin/snapshot", operation_id = "saveSnapshots", tag = "operations",
    responses((status = 200, body = SnapshotResponse),
        (status = 400, description = "unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 415, description = "the body is not declared as JSON", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn snapshot(State(node): State<Arc<Node>>) -> Result<Json<SnapshotResponse>, Problem> {
    let service = node.engine.snapshots.as_ref().ok_or_else(Problem::no_cold)?;
    let status = node.engine.hub.totals().status;
    if !status.complete && !status.recovering {
        return Err(Problem::unavailable(
            "counts_unknown",
            "the counts are unknown, because the log does not answer; try again",
        ));
    }
    let nothing =
        |outcome| SnapshotResponse { outcome, at: None, stages: 0, viewers: 0, took_ms: 0 };
    // The snapshot covers all stages: encoding ten thousand takes ten milliseconds.
    let (service, runtime) = (service.clone(), Handle::current());
    let snapshot = async move { service.once().await };
    let taken = run_blocking_future(&runtime, snapshot).await;
    let failed =
        || Problem::unavailable("overloaded", "the snapshot could not be taken; try again");
    Ok(Json(match taken.ok_or_else(failed)?? {
        SnapshotOutcome::Saved(saved) => SnapshotResponse {
            outcome: "saved",
            at: Some(saved.at.0),
            stages: saved.stages,
            viewers: saved.viewers,
            took_ms: saved.took_ms,
        },
        SnapshotOutcome::NothingActive => nothing("nothingActive"),
        SnapshotOutcome::BusyElsewhere | SnapshotOutcome::DoneElsewhere => nothing("busyElsewhere"),
    }))
}

/// Result of a restore.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RestoreResponse)]
#[serde(rename_all = "camelCase")]
pub struct RestoreResponse {
    /// Whether there was a snapshot to restore.
    restored: bool,
    /// Time when the snapshot was taken, Unix ms.
    taken_at: Option<u64>,
    /// Stages in the snapshot.
    stages: u64,
    /// Viewers in the snapshot.
    viewers: u64,
    /// Time until which its counts stand in, Unix ms.
    until: Option<u64>,
}

/// Lets the last snapshot's counts stand in for one ttl, as after a loss of the hot tier.
///
/// Use it when this node's counts are known to be too low. Until it ends, counts have `recovering:
/// true`.
#[utoipa::path(post, path = "/v1/admin/restore", operation_id = "restoreCounts", tag = "operations",
    responses((status = 200, body = RestoreResponse),
        (status = 400, description = "unknown query parameter", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 415, description = "the body is not declared as JSON", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn restore(State(node): State<Arc<Node>>) -> Result<Json<RestoreResponse>, Problem> {
    let cold = node.engine.reads.as_ref().ok_or_else(Problem::no_cold)?;
    let now = node.engine.clock.now().ok_or(housecount_engine::internals::IngestError::Starting)?;
    let LastRoster::Last(taken, roster) = last_roster(&**cold, now).await? else {
        return Ok(Json(RestoreResponse {
            restored: false,
            taken_at: None,
            stages: 0,
            viewers: 0,
            until: None,
        }));
    };
    let until = now.plus(node.engine.settings.rules.ttl_ms);
    let (stages, viewers) = (roster.stages.len() as u64, roster.total.viewers);
    tracing::info!(stages, viewers, "counts restored from the last snapshot, by an operator");
    node.engine.hub.open_bridge(roster, until);
    Ok(Json(RestoreResponse {
        restored: true,
        taken_at: Some(taken.0),
        stages,
        viewers,
        until: Some(until.0),
    }))
}
