//! What players send: a heartbeat, or a leave.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use housecount_core::event::EventKind;
use housecount_core::limits::BEAT_BODY_BYTES_MAX;
use hyper::body::Body as HttpBody;
use serde::Serialize;
use utoipa::ToSchema;

use super::admit::admit_event;
use super::auth::PlayerCredential;
use super::body;
use super::error::{Problem, ProblemBody};
use super::gzip::Coding;
use super::heartbeat_json::HeartbeatRequest;
use super::live::{CountBody, CountStatusBody};
use super::unread::RequestEnd;
use crate::ingest::PendingAck;
use crate::node::Node;

/// The answer to a heartbeat: the stage's count, with this heartbeat in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeartbeatResponse)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatResponse {
    #[serde(flatten)]
    count: CountBody,
    /// When to beat next, in ms: the interval give or take a tenth, more under load, never above
    /// ttl/3.
    next_ms: u64,
    /// Only there, and true, if the heartbeat was beyond its session's limit: it was not logged,
    /// and is answered by the session's last logged one, which is less than a second old.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    coalesced: bool,
}

/// Say that a session watches a stage now.
///
/// Send it every `nextMs`. The body may come as `text/plain`, as `navigator.sendBeacon` sends it.
#[utoipa::path(post, path = "/v1/heartbeat", operation_id = "sendHeartbeat", tag = "players", request_body = HeartbeatRequest,
    responses(
        (status = 200, body = HeartbeatResponse),
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
) -> Result<Json<HeartbeatResponse>, Problem> {
    PlayerRequest::new(&node, request).beat(&node).await.map(Json)
}

/// A heartbeat or leave: what is kept of its request while it is answered, which is little, since
/// every open request keeps it.
#[derive(Debug)]
pub struct PlayerRequest<B> {
    bearer: PlayerCredential,
    /// That it isn't JSON, or coded in an unknown way.
    problem: Option<Box<Problem>>,
    coding: Coding,
    end: RequestEnd,
    body: B,
}

impl<B> PlayerRequest<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    /// Drops everything else of the request.
    pub fn new(node: &Node, request: Request<B>) -> PlayerRequest<B> {
        let (Parts { headers, version, .. }, body) = request.into_parts();
        let bearer = PlayerCredential::of_headers(node, &headers);
        let is_json = body::content_type(&headers, &["application/json", "text/plain"]);
        let (coding, problem, end) = match is_json.and_then(|_| Coding::of(&headers)) {
            Ok(coding) => (coding, None, RequestEnd::of_begun(version)),
            Err(problem) => {
                (Coding::Identity, Some(Box::new(problem)), RequestEnd::of(version, &headers))
            }
        };
        PlayerRequest { bearer, problem, coding, end, body }
    }

    /// The answer to a refused request, once the rest of its body is read; see `unread`.
    pub async fn finish_refused<T>(mut self, mut response: Response<T>) -> Response<T> {
        self.end.settle(&mut self.body, &mut response).await;
        response
    }

    /// What was said.
    async fn bytes(&mut self) -> Result<Bytes, Problem> {
        match self.problem.take() {
            None => body::read(&mut self.body, self.coding, BEAT_BODY_BYTES_MAX).await,
            Some(problem) => Err(*problem),
        }
    }

    /// Takes a heartbeat. Where it lies: to move it into what waits would make room for it twice.
    ///
    /// # Errors
    /// As the route tells.
    pub async fn beat(&mut self, node: &Node) -> Result<HeartbeatResponse, Problem> {
        let bytes = self.bytes().await?;
        let body = HeartbeatRequest::parse(&bytes)?;
        let event = body.to_event(EventKind::Beat)?;
        self.bearer.authorize(node, body.token(), &event).await?;
        let ack = admit_event(node, event).await?.enqueue(node)?;
        ack.wait().await?;
        node.metrics.answered(ack.is_coalesced()).http.inc();
        Ok(HeartbeatResponse::of(node, event.stage, &ack))
    }

    /// Takes a leave.
    ///
    /// # Errors
    /// As the route tells.
    pub async fn leave(&mut self, node: &Node) -> Result<(), Problem> {
        let bytes = self.bytes().await?;
        let body = HeartbeatRequest::parse(&bytes)?;
        let event = body.to_event(EventKind::Leave)?;
        self.bearer.authorize(node, body.token(), &event).await?;
        admit_event(node, event).await?.enqueue(node)?.wait().await?;
        node.metrics.acknowledged.http.inc();
        Ok(())
    }
}

impl HeartbeatResponse {
    /// What a stage's heartbeat is answered now.
    pub fn of(node: &Node, stage: &str, ack: &PendingAck) -> HeartbeatResponse {
        let count = node.hub.count(stage).into();
        HeartbeatResponse { count, next_ms: node.next_beat_ms(ack), coalesced: ack.is_coalesced() }
    }

    /// Its JSON as serde writes it, in a third of the instructions: serde looks at each key anew.
    /// It has no room left, so that who takes it as [`Bytes`] takes it as it is.
    pub fn text(&self) -> String {
        self.json_with_prefix(["{", "", ""])
    }

    /// The same behind something else than its first brace, such as that and another field.
    pub fn json_with_prefix(&self, [before, between, after]: [&str; 3]) -> String {
        let HeartbeatResponse {
            count: CountBody { viewers, sessions, standing },
            next_ms,
            coalesced,
        } = self;
        let CountStatusBody { as_of, complete, recovering } = standing;
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
            status_json(*complete, *recovering),
            d.format(*next_ms),
            if *coalesced { ",\"coalesced\":true}" } else { "}" },
        ];
        pieces.concat()
    }
}

/// The middle of a heartbeat's answer.
fn status_json(is_complete: bool, is_recovering: bool) -> &'static str {
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
#[utoipa::path(post, path = "/v1/leave", operation_id = "sendLeave", tag = "players", request_body = HeartbeatRequest,
    responses(
        (status = 204, description = "taken, also for somebody unknown"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn leave(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    PlayerRequest::new(&node, request).leave(&node).await.map(|()| StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use housecount_core::fold::Count;
    use housecount_core::time::UnixMs;

    use super::*;
    use crate::hub::{CountStatus, WithStatus};

    impl HeartbeatResponse {
        /// One with different numbers everywhere.
        pub fn example(number: u64, complete: bool, recovering: bool) -> HeartbeatResponse {
            let standing = CountStatus { as_of: UnixMs(number / 3), complete, recovering };
            let count =
                WithStatus { value: Count { viewers: number / 2, sessions: number }, standing }
                    .into();
            HeartbeatResponse { count, next_ms: number / 5, coalesced: number == 7 }
        }
    }

    #[test]
    fn an_answer_is_written_as_serde_writes_it() {
        for (number, complete, recovering) in
            [(0, false, false), (7, true, false), (u64::MAX, false, true)]
        {
            let body = HeartbeatResponse::example(number, complete, recovering);
            assert_eq!(body.text(), serde_json::to_string(&body).unwrap());
        }
    }
}
