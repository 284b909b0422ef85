//! Many heartbeats in one call: which are accepted, which are rejected, and why.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use housecount_access::admission::ClientAddr;
use housecount_access::labels::LabelValues;
use housecount_backend::clock::mono_ms;
use housecount_core::event::EventKind;
use housecount_core::ids::StageId;
use housecount_core::limits::{BATCH_SLICE_BEATS_MAX, BODY_BYTES_MAX};
use housecount_engine::internals::{PendingAck, UnstampedEvent};
use hyper::body::Body as HttpBody;
use serde::Serialize;
use tokio::task::yield_now;
use utoipa::ToSchema;

use super::access::StageAccess;
use super::admit::{
    ADMISSION_CHUNK, AdmissionOutcome, AdmissionRequest, AdmittedEvent, mark_already_admitted,
};
use super::auth::{authorize_for, require_batch_scope};
use super::batch_body::{BatchForm, BatchParser, ParsedBatch};
use super::body;
use super::error::{Problem, ProblemBody, problem_json};
use super::gzip::Coding;
use super::heartbeat_json::HeartbeatRequest;
use super::labels;
use crate::node::Node;

/// Heartbeats of a call that are finished in one turn once the log has them. Each takes a fraction
/// of the time that its admission took.
const DONE_SLICE_BEATS: usize = 16 * BATCH_SLICE_BEATS_MAX;

/// Result of many heartbeats.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchResponse)]
pub struct BatchResponse {
    /// Number of accepted heartbeats, coalesced ones included.
    accepted: usize,
    /// The rejected heartbeats, and why.
    rejected: Vec<RejectedHeartbeat>,
    /// Number of heartbeats beyond their session's limit. The session's last logged heartbeat
    /// answers them. Absent if zero.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    coalesced: usize,
    /// Whether a limit rejected any: the same heartbeat may be accepted later.
    #[serde(skip)]
    is_limited: bool,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A heartbeat that was rejected.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RejectedHeartbeat)]
pub struct RejectedHeartbeat {
    /// Place of the heartbeat in the array, or its line, from 0.
    index: usize,
    /// Stable code, for programs.
    code: &'static str,
    /// Explanation, for people.
    detail: String,
}

/// Problem of a call with many heartbeats, with the problem of each where they were read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchProblem)]
pub struct BatchProblemBody {
    #[serde(flatten)]
    problem: ProblemBody,
    /// The heartbeats, all of them rejected, and why. Absent if the body could not be read as
    /// heartbeats.
    #[schema(required = false)]
    rejected: Vec<RejectedHeartbeat>,
}

