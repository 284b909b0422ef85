//! The drop-in API: for front-ends that already speak the common IVS viewer API (`/api/viewer/…`, `/api/stats`).
//!
//! Other names and shapes for the same calls, and nothing else: a participant is a session, and who is counted is asked of the hub as
//! everywhere. Answers are `{"success","message","data"?,"timestamp"}`, errors `{"error","message"}`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use housecount_core::event::Kind;
use housecount_core::fold::{StageView, WatchView};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::ledger::watch::Wanted;
use housecount_core::limits::{BEAT_BODY_BYTES_MAX, BODY_BYTES_MAX, PAGE_ROWS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::auth::allow_drop_in;
use super::body;
use super::error::{Problem, ProblemCode};
use super::extract::{Asked, StagePath, range};
use super::watch::stores;
use super::welcome::{welcome, welcome_known};
use crate::calendar;
use crate::hub::Answer;
use crate::ingest::Said;
use crate::ledger::scan;
use crate::node::Node;

/// A good answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success<T> {
    /// Always true.
    success: bool,
    /// For people.
    message: &'static str,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    /// When, on the log's clock: RFC 3339.
    timestamp: String,
}

impl<T> Success<T> {
    fn new(node: &Node, message: &'static str, data: Option<T>) -> Json<Success<T>> {
        let timestamp = calendar::shown(node.clock.now().unwrap_or_default());
        Json(Success { success: true, message, data, timestamp })
    }
}

/// A bad answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// Stable, for programs: `VALIDATION_ERROR`, `NOT_FOUND`, `UNAUTHORIZED`, `FORBIDDEN`, `RATE_LIMITED`, `SERVICE_UNAVAILABLE`,
    /// `NOT_IMPLEMENTED` or `INTERNAL_ERROR`.
    error: &'static str,
    /// For people.
    message: String,
}

/// A problem, from wherever, in this API's shape; anything else as it is. Its status and headers stay.
pub async fn in_its_shape(response: Response) -> Response {
    let Some(code) = response.extensions().get::<ProblemCode>().copied() else { return response };
    let (mut parts, body) = response.into_parts();
    // Ours are some hundred bytes.
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = match parts.status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
        StatusCode::NOT_IMPLEMENTED => "NOT_IMPLEMENTED",
        StatusCode::SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
        status if status.is_client_error() => "VALIDATION_ERROR",
        _ => "INTERNAL_ERROR",
    };
    let message = problem["detail"].as_str().unwrap_or_default().to_string();
    let (reshaped, body) = Json(ErrorBody { error, message }).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(reshaped.headers);
    parts.extensions.insert(code);
    Response::from_parts(parts, body)
}

/// What players send. Other fields are ignored.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlayerBody {
    /// The viewer.
    #[schema(required = true, nullable = false, min_length = 1, max_length = 128)]
    user_id: Option<String>,
    /// The stage.
    #[schema(required = true, nullable = false, min_length = 1, max_length = 256, pattern = "^[!-~]+$")]
    stage_arn: Option<String>,
    /// The session.
    participant_id: Option<String>,
}

/// What they send, once it has been checked.
struct Ids {
    stage: StageId,
    viewer: ViewerId,
    session: Option<SessionId>,
}

impl Ids {
    fn said(&self, kind: Kind) -> Said<'_> {
        let session = self.session.as_ref().map_or("", SessionId::as_str);
        Said { kind, stage: self.stage.as_str(), viewer: self.viewer.as_str(), session }
    }
}

impl PlayerBody {
    fn ids(&self) -> Result<Ids, Problem> {
        let missing =
            |what: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid_body", format!("{what} is required"));
        let given = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        let viewer = given(&self.user_id).ok_or_else(|| missing("userId"))?;
        let stage = given(&self.stage_arn).ok_or_else(|| missing("stageArn"))?;
        let session = given(&self.participant_id).map(|session| SessionId::parse(&session)).transpose()?;
        Ok(Ids { stage: StageId::parse(&stage)?, viewer: ViewerId::parse(&viewer)?, session })
    }
}

async fn ids(node: &Node, request: Request<Body>) -> Result<Ids, Problem> {
    let has_key = allow_drop_in(node, request.headers())?;
    let ids = body::read_json::<PlayerBody>(request, BEAT_BODY_BYTES_MAX).await?.ids()?;
    if !has_key {
        node.auth.viewers.may_say_without(ids.viewer.as_str())?;
    }
    Ok(ids)
}

