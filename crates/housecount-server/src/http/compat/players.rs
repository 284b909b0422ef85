//! Calls of players: rejoin, heartbeat, leave.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use housecount_backend::clock::mono_ms;
use housecount_core::event::EventKind;
use housecount_engine::internals::PendingAck;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{DropInRequest, PlayerIds};
use super::shape::{BodyErrors, DropInError, ErrorBody, Errors, Success};
use crate::http::admit::{AdmissionOutcome, AdmissionRequest, admit_event, admit_pseudonymized};
use crate::http::error::Problem;
use crate::http::public_count::viewers_for_players;
use crate::node::Node;

/// Result of a rejoin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInRejoin)]
#[serde(rename_all = "camelCase")]
pub struct RejoinData {
    /// The viewer.
    user_id: String,
    /// The stage.
    stage_arn: String,
    /// The session.
    participant_id: String,
    /// Distinct online viewers of the stage, this one included; null where the stage hides them.
    current_viewers: Option<u64>,
    /// Whether the viewer had no online session on the stage before.
    is_new_viewer: bool,
}

/// Reports that a viewer has come, or come back.
///
/// This is a heartbeat of a session that the caller names.
#[utoipa::path(post, path = "/api/viewer/rejoin", operation_id = "sendDropInRejoin", tag = "drop-in", request_body = DropInRequest,
    responses((status = 200, body = Success<RejoinData>), Errors, BodyErrors,
        (status = 404, description = "`NOT_FOUND`: the stage is not open", body = ErrorBody)))]
pub async fn rejoin(
    State(node): State<Arc<Node>>,
    request: Request,
) -> Result<Json<Success<RejoinData>>, DropInError> {
    let ids = PlayerIds::of_player(&node, request, true).await?;
    let admitted = AdmissionRequest::new(&node, ids.to_event(EventKind::Beat))
        .require_open_stage(&node)
        .await?
        .limit_streams(&node, None, async || Ok(None))
        .await?
        .admit(&node, mono_ms())?;
    let is_new_viewer = {
        let event = admitted.event();
        node.engine.hub.session_context(event.ids.stage, event.ids.viewer, event.ids.session).here
            == 0
    };
    let _ = answered(&node, &admitted).await?;
    let current_viewers = viewers_for_players(&node, ids.stage.as_str());
    let data = RejoinData {
        user_id: ids.viewer.to_string(),
        stage_arn: ids.stage.to_string(),
        participant_id: ids.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        current_viewers,
        is_new_viewer,
    };
    Ok(Success::with_message(&node, "viewer rejoined", data))
}

/// Enqueues an admitted event, and waits until it may be answered.
async fn answered(
    node: &Node,
    admission: &AdmissionOutcome<'_>,
) -> Result<PendingAck, DropInError> {
    let ack = admission.enqueue(node)?;
    ack.wait().await?;
    node.engine.metrics.answered(ack.is_coalesced()).http.inc();
    Ok(ack)
}

/// Result of a heartbeat.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInHeartbeat)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatData {
    /// The viewer.
    user_id: String,
    /// The stage.
    stage_arn: String,
    /// Always true.
    heartbeat_updated: bool,
    /// Distinct online viewers of the stage; null where the stage hides them.
    current_viewers: Option<u64>,
    /// Time until the next heartbeat, ms.
    next_ms: u64,
}

/// Reports that a viewer is still watching.
///
/// Without a participant, this is a heartbeat of the viewer's newest session on the stage.
#[utoipa::path(post, path = "/api/viewer/heartbeat", operation_id = "sendDropInHeartbeat", tag = "drop-in",
    request_body = DropInRequest,
    responses((status = 200, body = Success<HeartbeatData>), Errors, BodyErrors,
        (status = 404, description = "`NOT_FOUND`: the viewer has no live session there; rejoin", body = ErrorBody)))]
pub async fn heartbeat(
    State(node): State<Arc<Node>>,
    request: Request,
) -> Result<Json<Success<HeartbeatData>>, DropInError> {
    let PlayerIds { stage, viewer, session } = PlayerIds::of_player(&node, request, false).await?;
    let names = &node.admission.names;
    let name = names.viewer(viewer.as_str().into());
    let newest =
        node.engine.hub.online_sessions(stage.as_str(), &name, 1).pop().ok_or_else(|| {
            let detail =
                format!("viewer `{viewer}` has no live session on `{stage}`; rejoin first");
            Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
        })?;
    let session = session
        .as_ref()
        .map_or(newest.as_str().into(), |given| names.session(given.as_str().into()));
    let admitted = admit_pseudonymized(&node, stage.as_str(), &name, &session).await?;
    let ack = answered(&node, &admitted).await?;
    let data = HeartbeatData {
        user_id: viewer.to_string(),
        stage_arn: stage.to_string(),
        heartbeat_updated: true,
        current_viewers: viewers_for_players(&node, stage.as_str()),
        next_ms: node.engine.next_beat_ms(&ack),
    };
    Ok(Success::with_message(&node, "heartbeat recorded", data))
}

/// Result of a leave.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInLeave)]
#[serde(rename_all = "camelCase")]
pub struct LeaveData {
    /// The viewer.
    user_id: String,
    /// The stage.
    stage_arn: String,
    /// Always true.
    viewer_left: bool,
}

/// Reports that a viewer has left.
///
/// With a participant, only that session ends. Without one, all of the viewer's sessions on the
/// stage end.
#[utoipa::path(post, path = "/api/viewer/leave", operation_id = "sendDropInLeave", tag = "drop-in", request_body = DropInRequest,
    responses((status = 200, body = Success<LeaveData>), Errors, BodyErrors))]
pub async fn leave(
    State(node): State<Arc<Node>>,
    request: Request,
) -> Result<Json<Success<LeaveData>>, DropInError> {
    let ids = PlayerIds::of_player(&node, request, false).await?;
    let admitted = admit_event(&node, ids.to_event(EventKind::Leave)).await?;
    let _ = answered(&node, &admitted).await?;
    let data = LeaveData {
        user_id: ids.viewer.to_string(),
        stage_arn: ids.stage.to_string(),
        viewer_left: true,
    };
    Ok(Success::with_message(&node, "viewer left", data))
}
