//! What players send: heartbeats, one or many, and leaves.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use housecount_core::event::Kind;
use housecount_core::limits::{BATCH_BEATS_MAX, BEAT_BODY_BYTES_MAX, BODY_BYTES_MAX};
use hyper::body::Body as HttpBody;
use serde::Serialize;
use tokio::task::yield_now;
use utoipa::ToSchema;

use super::auth::{Bearer, allow_batch, may_say_for};
use super::body;
use super::error::{Problem, ProblemBody};
use super::headers;
use super::live::{CountBody, StandingBody};
use super::welcome::{ASKED_AT_ONCE, Comer, Welcomed, find_who_is_in, welcome};
use super::words::{AllGood, BeatBody};
use crate::clock::mono_ms;
use crate::edge::Whence;
use crate::ingest::{Receipt, Said};
use crate::node::Node;

/// Heartbeats of one call that are looked at in one go, some hundred microseconds: then the worker's other connections get their turn.
const TURN_BEATS: usize = 4 * ASKED_AT_ONCE;

/// The answer to a heartbeat: the stage's count, with this heartbeat in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeartbeatResponse)]
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
#[utoipa::path(post, path = "/v1/heartbeat", operation_id = "sendHeartbeat", tag = "players", request_body = BeatBody,
    responses(
        (status = 200, body = BeatenBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "the stage is not configured, and stages.auto is false",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too much, or no room; come back after Retry-After seconds",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not acknowledged; come back after Retry-After seconds",
            body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeat(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Json<BeatenBody>, Problem> {
    Heard::new(&node, request).0.beat(&node).await.map(Json)
}

/// A heartbeat or leave: what is kept of its request while it is answered, which is little, since every open request keeps it.
#[derive(Debug)]
pub struct Heard<B> {
    bearer: Bearer,
    /// That it isn't JSON.
    problem: Option<Box<Problem>>,
    body: B,
}

impl<B> Heard<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    /// Lets all else of the request go, but the room of its headers: that is for the answer's.
    pub fn new(node: &Node, request: Request<B>) -> (Heard<B>, HeaderMap) {
        let (Parts { headers, .. }, body) = request.into_parts();
        let bearer = Bearer::of_headers(node, &headers);
        let is_json = body::content_type(&headers, &["application/json", "text/plain"]);
        (Heard { bearer, problem: is_json.err().map(Box::new), body }, headers::room_of(headers))
    }

    /// What was said.
    async fn bytes(&mut self) -> Result<Bytes, Problem> {
        match self.problem.take() {
            None => body::read(&mut self.body, BEAT_BODY_BYTES_MAX).await,
            Some(problem) => Err(*problem),
        }
    }

    /// Takes a heartbeat. Where it lies: to move it into what waits would make room for it twice.
    ///
    /// # Errors
    /// As the route tells.
    pub async fn beat(&mut self, node: &Node) -> Result<BeatenBody, Problem> {
        let bytes = self.bytes().await?;
        let body = BeatBody::parse(&bytes)?;
        let said = body.said(Kind::Beat)?;
        let comer = Comer::new(node, said);
        // What its pace is known by comes from memory while its token is looked at.
        comer.look_ahead(node);
        self.bearer.may_say(node, body.token(), &said).await?;
        let welcomed = comer.checked_open(node).await?.admitted(node, mono_ms())?;
        let receipt = welcomed.take(node)?;
        receipt.acknowledged().await?;
        node.metrics.acknowledged.http.inc();
        Ok(BeatenBody::of(node, said.stage, &receipt))
    }

    /// Takes a leave.
    ///
    /// # Errors
    /// As the route tells.
    pub async fn leave(&mut self, node: &Node) -> Result<(), Problem> {
        let bytes = self.bytes().await?;
        let body = BeatBody::parse(&bytes)?;
        let said = body.said(Kind::Leave)?;
        self.bearer.may_say(node, body.token(), &said).await?;
        let welcomed = welcome(node, said).await?;
        welcomed.take(node)?.acknowledged().await?;
        node.metrics.acknowledged.http.inc();
        Ok(())
    }
}

impl BeatenBody {
    /// What a stage's heartbeat is answered now.
    pub fn of(node: &Node, stage: &str, receipt: &Receipt) -> BeatenBody {
        BeatenBody { count: node.hub.count(stage).into(), next_ms: node.next_ms(receipt) }
    }

    /// Its JSON as serde writes it, in a third of the instructions: serde looks at each key anew. It has no room left, so that who
    /// takes it as [`Bytes`] takes it as it is.
    pub fn text(&self) -> String {
        self.text_behind(["{", "", ""])
    }

    /// The same behind something else than its first brace, such as that and another field.
    pub fn text_behind(&self, [before, between, after]: [&str; 3]) -> String {
        let BeatenBody { count: CountBody { viewers, sessions, standing }, next_ms } = self;
        let StandingBody { as_of, complete, recovering } = standing;
        let mut digits = [itoa::Buffer::new(); 4];
        let [a, b, c, d] = &mut digits;
        let pieces = [
            before,
            between,
            after,
            "\"viewers\":",
            a.format(*viewers),
            ",\"sessions\":",
            b.format(*sessions),
            ",\"asOf\":",
            c.format(*as_of),
            trusted(*complete, *recovering),
            d.format(*next_ms),
            "}",
        ];
        pieces.concat()
    }
}

/// The middle of a heartbeat's answer.
fn trusted(is_complete: bool, is_recovering: bool) -> &'static str {
    match (is_complete, is_recovering) {
        (true, false) => ",\"complete\":true,\"recovering\":false,\"nextMs\":",
        (false, true) => ",\"complete\":false,\"recovering\":true,\"nextMs\":",
        (false, false) => ",\"complete\":false,\"recovering\":false,\"nextMs\":",
        (true, true) => ",\"complete\":true,\"recovering\":true,\"nextMs\":",
    }
}

/// Say that a session has stopped watching. A hint: a session that says nothing stops by itself.
///
/// Without a session it ends all of the viewer's sessions on the stage.
#[utoipa::path(post, path = "/v1/leave", operation_id = "sendLeave", tag = "players", request_body = BeatBody,
    responses(
        (status = 204, description = "taken, also for somebody unknown"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn leave(State(node): State<Arc<Node>>, request: Request<Body>) -> Result<StatusCode, Problem> {
    Heard::new(&node, request).0.leave(&node).await.map(|()| StatusCode::NO_CONTENT)
}

/// What became of many heartbeats.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchResponse)]
pub struct BatchBody {
    /// How many were taken.
    accepted: usize,
    /// The others, and why.
    rejected: Vec<RejectedBody>,
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

/// Send many heartbeats at once: a JSON array, or NDJSON (a heartbeat a line).
///
/// Good ones are taken, bad ones named. At most 10,000. Where operators have keys it takes one with the scope `beats`.
#[utoipa::path(post, path = "/v1/heartbeats", operation_id = "sendHeartbeats", tag = "players",
    request_body(content((Vec<BeatBody> = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, body = BatchBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "the address sends too much",
            body = ProblemBody, content_type = "application/problem+json"),
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
    let whence = request.extensions().get::<Whence>().copied();
    let bytes = body::read(request.into_body(), BODY_BYTES_MAX).await?;
    allowed?;
    let parsed = parse_many(&bytes, kind.ends_with("ndjson"))?;
    if let Some(whence) = whence {
        // The request itself was one.
        node.edge.addresses.take(whence, parsed.len().saturating_sub(1))?;
    }

    let mut outcome = BatchBody::default();
    let mut taken = LetIn { node, welcomed: Vec::with_capacity(parsed.len()), is_taken: false };
    for beats in parsed.chunks(TURN_BEATS) {
        let mut comers = Vec::with_capacity(beats.len());
        for (index, beat) in beats {
            comers.push((*index, comer(node, beat).await?));
        }
        admit(node, comers, &mut taken.welcomed, &mut outcome.rejected);
        // Others on this worker have waited for as long as they may.
        yield_now().await;
    }
    outcome.accepted = taken.welcomed.len();
    if outcome.accepted > 0 {
        for receipt in taken.take_all()? {
            receipt.acknowledged().await?;
        }
        node.metrics.acknowledged.batch.inc_by(outcome.accepted as u64);
    }
    Ok(outcome)
}

/// Who was let in of a call. Whoever is not taken in after all, as when the client goes, has no place.
struct LetIn<'a> {
    node: &'a Node,
    welcomed: Vec<Welcomed<'a>>,
    is_taken: bool,
}

impl LetIn<'_> {
    /// Takes all of them in.
    fn take_all(&mut self) -> Result<Vec<Receipt>, Problem> {
        let said: Vec<Said<'_>> = self.welcomed.iter().map(Welcomed::said).collect();
        let receipts = self.node.ingest.take_all(&said)?;
        self.is_taken = true;
        Ok(receipts)
    }
}

impl Drop for LetIn<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            self.welcomed.iter().for_each(|welcomed| welcomed.take_back(self.node));
        }
    }
}