/// A viewer who has come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    user_id: String,
    stage_arn: String,
    participant_id: String,
    /// Distinct online viewers of the stage, with this one.
    current_viewers: u64,
}

/// A viewer comes, or comes back: a heartbeat of a session that is named.
#[utoipa::path(post, path = "/api/viewer/rejoin", operation_id = "compatRejoin", tag = "drop-in", request_body = PlayerBody,
    responses((status = 200, body = Success<Joined>), (status = 400, body = ErrorBody), (status = 404, description = "the stage is not open", body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn rejoin(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<Success<Joined>>, Problem> {
    let ids = ids(&node, request).await?;
    let Some(session) = &ids.session else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_body", "participantId is required"));
    };
    say(&node, ids.said(Kind::Beat)).await?;
    let joined = Joined {
        user_id: ids.viewer.to_string(),
        stage_arn: ids.stage.to_string(),
        participant_id: session.to_string(),
        current_viewers: node.hub.count(ids.stage.as_str()).of.viewers,
    };
    Ok(Success::new(&node, "viewer rejoined", Some(joined)))
}

/// Takes a beat or leave, and waits until it is acknowledged.
async fn say(node: &Node, said: Said<'_>) -> Result<(), Problem> {
    let welcomed = welcome(node, said).await?;
    welcomed.take(node)?.acknowledged().await?;
    node.metrics.acknowledged.http.inc();
    Ok(())
}

/// How many watch a stage.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// Distinct online viewers of the stage.
    current_viewers: u64,
    /// When to beat next, in ms.
    next_ms: u64,
}

/// A viewer is still there. Without a participant it is the one that was heard last.
#[utoipa::path(post, path = "/api/viewer/heartbeat", operation_id = "compatHeartbeat", tag = "drop-in", request_body = PlayerBody,
    responses((status = 200, body = Success<Current>), (status = 400, body = ErrorBody),
        (status = 404, description = "the viewer has no live session there: rejoin", body = ErrorBody),
        (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn heartbeat(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<Success<Current>>, Problem> {
    let Ids { stage, viewer, session } = ids(&node, request).await?;
    let names = &node.edge.names;
    let name = names.viewer(viewer.as_str().into());
    let newest = node.hub.online_sessions(stage.as_str(), &name, 1).pop().ok_or_else(|| {
        let detail = format!("viewer `{viewer}` has no live session on `{stage}`; rejoin first");
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    })?;
    let session =
        session.as_ref().map_or(newest.as_str().into(), |given| names.session(given.as_str().into()));
    let welcomed = welcome_known(&node, stage.as_str(), &name, &session).await?;
    let receipt = welcomed.take(&node)?;
    receipt.acknowledged().await?;
    node.metrics.acknowledged.http.inc();
    let current_viewers = node.hub.count(stage.as_str()).of.viewers;
    let current = Current { current_viewers, next_ms: node.next_ms(&receipt) };
    Ok(Success::new(&node, "heartbeat recorded", Some(current)))
}

/// A viewer who has gone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gone {
    user_id: String,
    stage_arn: String,
}

/// A viewer goes: all of its sessions on the stage.
#[utoipa::path(post, path = "/api/viewer/leave", operation_id = "compatLeave", tag = "drop-in", request_body = PlayerBody,
    responses((status = 200, body = Success<Gone>), (status = 400, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn leave(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<Success<Gone>>, Problem> {
    let ids = Ids { session: None, ..ids(&node, request).await? };
    say(&node, ids.said(Kind::Leave)).await?;
    let gone = Gone { user_id: ids.viewer.to_string(), stage_arn: ids.stage.to_string() };
    Ok(Success::new(&node, "viewer left", Some(gone)))
}

/// A viewer on a stage.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    user_id: String,
    /// Its online sessions.
    participant_ids: Vec<String>,
    /// RFC 3339.
    last_heartbeat: String,
}

/// Who watches a stage.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {
    stage_arn: String,
    /// Distinct online viewers.
    total_viewers: u64,
    /// The same: who is not online is not counted.
    active_viewers: u64,
    /// Sorted by viewer, at most 1,000: `/v1/stages/{stage}/viewers` has all, page by page.
    viewers: Vec<Listed>,
    /// Whether everybody is counted for sure. If not, the counts may be low.
    complete: bool,
}

/// Who watches a stage now.
#[utoipa::path(get, path = "/api/viewer/list/{stageArn}", operation_id = "compatList", tag = "drop-in",
    params(("stageArn" = String, Path, description = "percent-encoded")),
    responses((status = 200, body = Success<List>), (status = 400, body = ErrorBody)))]
pub async fn list(
    State(node): State<Arc<Node>>,
    StagePath(stage): StagePath,
) -> Result<Json<Success<List>>, Problem> {
    let Answer { of: count, standing } = node.hub.count(stage.as_str());
    let online = node.hub.viewers_of(stage.as_str(), None, PAGE_ROWS_MAX).of;
    let viewers = online.into_iter().map(|WatchView { id, sessions, last_beat }| Listed {
        user_id: id,
        participant_ids: sessions,
        last_heartbeat: calendar::shown(last_beat),
    });
    let list = List {
        stage_arn: stage.to_string(),
        total_viewers: count.viewers,
        active_viewers: count.viewers,
        viewers: viewers.collect(),
        complete: standing.complete,
    };
    Ok(Success::new(&node, "viewers of the stage", Some(list)))
}

/// Whose time is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct DurationQuery {
    /// The viewer.
    user_id: Option<String>,
    /// The stage.
    stage_arn: Option<String>,
    /// Unix ms or RFC 3339, included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms or RFC 3339, not included; now if not given.
    to: Option<String>,
}

/// How long a viewer watched.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    user_id: String,
    stage_arn: String,
    /// Proven time, in whole seconds.
    watch_duration: u64,
    /// The same for people, such as `1h 2m 3s`.
    watch_duration_formatted: String,
}

