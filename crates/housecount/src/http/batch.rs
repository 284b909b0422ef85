//! Many heartbeats in one call: which are taken, which are not, and why.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use housecount_core::event::EventKind;
use housecount_core::limits::{BATCH_SLICE_BEATS_MAX, BODY_BYTES_MAX};
use hyper::body::Body as HttpBody;
use serde::Serialize;
use tokio::task::yield_now;
use utoipa::ToSchema;

use super::admit::{
    ADMISSION_CHUNK, AdmissionOutcome, AdmissionRequest, AdmittedEvent, mark_already_admitted,
};
use super::auth::{authorize_for, require_batch_scope};
use super::batch_body::{BatchForm, BatchParser, ParsedBatch};
use super::body;
use super::error::{Problem, ProblemBody, problem_json};
use super::gzip::Coding;
use super::heartbeat_json::HeartbeatRequest;
use crate::admission::ClientAddr;
use crate::clock::mono_ms;
use crate::ingest::{PendingAck, UnstampedEvent};
use crate::node::Node;

/// Heartbeats of a call that are dealt with in one turn once the log has them: each takes a
/// fraction of what letting it in took.
const DONE_SLICE_BEATS: usize = 16 * BATCH_SLICE_BEATS_MAX;

/// What became of many heartbeats.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchResponse)]
pub struct BatchResponse {
    /// How many were taken, those that were coalesced included.
    accepted: usize,
    /// The others, and why.
    rejected: Vec<RejectedHeartbeat>,
    /// How many were beyond their session's limit and are answered by its last logged heartbeat.
    /// Absent if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    coalesced: usize,
    /// Whether a limit rejected any: the same heartbeat may be taken later.
    #[serde(skip)]
    is_limited: bool,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A heartbeat that was not taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RejectedHeartbeat)]
pub struct RejectedHeartbeat {
    /// Its place in the array, or its line: 0 and up.
    index: usize,
    /// Stable, for programs.
    code: &'static str,
    /// For people.
    detail: String,
}

/// A problem of a call with many heartbeats, with what is wrong with each if that is what is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchProblem)]
pub struct BatchProblemBody {
    #[serde(flatten)]
    problem: ProblemBody,
    /// The heartbeats, none of which was taken, and why. Absent if the body could not be read as
    /// heartbeats.
    #[schema(required = false)]
    rejected: Vec<RejectedHeartbeat>,
}

/// The answer to many heartbeats that could be read.
#[derive(Debug)]
pub enum BatchOutcome {
    /// 200, whatever was rejected.
    Taken(BatchResponse),
    /// 400: all of them are wrong, and will be whenever they are sent.
    Refused(BatchProblemBody),
}

impl BatchOutcome {
    fn of(body: BatchResponse) -> BatchOutcome {
        let Some(first) = body.rejected.first().filter(|_| body.accepted == 0 && !body.is_limited)
        else {
            return BatchOutcome::Taken(body);
        };
        let is_same = body.rejected.iter().all(|rejected| rejected.code == first.code);
        let code = if is_same { first.code } else { "invalid_body" };
        let (all, RejectedHeartbeat { index, detail, .. }) = (body.rejected.len(), first);
        let detail = match all {
            1 => detail.clone(),
            _ => format!("none of {all} heartbeats was taken; at index {index}: {detail}"),
        };
        let problem = Problem::new(StatusCode::BAD_REQUEST, code, detail).json();
        BatchOutcome::Refused(BatchProblemBody { problem, rejected: body.rejected })
    }
}

impl IntoResponse for BatchOutcome {
    fn into_response(self) -> Response {
        match self {
            BatchOutcome::Taken(body) => Json(body).into_response(),
            BatchOutcome::Refused(body) => problem_json(StatusCode::BAD_REQUEST, &body),
        }
    }
}

