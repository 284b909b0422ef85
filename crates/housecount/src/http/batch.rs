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

use super::auth::{allow_batch, may_say_for};
use super::batch_body::{BatchForm, BatchParser, Parsed};
use super::body;
use super::error::{Problem, ProblemBody, problem_json};
use super::gzip::Coding;
use super::welcome::{ASKED_AT_ONCE, Admission, Comer, Welcomed, find_who_is_in};
use super::words::BeatBody;
use crate::clock::mono_ms;
use crate::edge::Whence;
use crate::ingest::{Receipt, Said};
use crate::node::Node;

/// Heartbeats of a call that are dealt with in one turn once the log has them: each takes a
/// fraction of what letting it in took.
const DONE_SLICE_BEATS: usize = 16 * BATCH_SLICE_BEATS_MAX;

/// What became of many heartbeats.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchResponse)]
pub struct BatchBody {
    /// How many were taken, those that were coalesced included.
    accepted: usize,
    /// The others, and why.
    rejected: Vec<RejectedBody>,
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
pub struct RejectedBody {
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
    rejected: Vec<RejectedBody>,
}

/// The answer to many heartbeats that could be read.
#[derive(Debug)]
pub enum BatchOutcome {
    /// 200, whatever was rejected.
    Taken(BatchBody),
    /// 400: all of them are wrong, and will be whenever they are sent.
    Refused(BatchProblemBody),
}

impl BatchOutcome {
    fn of(body: BatchBody) -> BatchOutcome {
        let Some(first) = body.rejected.first().filter(|_| body.accepted == 0 && !body.is_limited)
        else {
            return BatchOutcome::Taken(body);
        };
        let is_same = body.rejected.iter().all(|rejected| rejected.code == first.code);
        let code = if is_same { first.code } else { "invalid_body" };
        let (all, RejectedBody { index, detail, .. }) = (body.rejected.len(), first);
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
    request_body(content((Vec<BeatBody> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, body = BatchBody),
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
    many(&node, request).await
}

/// Takes many heartbeats.
///
/// # Errors
/// As the route tells.
pub async fn many<B>(node: &Node, request: Request<B>) -> Result<BatchOutcome, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    allow_batch(node, request.headers())?;
    let (form, coding) = (BatchForm::of(request.headers())?, Coding::of(request.headers())?);
    let whence = request.extensions().get::<Whence>().copied();
    let bytes = body::read(request.into_body(), coding, BODY_BYTES_MAX).await?;
    let mut parser = BatchParser::new(&bytes, form)?;
    while !in_turn(|| parser.read_some()).await? {}
    let parsed = parser.into_parsed();
    if let Some(whence) = whence {
        // The request itself was one.
        node.edge.addresses.take(whence, parsed.len().saturating_sub(1))?;
    }
    Ok(BatchOutcome::of(take_many(node, &parsed).await?))
}

/// Does a slice of a batch. Then others on this worker have their turn.
async fn in_turn<T>(work: impl FnOnce() -> T) -> T {
    let done = work();
    yield_now().await;
    done
}

async fn take_many(node: &Node, parsed: &Parsed<'_>) -> Result<BatchBody, Problem> {
    let mut body = BatchBody::default();
    let mut taken = LetIn { node, welcomed: Vec::with_capacity(parsed.len()), taken: 0 };
    let mut surplus = Vec::new();
    for beats in parsed.chunks(BATCH_SLICE_BEATS_MAX) {
        let mut comers = Vec::with_capacity(beats.len());
        for (index, beat) in beats {
            comers.push((*index, comer(node, beat).await?));
        }
        let admit_all = || {
            for (index, admitted) in admit(node, comers) {
                match admitted {
                    Ok(Admission::Welcomed(welcomed)) => taken.welcomed.push(welcomed),
                    Ok(Admission::Surplus(beat)) => surplus.push((index, beat)),
                    Err(problem) => body.reject(node, index, &problem),
                }
            }
        };
        in_turn(admit_all).await;
    }
    let logged = taken.welcomed.len();
    let mut receipts = if logged > 0 { taken.take_all().await? } else { Vec::new() };
    // Only now those that they rely on are on the way to the log.
    for beats in surplus.chunks(BATCH_SLICE_BEATS_MAX) {
        for (index, beat) in beats {
            match beat.coalesce(node) {
                Ok(receipt) => receipts.push(receipt),
                Err(problem) if problem.is_the_nodes() => return Err(problem),
                Err(problem) => body.reject(node, *index, &problem),
            }
        }
        yield_now().await;
    }
    body.coalesced = receipts.iter().filter(|receipt| receipt.is_coalesced()).count();
    for (n, receipt) in receipts.into_iter().enumerate() {
        receipt.acknowledged().await?;
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

impl BatchBody {
    fn reject(&mut self, node: &Node, index: usize, problem: &Problem) {
        node.metrics.reject(problem.code());
        self.is_limited |= problem.status() == StatusCode::TOO_MANY_REQUESTS;
        self.rejected.push(RejectedBody {
            index,
            code: problem.code(),
            detail: problem.detail().to_string(),
        });
    }
}

/// Heartbeats of a call that were let in. Those that are not taken in after all, as when the client
/// goes, have no place.
struct LetIn<'a> {
    node: &'a Node,
    welcomed: Vec<Welcomed<'a>>,
    /// The first of them, which have been taken in.
    taken: usize,
}

impl LetIn<'_> {
    /// Takes all of them in, and lets the worker's other connections have their turn in between.
    async fn take_all(&mut self) -> Result<Vec<Receipt>, Problem> {
        let node = self.node;
        let mut intake = node.ingest.begin(self.welcomed.len())?;
        for welcomed in self.welcomed.chunks(BATCH_SLICE_BEATS_MAX) {
            let take =
                || intake.take(&welcomed.iter().map(Welcomed::said).collect::<Vec<Said<'_>>>());
            in_turn(take).await?;
            self.taken += welcomed.len();
        }
        Ok(intake.finish())
    }

    /// Gives up the room that they held on their way to the log.
    async fn release(mut self) {
        self.taken = 0;
        let mut rest = std::mem::take(&mut self.welcomed).into_iter();
        while !rest.as_slice().is_empty() {
            in_turn(|| rest.by_ref().take(DONE_SLICE_BEATS).for_each(drop)).await;
        }
    }
}

impl Drop for LetIn<'_> {
    fn drop(&mut self) {
        self.welcomed.iter().skip(self.taken).for_each(|welcomed| welcomed.take_back(self.node));
    }
}

/// Lets in all that it may, by their places.
fn admit<'a>(
    node: &Node,
    comers: Vec<(usize, Result<Comer<'a>, Problem>)>,
) -> Vec<(usize, Result<Admission<'a>, Problem>)> {
    let now_ms = mono_ms();
    let mut admitted = Vec::with_capacity(comers.len());
    let mut comers = comers.into_iter();
    while !comers.as_slice().is_empty() {
        let mut some: Vec<_> = comers.by_ref().take(ASKED_AT_ONCE).collect();
        find_who_is_in(node, some.iter_mut().filter_map(|(_, comer)| comer.as_mut().ok()), now_ms);
        let outcome = |(index, comer): (usize, Result<Comer<'a>, Problem>)| {
            (index, comer.and_then(|comer| comer.admitted(node, now_ms)))
        };
        admitted.extend(some.into_iter().map(outcome));
    }
    admitted
}

/// One of many, whose stage is open, or why it is none.
///
/// # Errors
/// One answer for all: a batch doesn't wait for the cold tier as often as it has stages.
async fn comer<'a>(
    node: &Node,
    beat: &'a Result<BeatBody<'_>, Problem>,
) -> Result<Result<Comer<'a>, Problem>, Problem> {
    let said = beat.as_ref().map_err(Problem::clone).and_then(|body| body.said(EventKind::Beat));
    let checked = match said {
        Ok(said) => match may_say_for(node, said.viewer) {
            Ok(()) => Comer::new(node, said).checked_open(node).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    match checked {
        Err(problem) if problem.is_the_nodes() => Err(problem),
        checked => Ok(checked),
    }
}