/// How long a viewer watched a stage: proven time, of the last day if no range is given.
#[utoipa::path(get, path = "/api/viewer/duration", operation_id = "compatDuration", tag = "drop-in", params(DurationQuery),
    responses((status = 200, body = Success<Watched>), (status = 400, body = ErrorBody),
        (status = 501, description = "cold = none", body = ErrorBody)))]
pub async fn duration(
    State(node): State<Arc<Node>>,
    Asked(query): Asked<DurationQuery>,
) -> Result<Json<Success<Watched>>, Problem> {
    let DurationQuery { user_id, stage_arn, from, to } = query;
    let Ids { stage, viewer, .. } = PlayerBody { user_id, stage_arn, participant_id: None }.ids()?;
    let range = range(&node, from.as_deref(), to.as_deref())?;
    let (cold, proofs) = stores(&node)?;
    let name = node.edge.names.asked(viewer.as_str().into()).into_owned();
    let wanted = Wanted { stage: Some(stage.to_string()), viewer: Some(name), ..Wanted::default() };
    // Never closed.
    let _one_of_few = node.scans.acquire().await.ok();
    let rows = scan::watch(cold, proofs, range, wanted, 1).await?.rows;
    let watch_ms = rows.first().map_or(0, |(_, row)| row.watch_ms);
    let watched = Watched {
        user_id: viewer.to_string(),
        stage_arn: stage.to_string(),
        watch_duration: watch_ms / 1_000,
        watch_duration_formatted: calendar::spoken(watch_ms),
    };
    Ok(Success::new(&node, "watch duration", Some(watched)))
}

/// A stage that is watched.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStats {
    stage_arn: String,
    /// Distinct online viewers.
    viewer_count: u64,
}

/// How many watch altogether.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Distinct online viewers of all stages.
    total_viewers: u64,
    /// Stages with somebody online.
    active_stages: u64,
    /// These, sorted by id.
    stages: Vec<StageStats>,
    /// Whether everybody is counted for sure. If not, the counts may be low.
    complete: bool,
}

/// How many watch altogether, and stage by stage.
#[utoipa::path(get, path = "/api/stats", operation_id = "compatStats", tag = "drop-in",
    responses((status = 200, body = Success<Stats>)))]
pub async fn stats(State(node): State<Arc<Node>>) -> Json<Success<Stats>> {
    let Answer { of: roster, standing } = node.hub.roster();
    let stage = |StageView { stage, count, .. }| StageStats { stage_arn: stage, viewer_count: count.viewers };
    let stages: Vec<StageStats> = roster.stages.into_iter().map(stage).collect();
    let stats = Stats {
        total_viewers: roster.total.viewers,
        active_stages: stages.len() as u64,
        stages,
        complete: standing.complete,
    };
    Success::new(&node, "audience", Some(stats))
}