/// Send many heartbeats at once: a JSON array (or one heartbeat), or NDJSON (a heartbeat a line);
/// also with gzip.
///
/// Good ones are taken, bad ones named. If all are bad it is 400. At most 10,000. Where operators
/// have keys it takes one with the scope `beats`.
#[utoipa::path(post, path = "/v1/heartbeats", operation_id = "sendHeartbeats", tag = "players",
    request_body(content((Vec<HeartbeatRequest> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, body = BatchResponse),
        (status = 400, body = BatchProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "the address sends too much",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeats(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<BatchOutcome, Problem> {
    heartbeat_batch(&node, request).await
}

/// Takes many heartbeats.
///
/// # Errors
/// As the route tells.
pub async fn heartbeat_batch<B>(node: &Node, request: Request<B>) -> Result<BatchOutcome, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    require_batch_scope(node, request.headers())?;
    let (form, coding) = (BatchForm::of(request.headers())?, Coding::of(request.headers())?);
    let client_addr = request.extensions().get::<ClientAddr>().copied();
    let bytes = body::read(request.into_body(), coding, BODY_BYTES_MAX).await?;
    let mut parser = BatchParser::new(&bytes, form)?;
    while !in_turn(|| parser.read_some()).await? {}
    let parsed = parser.into_parsed();
    if let Some(client_addr) = client_addr {
        // The request itself was one.
        node.admission.addresses.check(client_addr, parsed.len().saturating_sub(1))?;
    }
    Ok(BatchOutcome::of(enqueue_batch(node, &parsed).await?))
}

/// Does a slice of a batch. Then others on this worker have their turn.
async fn in_turn<T>(work: impl FnOnce() -> T) -> T {
    let done = work();
    yield_now().await;
    done
}

async fn enqueue_batch(node: &Node, parsed: &ParsedBatch<'_>) -> Result<BatchResponse, Problem> {
    let mut body = BatchResponse::default();
    let mut taken = AdmittedBatch { node, admitted: Vec::with_capacity(parsed.len()), enqueued: 0 };
    let mut surplus = Vec::new();
    for beats in parsed.chunks(BATCH_SLICE_BEATS_MAX) {
        let mut comers = Vec::with_capacity(beats.len());
        for (index, beat) in beats {
            comers.push((*index, check_batch_item(node, beat).await?));
        }
        let admit_all = || {
            for (index, admitted) in admit(node, comers) {
                match admitted {
                    Ok(AdmissionOutcome::Admitted(admitted)) => taken.admitted.push(admitted),
                    Ok(AdmissionOutcome::Surplus(beat)) => surplus.push((index, beat)),
                    Err(problem) => body.reject(node, index, &problem),
                }
            }
        };
        in_turn(admit_all).await;
    }
    let logged = taken.admitted.len();
    let mut acks = if logged > 0 { taken.enqueue_all().await? } else { Vec::new() };
    // Only now those that they rely on are on the way to the log.
    for beats in surplus.chunks(BATCH_SLICE_BEATS_MAX) {
        for (index, beat) in beats {
            match beat.coalesce(node) {
                Ok(ack) => acks.push(ack),
                Err(problem) if problem.is_server_error() => return Err(problem),
                Err(problem) => body.reject(node, *index, &problem),
            }
        }
        yield_now().await;
    }
    body.coalesced = acks.iter().filter(|ack| ack.is_coalesced()).count();
    for (n, ack) in acks.into_iter().enumerate() {
        ack.wait().await?;
        if n % DONE_SLICE_BEATS == DONE_SLICE_BEATS - 1 {
            yield_now().await;
        }
    }
    taken.release().await;
    node.metrics.acknowledged.batch.inc_by(logged as u64);
    node.metrics.coalesced.batch.inc_by(body.coalesced as u64);
    body.accepted = logged + body.coalesced;
    body.rejected.sort_by_key(|rejected| rejected.index);
    Ok(body)
}

impl BatchResponse {
    fn reject(&mut self, node: &Node, index: usize, problem: &Problem) {
        node.metrics.count_rejection(problem.code());
        self.is_limited |= problem.status() == StatusCode::TOO_MANY_REQUESTS;
        self.rejected.push(RejectedHeartbeat {
            index,
            code: problem.code(),
            detail: problem.detail().to_string(),
        });
    }
}

/// Heartbeats of a call that were let in. Those that are not taken in after all, as when the client
/// goes, have no place.
struct AdmittedBatch<'a> {
    node: &'a Node,
    admitted: Vec<AdmittedEvent<'a>>,
    /// The first of them, which have been taken in.
    enqueued: usize,
}

impl AdmittedBatch<'_> {
    /// Takes all of them in, and lets the worker's other connections have their turn in between.
    async fn enqueue_all(&mut self) -> Result<Vec<PendingAck>, Problem> {
        let node = self.node;
        let mut intake = node.ingest.begin(self.admitted.len())?;
        for admitted in self.admitted.chunks(BATCH_SLICE_BEATS_MAX) {
            let take = || {
                intake.add(
                    &admitted.iter().map(AdmittedEvent::event).collect::<Vec<UnstampedEvent<'_>>>(),
                )
            };
            in_turn(take).await?;
            self.enqueued += admitted.len();
        }
        Ok(intake.finish())
    }

    /// Gives up the room that they held on their way to the log.
    async fn release(mut self) {
        self.enqueued = 0;
        let mut rest = std::mem::take(&mut self.admitted).into_iter();
        while !rest.as_slice().is_empty() {
            in_turn(|| rest.by_ref().take(DONE_SLICE_BEATS).for_each(drop)).await;
        }
    }
}

impl Drop for AdmittedBatch<'_> {
    fn drop(&mut self) {
        self.admitted.iter().skip(self.enqueued).for_each(|admitted| admitted.revoke(self.node));
    }
}

/// Lets in all that it may, by their places.
fn admit<'a>(
    node: &Node,
    comers: Vec<(usize, Result<AdmissionRequest<'a>, Problem>)>,
) -> Vec<(usize, Result<AdmissionOutcome<'a>, Problem>)> {
    let now_ms = mono_ms();
    let mut admitted = Vec::with_capacity(comers.len());
    let mut comers = comers.into_iter();
    while !comers.as_slice().is_empty() {
        let mut some: Vec<_> = comers.by_ref().take(ADMISSION_CHUNK).collect();
        mark_already_admitted(
            node,
            some.iter_mut().filter_map(|(_, item)| item.as_mut().ok()),
            now_ms,
        );
        let outcome = |(index, item): (usize, Result<AdmissionRequest<'a>, Problem>)| {
            (index, item.and_then(|item| item.admit(node, now_ms)))
        };
        admitted.extend(some.into_iter().map(outcome));
    }
    admitted
}

/// One of many, whose stage is open, or why it is none.
///
/// # Errors
/// One answer for all: a batch doesn't wait for the cold tier as often as it has stages.
async fn check_batch_item<'a>(
    node: &Node,
    beat: &'a Result<HeartbeatRequest<'_>, Problem>,
) -> Result<Result<AdmissionRequest<'a>, Problem>, Problem> {
    let event =
        beat.as_ref().map_err(Problem::clone).and_then(|body| body.to_event(EventKind::Beat));
    let checked = match event {
        Ok(event) => match authorize_for(node, event.viewer) {
            Ok(()) => AdmissionRequest::new(node, event).require_open_stage(node).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    match checked {
        Err(problem) if problem.is_server_error() => Err(problem),
        checked => Ok(checked),
    }
}
