//! Online viewers, by name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::fold::PresenceView;
use housecount_core::ids::StageId;
use housecount_engine::WithStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::StageAccess;
use super::audience;
use super::error::{Problem, ProblemBody};
use super::extract::{PageQuery, StageParam, ValidQuery, ViewerParam};
use super::live::CountStatusBody;
use crate::node::Node;

/// A viewer on a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OnlineViewer)]
#[serde(rename_all = "camelCase")]
pub struct OnlineViewer {
    /// The viewer.
    viewer: String,
    /// The viewer's online sessions.
    sessions: Vec<String>,
    /// Time of their latest heartbeat, Unix ms.
    last_beat_at: u64,
}

/// A page of viewers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageViewersResponse)]
pub struct ViewerPage {
    /// Viewers, sorted by id within the page. The order of the pages is the same on every node.
    viewers: Vec<OnlineViewer>,
    /// Value to send for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(flatten)]
    status: CountStatusBody,
}

/// Lists the viewers who watch a stage now.
#[utoipa::path(get, path = "/v1/stages/{stage}/viewers", operation_id = "listStageViewers", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), PageQuery),
    responses((status = 200, body = ViewerPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn of_stage(
    State(node): State<Arc<Node>>,
    StageParam(stage): StageParam,
    ValidQuery(page): ValidQuery<PageQuery>,
) -> Result<Json<ViewerPage>, Problem> {
    let limit = page.limit()?;
    let after = audience::after(&node, &page)?;
    let WithStatus { value: mut online, status } =
        audience::online_viewers(&node, stage.as_str(), after, limit + 1).await;
    let more = online.len() > limit;
    online.truncate(limit);
    let cursor = online.last().filter(|_| more).map(|last| audience::cursor_after(&node, &last.id));
    online.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let viewers = online.into_iter().map(|PresenceView { id, sessions, last_beat }| OnlineViewer {
        viewer: id,
        sessions,
        last_beat_at: last_beat.0,
    });
    Ok(Json(ViewerPage { viewers: viewers.collect(), cursor, status: status.into() }))
}

/// A stage that a viewer watches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ViewerStage)]
#[serde(rename_all = "camelCase")]
pub struct ViewerStage {
    /// The stage.
    stage: String,
    /// The viewer's online sessions there.
    sessions: Vec<String>,
    /// Time of their latest heartbeat, Unix ms.
    last_beat_at: u64,
}

/// Stages that a viewer watches now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ViewerResponse)]
pub struct ViewerStatus {
    /// The viewer.
    viewer: String,
    /// Whether the viewer is online anywhere.
    online: bool,
    /// Stages that the viewer watches, sorted by id.
    stages: Vec<ViewerStage>,
    #[serde(flatten)]
    status: CountStatusBody,
}

/// Shows which stages a viewer watches now.
#[utoipa::path(get, path = "/v1/viewers/{viewer}", operation_id = "showViewer", tag = "operators",
    params(("viewer" = String, Path, description = "percent-encoded")),
    responses((status = 200, body = ViewerStatus),
        (status = 400, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn show(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ViewerParam(viewer): ViewerParam,
) -> Result<Json<ViewerStatus>, Problem> {
    let WithStatus { value: watching, status } = node.engine.hub.viewer(viewer.as_str());
    let mut stages: Vec<ViewerStage> = Vec::new();
    for PresenceView { id, sessions, last_beat } in watching {
        if access.is_limited() && !access.covers_now(&node, &StageId::parse(&id)?).await? {
            continue;
        }
        stages.push(ViewerStage { stage: id, sessions, last_beat_at: last_beat.0 });
    }
    let online = !stages.is_empty();
    Ok(Json(ViewerStatus { viewer: viewer.to_string(), online, stages, status: status.into() }))
}