/// Lets in whom it may, and says of the others why not.
fn admit<'a>(
    node: &Node,
    comers: Vec<(usize, Result<Comer<'a>, Problem>)>,
    welcomed: &mut Vec<Welcomed<'a>>,
    rejected: &mut Vec<RejectedBody>,
) {
    let now_ms = mono_ms();
    let mut comers = comers.into_iter();
    while !comers.as_slice().is_empty() {
        let mut some: Vec<_> = comers.by_ref().take(ASKED_AT_ONCE).collect();
        find_who_is_in(node, some.iter_mut().filter_map(|(_, comer)| comer.as_mut().ok()), now_ms);
        for (index, comer) in some {
            match comer.and_then(|comer| comer.admitted(node, now_ms)) {
                Ok(comer) => welcomed.push(comer),
                Err(problem) => {
                    node.metrics.reject(problem.code());
                    let (code, detail) = (problem.code(), problem.detail().to_string());
                    rejected.push(RejectedBody { index, code, detail });
                }
            }
        }
    }
}

/// By place, a heartbeat or why it is none.
pub type Parsed<'a> = Vec<(usize, Result<BeatBody<'a>, Problem>)>;

/// One of many, whose stage is open, or why it is none.
///
/// # Errors
/// One answer for all: a batch doesn't wait for the cold tier as often as it has stages.
async fn comer<'a>(
    node: &Node,
    beat: &'a Result<BeatBody<'_>, Problem>,
) -> Result<Result<Comer<'a>, Problem>, Problem> {
    let said = beat.as_ref().map_err(Problem::clone).and_then(|body| body.said(Kind::Beat));
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
    let all = str::from_utf8(bytes).ok().and_then(|text| serde_json::from_str(text).ok());
    if let Some(AllGood(beats)) = all {
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

#[cfg(test)]
mod tests {
    use housecount_core::fold::Count;
    use housecount_core::time::UnixMs;

    use super::*;
    use crate::hub::{Answer, Standing};

    impl BeatenBody {
        /// One with different numbers everywhere.
        pub fn example(number: u64, complete: bool, recovering: bool) -> BeatenBody {
            let standing = Standing { as_of: UnixMs(number / 3), complete, recovering };
            let count = Answer { of: Count { viewers: number / 2, sessions: number }, standing }.into();
            BeatenBody { count, next_ms: number / 5 }
        }
    }

    #[test]
    fn an_answer_is_written_as_serde_writes_it() {
        for (number, complete, recovering) in [(0, false, false), (7, true, false), (u64::MAX, false, true)] {
            let body = BeatenBody::example(number, complete, recovering);
            assert_eq!(body.text(), serde_json::to_string(&body).unwrap());
        }
    }
}
