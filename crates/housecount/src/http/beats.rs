//! What players send: heartbeats, one or many, and leaves.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use housecount_core::event::Kind;
use housecount_core::ids::StageId;
use housecount_core::limits::{BATCH_BEATS_MAX, BEAT_BODY_BYTES_MAX, BODY_BYTES_MAX};
use hyper::body::Body as HttpBody;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Bearer, allow_batch};
use super::body;
use super::error::{Problem, ProblemBody};
use super::live::CountBody;
use super::words::{AllGood, BeatBody};
use crate::ingest::{Receipt, Said};
use crate::node::Node;
use crate::stages::NotOpen;

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
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
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
    beat(&node, request).await.map(Json)
}

/// Takes a heartbeat.
///
/// # Errors
/// As the route tells.
pub fn beat<B>(node: &Node, request: Request<B>) -> impl Future<Output = Result<BeatenBody, Problem>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let bearer = Bearer::of_headers(node, request.headers());
    let bytes = read_one(request);
    async move {
        let bytes = bytes.await?;
        let body = BeatBody::parse(&bytes)?;
        let said = body.said(Kind::Beat)?;
        bearer.may_say(node, body.token(), &said).await?;
        check_open(node, said.stage).await?;
        let receipt = node.ingest.take(said)?;
        receipt.acknowledged().await?;
        Ok(BeatenBody::of(node, said.stage, &receipt))
    }
}

impl BeatenBody {
    /// What a stage's heartbeat is answered now.
    pub fn of(node: &Node, stage: &str, receipt: &Receipt) -> BeatenBody {
        BeatenBody { count: node.hub.count(stage).into(), next_ms: node.next_ms(receipt) }
    }
}

/// That heartbeats may open a stage, whose id has been checked.
///
/// # Errors
/// See [`NotOpen`].
pub async fn check_open(node: &Node, stage: &str) -> Result<(), NotOpen> {
    if node.stages.opens_all() {
        return Ok(());
    }
    let stage = StageId::parse(stage).map_err(|e| NotOpen::Unknown(e.to_string()))?;
    // In a box, or every connection would have room for it.
    Box::pin(node.stages.check_open(&stage)).await
}

/// Say that a session has stopped watching. A hint: a session that says nothing stops by itself.
///
/// Without a session it ends all of the viewer's sessions on the stage.
#[utoipa::path(post, path = "/v1/leave", tag = "players", request_body = BeatBody,
    responses(
        (status = 204, description = "taken, also for somebody unknown"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn leave(State(node): State<Arc<Node>>, request: Request<Body>) -> Result<StatusCode, Problem> {
    goodbye(&node, request).await.map(|()| StatusCode::NO_CONTENT)
}

/// Takes a leave.
///
/// # Errors
/// As the route tells.
pub fn goodbye<B>(node: &Node, request: Request<B>) -> impl Future<Output = Result<(), Problem>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let bearer = Bearer::of_headers(node, request.headers());
    let bytes = read_one(request);
    async move {
        let bytes = bytes.await?;
        let body = BeatBody::parse(&bytes)?;
        let said = body.said(Kind::Leave)?;
        bearer.may_say(node, body.token(), &said).await?;
        node.ingest.take(said)?.acknowledged().await?;
        Ok(())
    }
}

/// A request's body. All else of the request is let go first: every connection has room for what its request's answer
/// keeps over an await.
fn read_one<B>(request: Request<B>) -> impl Future<Output = Result<Bytes, Problem>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let is_json = body::content_type(request.headers(), &["application/json", "text/plain"]).map(drop);
    let body = request.into_body();
    async move {
        is_json?;
        body::read(body, BEAT_BODY_BYTES_MAX).await
    }
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
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeats(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<BatchBody>, Problem> {
    many(&node, request).await.map(Json)
}

/// Takes many heartbeats.
///
/// # Errors
/// As the route tells.
pub async fn many<B>(node: &Node, request: Request<B>) -> Result<BatchBody, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let allowed = allow_batch(node, request.headers());
    let kind = body::content_type(
        request.headers(),
        &["application/json", "application/x-ndjson", "application/ndjson", "text/plain"],
    )?;
    let bytes = body::read(request.into_body(), BODY_BYTES_MAX).await?;
    allowed?;
    let parsed = parse_many(&bytes, kind.ends_with("ndjson"))?;

    let mut outcome = BatchBody::default();
    let mut taken = Vec::with_capacity(parsed.len());
    for (index, beat) in &parsed {
        match check(node, beat).await? {
            Ok(said) => taken.push(said),
            Err(problem) => {
                node.metrics.reject(problem.code());
                let (code, detail) = (problem.code(), problem.detail().to_string());
                outcome.rejected.push(RejectedBody { index: *index, code, detail });
            }
        }
    }
    outcome.accepted = taken.len();
    if !taken.is_empty() {
        for receipt in node.ingest.take_all(&taken)? {
            receipt.acknowledged().await?;
        }
    }
    Ok(outcome)
}

/// By place, a heartbeat or why it is none.
pub type Parsed<'a> = Vec<(usize, Result<BeatBody<'a>, Problem>)>;

/// One of many, or why it isn't taken.
///
/// # Errors
/// One answer for all: a batch doesn't wait for the cold tier as often as it has stages.
async fn check<'a>(
    node: &Node,
    beat: &'a Result<BeatBody<'_>, Problem>,
) -> Result<Result<Said<'a>, Problem>, Problem> {
    let said = match beat {
        Ok(body) => body.said(Kind::Beat),
        Err(problem) => Err(problem.clone()),
    };
    let Ok(heard) = said else { return Ok(said) };
    match check_open(node, heard.stage).await {
        Ok(()) => Ok(Ok(heard)),
        Err(NotOpen::NotConfigured(stage)) => Ok(Err(NotOpen::NotConfigured(stage).into())),
        Err(unknown) => Err(unknown.into()),
    }
}

/// Heartbeats, or why they are none, by their places: an array, or one a line.
///
/// # Errors
/// None of them can be read, or there are too many.
pub fn parse_many(bytes: &[u8], is_lines: bool) -> Result<Parsed<'_>, Problem> {
    if is_lines || !bytes.trim_ascii_start().starts_with(b"[") {
        parse_lines(bytes)
    } else {
        parse_array(bytes)
    }
}

fn parse_array(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    if let Ok(AllGood(beats)) = serde_json::from_slice(bytes) {
        return Ok(beats.into_iter().map(Ok).enumerate().collect());
    }
    // Each element is parsed by itself, so that one of a wrong type doesn't spoil the others.
    let elements: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(bytes).map_err(|e| Problem::body(format!("not a JSON array: {e}")))?;
    check_count(elements.len())?;
    Ok(elements.iter().map(|e| BeatBody::parse(e.get().as_bytes())).enumerate().collect())
}

fn parse_lines(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
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
