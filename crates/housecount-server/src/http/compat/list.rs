//! Viewers who watch a stage now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::fold::PresenceView;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_engine::WithStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::shape::{DropInError, Errors, Success};
use crate::calendar;
use crate::http::audience;
use crate::http::extract::StageParam;
use crate::node::Node;

/// The viewers of a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInViewerList)]
#[serde(rename_all = "camelCase")]
pub struct ViewerList {
    /// The stage.
    stage_arn: String,
    /// Distinct online viewers.
    total_viewers: u64,
    /// The same: viewers who are not online are not counted.
    active_viewers: u64,
    /// Ids of the viewers, sorted; at most 1,000. `/v1/stages/{stage}/viewers` has all of them, in
    /// pages.
    viewers: Vec<String>,
    /// The same viewers, with their sessions.
    participants: Vec<ViewerParticipants>,
    /// Whether the counts certainly include all viewers. If not, they may be low.
    complete: bool,
}

/// A viewer's sessions on a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInParticipants)]
#[serde(rename_all = "camelCase")]
pub struct ViewerParticipants {
    /// The viewer.
    user_id: String,
    /// Its online sessions.
    participant_ids: Vec<String>,
    /// Time of their latest heartbeat, RFC 3339.
    last_heartbeat: String,
}

/// Lists the viewers who watch a stage now.
#[utoipa::path(get, path = "/api/viewer/list/{stageArn}", operation_id = "listDropInViewers", tag = "drop-in",
    params(("stageArn" = String, Path, description = "percent-encoded")),
    responses((status = 200, body = Success<ViewerList>), Errors))]
pub async fn list(
    State(node): State<Arc<Node>>,
    StageParam(stage): StageParam,
) -> Result<Json<Success<ViewerList>>, DropInError> {
    let WithStatus { value: count, status } = node.engine.hub.count(stage.as_str());
    let mut online =
        audience::online_viewers(&node, stage.as_str(), None, PAGE_ROWS_MAX).await.value;
    online.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let viewers = online.iter().map(|view| view.id.clone()).collect();
    let participants =
        online.into_iter().map(|PresenceView { id, sessions, last_beat }| ViewerParticipants {
            user_id: id,
            participant_ids: sessions,
            last_heartbeat: calendar::format_time(last_beat),
        });
    let list = ViewerList {
        stage_arn: stage.to_string(),
        total_viewers: count.viewers,
        active_viewers: count.viewers,
        viewers,
        participants: participants.collect(),
        complete: status.complete,
    };
    Ok(Success::new(&node, list))
}