/// Answer to many heartbeats that could be read.
#[derive(Debug)]
pub enum BatchOutcome {
    /// 200, whatever was rejected.
    Taken(BatchResponse),
    /// 400: all heartbeats are wrong, and will be wrong whenever they are sent.
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
            _ => format!("all {all} heartbeats were rejected; at index {index}: {detail}"),
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

/// Sends many heartbeats in one call.
///
/// The body is a JSON array, one heartbeat as JSON, or NDJSON with one heartbeat per line. It may
/// be compressed with gzip. At most 10,000 heartbeats are allowed in one call.
///
/// Good heartbeats are accepted, and bad ones are named. If all are bad, the answer is 400. Where
/// operators have keys or players' tokens are required, the call needs an operator key with the
/// scope `beats`.
#[utoipa::path(post, path = "/v1/heartbeats", operation_id = "sendHeartbeats", tag = "players",
    request_body(content((Vec<HeartbeatRequest> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, body = BatchResponse),
        (status = 400, body = BatchProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many requests from this address",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeats(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<BatchOutcome, Problem> {
    heartbeat_batch(&node, request).await
}

/// Processes many heartbeats.
///
/// # Errors
/// Returns the `Problem`s of the route.
pub async fn heartbeat_batch<B>(node: &Node, request: Request<B>) -> Result<BatchOutcome, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let access = require_batch_scope(node, request.headers())?;
    let (form, coding) = (BatchForm::of(request.headers())?, Coding::of(request.headers())?);
    let client_addr = request.extensions().get::<ClientAddr>().copied();
    let bytes = body::read(request.into_body(), coding, BODY_BYTES_MAX).await?;
    let mut parser = BatchParser::new(&bytes, form)?;
    while !in_turn(|| parser.read_some()).await? {}
    let parsed = parser.into_parsed();
    if let Some(client_addr) = client_addr {
        // The request itself was counted as one.
        node.admission.addresses.check(client_addr, parsed.len().saturating_sub(1))?;
    }
    Ok(BatchOutcome::of(enqueue_batch(node, &access, &parsed).await?))
}

/// Does a slice of a batch, then gives other tasks of this worker their turn.
async fn in_turn<T>(work: impl FnOnce() -> T) -> T {
    let done = work();
    yield_now().await;
    done
}

async fn enqueue_batch(
    node: &Node,
    access: &StageAccess,
    parsed: &ParsedBatch<'_>,
) -> Result<BatchResponse, Problem> {
    let mut body = BatchResponse::default();
    let mut taken = AdmittedBatch { node, admitted: Vec::with_capacity(parsed.len()), enqueued: 0 };
    let mut surplus = Vec::new();
    for beats in parsed.chunks(BATCH_SLICE_BEATS_MAX) {
        let mut comers = Vec::with_capacity(beats.len());
        for (index, beat) in beats {
            comers.push((*index, check_batch_item(node, access, beat).await?));
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
    // Only now the beats that these rely on are on their way to the log.
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
    node.engine.metrics.acknowledged.batch.inc_by(logged as u64);
    node.engine.metrics.coalesced.batch.inc_by(body.coalesced as u64);
    body.accepted = logged + body.coalesced;
    body.rejected.sort_by_key(|rejected| rejected.index);
    Ok(body)
}

impl BatchResponse {
    fn reject(&mut self, node: &Node, index: usize, problem: &Problem) {
        node.engine.metrics.count_rejection(problem.code());
        self.is_limited |= problem.status() == StatusCode::TOO_MANY_REQUESTS;
        self.rejected.push(RejectedHeartbeat {
            index,
            code: problem.code(),
            detail: problem.detail().to_string(),
        });
    }
}

/// Admitted heartbeats of a call. Those that are not enqueued after all, as when the client
/// disconnects, lose their admission.
struct AdmittedBatch<'a> {
    node: &'a Node,
    admitted: Vec<AdmittedEvent<'a>>,
    /// Number of them, from the first, that have been enqueued.
    enqueued: usize,
}

impl AdmittedBatch<'_> {
    /// Enqueues all of them, and gives the worker's other connections their turn in between.
    async fn enqueue_all(&mut self) -> Result<Vec<PendingAck>, Problem> {
        let node = self.node;
        let mut intake = node.engine.ingest.begin(self.admitted.len())?;
        for admitted in self.admitted.chunks(BATCH_SLICE_BEATS_MAX) {
            let take = || {
                let events =
                    |admitted| AdmittedEvent::displacements(admitted).chain([admitted.event()]);
                let events: Vec<UnstampedEvent<'_>> = admitted.iter().flat_map(events).collect();
                intake.add(&events)
            };
            in_turn(take).await?;
            self.enqueued += admitted.len();
        }
        Ok(intake.finish())
    }

    /// Releases the room that they held on their way to the log.
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

/// Admits all requests that it may. Each keeps its place.
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

/// Checks one of many heartbeats, and that its stage is open. Returns its request, or its problem.
///
/// # Errors
/// Returns a 5xx `Problem`, which is the answer to the whole batch. So a batch does not wait for
/// the cold tier once per stage.
async fn check_batch_item<'a>(
    node: &Node,
    access: &StageAccess,
    beat: &'a Result<HeartbeatRequest<'_>, Problem>,
) -> Result<Result<AdmissionRequest<'a>, Problem>, Problem> {
    let checked = beat
        .as_ref()
        .map_err(Problem::clone)
        .and_then(|body| Ok((body.to_event(EventKind::Beat)?, labels::of_body(node, body)?)));
    let checked = match checked {
        Ok((event, labels)) => admit_batch_event(node, access, event, labels).await,
        Err(problem) => Err(problem),
    };
    match checked {
        Err(problem) if problem.is_server_error() => Err(problem),
        checked => Ok(checked),
    }
}

/// Checks an event that the call's key may send, and returns its request.
async fn admit_batch_event<'a>(
    node: &Node,
    access: &StageAccess,
    event: UnstampedEvent<'a>,
    labels: Option<Box<LabelValues>>,
) -> Result<AdmissionRequest<'a>, Problem> {
    authorize_for(node, event.ids.viewer)?;
    if access.is_limited() {
        access.check_now(node, &StageId::parse(event.ids.stage)?).await?;
    }
    let request = AdmissionRequest::new(node, event).require_open_stage(node).await?;
    let request = request.limit_streams(node, None, async || Ok(None)).await?;
    match labels {
        // The headers of the call are those of its own sender, not of the viewers.
        Some(labels) => request.with_labels(node, labels.labels(), None, async || Ok(None)).await,
        None => Ok(request),
    }
}
