//! What players send: heartbeats, one or many, and leaves.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use housecount_core::event::{Kind, Seat};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::limits::{BATCH_BEATS_MAX, BEAT_BODY_BYTES_MAX, BODY_BYTES_MAX};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use super::error::{Problem, ProblemBody};
use super::live::CountBody;
use crate::node::Node;
use crate::stages::NotOpen;

/// "This session watches this stage now." Other fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
pub struct BeatBody<'a> {
    /// The stage: 1-256 bytes of printable ASCII without spaces.
    #[serde(borrow, default)]
    #[schema(required = true, nullable = false)]
    stage: Option<Cow<'a, str>>,
    /// The viewer: 1-128 bytes of UTF-8 without control characters.
    #[serde(borrow, default)]
    #[schema(required = true, nullable = false)]
    viewer: Option<Cow<'a, str>>,
    /// The player (tab, device); the same rule. Without one it is session "".
    #[serde(borrow, default)]
    session: Option<Cow<'a, str>>,
}

impl BeatBody<'_> {
    fn parse(bytes: &[u8]) -> Result<Seat, Problem> {
        body::check_object(bytes)?;
        let body: BeatBody<'_> =
            serde_json::from_slice(bytes).map_err(|e| Problem::body(format!("not a heartbeat: {e}")))?;
        body.seat()
    }

    fn seat(&self) -> Result<Seat, Problem> {
        let missing = |what, code| {
            let detail = format!("{what} is missing; send {{\"stage\", \"viewer\", \"session\"?}}");
            Problem::new(StatusCode::BAD_REQUEST, code, detail)
        };
        let stage = self.stage.as_deref().ok_or_else(|| missing("stage", "invalid_stage"))?;
        let viewer = self.viewer.as_deref().ok_or_else(|| missing("viewer", "invalid_viewer"))?;
        Ok(Seat {
            stage: StageId::parse(stage)?,
            viewer: ViewerId::parse(viewer)?,
            session: SessionId::parse(self.session.as_deref().unwrap_or(""))?,
        })
    }
}

/// The answer to a heartbeat: the stage's count, with this heartbeat in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BeatenBody {
    #[serde(flatten)]
    count: CountBody,
    /// When to beat next, in ms: the interval give or take a tenth, more under load, never above ttl/3.
    next_ms: u64,
}

/// Say that a session watches a stage now.
///
/// Send it every `nextMs`. The body may come as `text/plain`, as `navigator.sendBeacon` sends it.
#[utoipa::path(post, path = "/v1/heartbeat", tag = "players", request_body = BeatBody,
    responses(
        (status = 200, body = BeatenBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "the stage is not configured, and stages.auto is false",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not acknowledged; come back after Retry-After seconds",
            body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeat(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<BeatenBody>, Problem> {
    let seat = read_seat(request).await?;
    node.stages.check_open(&seat.stage).await?;
    let stage = seat.stage.clone();
    node.ingest.submit(vec![(Kind::Beat, seat)]).await?;
    let count = node.hub.count(stage.as_str()).into();
    Ok(Json(BeatenBody { count, next_ms: node.next_ms() }))
}

/// Say that a session has stopped watching. A hint: a session that says nothing stops by itself.
///
/// Without a session it ends all of the viewer's sessions on the stage.
#[utoipa::path(post, path = "/v1/leave", tag = "players", request_body = BeatBody,
    responses(
        (status = 204, description = "taken, also for somebody unknown"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn leave(State(node): State<Arc<Node>>, request: Request<Body>) -> Result<StatusCode, Problem> {
    let seat = read_seat(request).await?;
    node.ingest.submit(vec![(Kind::Leave, seat)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read_seat(request: Request<Body>) -> Result<Seat, Problem> {
    body::content_type(request.headers(), &["application/json", "text/plain"])?;
    BeatBody::parse(&body::read(request, BEAT_BODY_BYTES_MAX).await?)
}

/// What became of many heartbeats.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BatchBody {
    /// How many were taken.
    accepted: usize,
    /// The others, and why.
    rejected: Vec<RejectedBody>,
}

/// A heartbeat that was not taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedBody {
    /// Its place in the array, or its line: 0 and up.
    index: usize,
    /// Stable, for programs.
    code: &'static str,
    /// For people.
    detail: String,
}

/// Send many heartbeats at once: a JSON array, or NDJSON (a heartbeat a line).
///
/// Good ones are taken, bad ones named. At most 10,000.
#[utoipa::path(post, path = "/v1/heartbeats", tag = "players",
    request_body(content((Vec<BeatBody> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, body = BatchBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeats(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<BatchBody>, Problem> {
    let kind = body::content_type(
        request.headers(),
        &["application/json", "application/x-ndjson", "application/ndjson", "text/plain"],
    )?;
    let bytes = body::read(request, BODY_BYTES_MAX).await?;
    let is_lines = kind.ends_with("ndjson") || !bytes.trim_ascii_start().starts_with(b"[");
    let parsed = if is_lines { parse_lines(&bytes)? } else { parse_array(&bytes)? };

    let mut outcome = BatchBody::default();
    let mut taken = Vec::with_capacity(parsed.len());
    for (index, beat) in parsed {
        let checked = match beat {
            Ok(seat) => match node.stages.check_open(&seat.stage).await {
                Ok(()) => Ok(seat),
                Err(NotOpen::NotConfigured(stage)) => Err(NotOpen::NotConfigured(stage).into()),
                // One answer for all: a batch doesn't wait for the cold tier as often as it has stages.
                Err(unknown) => return Err(unknown.into()),
            },
            Err(problem) => Err(problem),
        };
        match checked {
            Ok(seat) => taken.push((Kind::Beat, seat)),
            Err(problem) => {
                node.metrics.reject(problem.code());
                let detail = problem.detail().to_string();
                outcome.rejected.push(RejectedBody { index, code: problem.code(), detail });
            }
        }
    }
    outcome.accepted = taken.len();
    if !taken.is_empty() {
        node.ingest.submit(taken).await?;
    }
    Ok(Json(outcome))
}

type Parsed = Vec<(usize, Result<Seat, Problem>)>;

fn parse_array(bytes: &Bytes) -> Result<Parsed, Problem> {
    // Each element is parsed by itself, so that one of a wrong type doesn't spoil the others.
    let elements: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(bytes).map_err(|e| Problem::body(format!("not a JSON array: {e}")))?;
    check_count(elements.len())?;
    Ok(elements.iter().map(|e| BeatBody::parse(e.get().as_bytes())).enumerate().collect())
}

fn parse_lines(bytes: &Bytes) -> Result<Parsed, Problem> {
    let lines: Vec<_> =
        bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    if lines.is_empty() {
        return Err(Problem::body("no heartbeats; send a JSON array, or one a line"));
    }
    check_count(lines.len())?;
    Ok(lines.into_iter().map(|(index, line)| (index, BeatBody::parse(line))).collect())
}

fn check_count(count: usize) -> Result<(), Problem> {
    if count <= BATCH_BEATS_MAX {
        return Ok(());
    }
    let detail = format!("{count} heartbeats; at most {BATCH_BEATS_MAX} are allowed in one call");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_heartbeats", detail))
}
