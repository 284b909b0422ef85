//! Heartbeats and leaves of players.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use housecount_access::labels::LabelValues;
use housecount_backend::clock::mono_ms;
use housecount_core::event::{EventKind, SessionLabels};
use housecount_core::limits::BEAT_BODY_BYTES_MAX;
use housecount_engine::internals::PendingAck;
use housecount_wire::unread::RequestEnd;
use hyper::body::Body as HttpBody;
use serde::Serialize;
use utoipa::ToSchema;

use super::admit::{AdmissionRequest, admit_event};
use super::auth::PlayerCredential;
use super::body;
use super::direct::Peer;
use super::error::{Problem, ProblemBody};
use super::gzip::Coding;
use super::heartbeat_json::HeartbeatRequest;
use super::labels;
use super::live::CountStatusBody;
use super::public_count::PlayerCountBody;
use super::short_answer::ShortAnswer;
use crate::node::Node;

/// Answer to a heartbeat: the stage's count, with this heartbeat in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeartbeatResponse)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatResponse {
    #[serde(flatten)]
    pub(super) count: PlayerCountBody,
    /// Time until the next heartbeat is due, in ms. This is the interval plus or minus a tenth, and
    /// longer under load. It is never above ttl/3.
    pub(super) next_ms: u64,
    /// Present, and true, only for a heartbeat beyond its session's limit. It was not logged. The
    /// session's last logged heartbeat, which is less than a second old, answers it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(super) coalesced: bool,
}

/// Answer to a heartbeat, in the form that its request asked for.
#[derive(Debug)]
pub struct HeartbeatAnswer {
    response: HeartbeatResponse,
    /// Whether the answer is short.
    pub is_short: bool,
}

impl HeartbeatAnswer {
    /// Returns the answer as JSON.
    pub fn text(&self) -> String {
        match self.is_short {
            true => ShortAnswer::new(&self.response, None, false).text(),
            false => self.response.text(),
        }
    }
}

/// Sends a heartbeat: this session watches this stage now.
///
/// Send the next one after `nextMs`. The body may come as `text/plain`, as `navigator.sendBeacon`
/// sends it.
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
        (status = 429, description = "a limit is reached; wait Retry-After seconds, then retry",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "not acknowledged; wait Retry-After seconds, then send the next one",
            body = ProblemBody, content_type = "application/problem+json")))]
pub async fn heartbeat(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let answer = PlayerRequest::routed(&node, request).beat(&node).await?;
    Ok(([(CONTENT_TYPE, "application/json")], answer.text()).into_response())
}

/// A heartbeat or leave request, reduced to what the handler needs. Each open request holds one, so
/// it is small.
#[derive(Debug)]
pub struct PlayerRequest<B> {
    bearer: PlayerCredential,
    /// Problem of a body that is not JSON, or has an unknown coding.
    problem: Option<Box<Problem>>,
    coding: Coding,
    end: RequestEnd,
    /// Labels that a trusted proxy has written into its headers.
    labels: Option<Box<LabelValues>>,
    body: B,
}

impl PlayerRequest<Body> {
    /// Keeps the needed parts of a request that came by the router.
    fn routed(node: &Node, request: Request<Body>) -> PlayerRequest<Body> {
        let peer = request.extensions().get::<Peer>().map(|Peer(peer)| *peer);
        PlayerRequest::new(node, request, peer)
    }
}

impl<B> PlayerRequest<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    /// Keeps the needed parts of a request, and drops the rest. It came from `peer`.
    pub fn new(node: &Node, request: Request<B>, peer: Option<IpAddr>) -> PlayerRequest<B> {
        let (Parts { headers, version, .. }, body) = request.into_parts();
        let bearer = PlayerCredential::of_headers(node, &headers);
        let is_json = body::content_type(&headers, &["application/json", "text/plain"]);
        let (coding, problem, end) = match is_json.and_then(|_| Coding::of(&headers)) {
            Ok(coding) => (coding, None, RequestEnd::of_begun(version)),
            Err(problem) => {
                (Coding::Identity, Some(Box::new(problem)), RequestEnd::of(version, &headers))
            }
        };
        let labels = peer.and_then(|peer| node.admission.header_labels(peer, &headers));
        PlayerRequest { bearer, problem, coding, end, labels: labels.map(Box::new), body }
    }

    /// Returns the answer to a refused request, once the rest of its body is read (`unread`).
    pub async fn finish_refused<T>(mut self, mut response: Response<T>) -> Response<T> {
        self.end.settle(&mut self.body, &mut response).await;
        response
    }

    /// Reads the body.
    async fn bytes(&mut self) -> Result<Bytes, Problem> {
        match self.problem.take() {
            None => body::read(&mut self.body, self.coding, BEAT_BODY_BYTES_MAX).await,
            Some(problem) => Err(*problem),
        }
    }

    /// Handles a heartbeat. It is borrowed, because a move into the waiting future would reserve
    /// room for it twice.
    ///
    /// # Errors
    /// Returns the `Problem`s of the route.
    pub async fn beat(&mut self, node: &Node) -> Result<HeartbeatAnswer, Problem> {
        let bytes = self.bytes().await?;
        let body = HeartbeatRequest::parse(&bytes)?;
        let event = body.to_event(EventKind::Beat)?;
        let labels = labels::of_body(node, &body)?;
        let verified = self.bearer.authorize(node, body.token(), &event).await?;
        // Asked for new sessions and streams only. Most of them had to be verified just now.
        let claims = async || match &verified {
            Some(claims) => Ok::<_, Problem>(Some(claims.clone())),
            None => Ok(self.bearer.claims(node, body.token()).await?.map(Box::new)),
        };
        let request = AdmissionRequest::new(node, event).require_open_stage(node).await?;
        let request = match node.admission.streams.is_on() {
            // In a box, since every request would otherwise reserve room for it.
            true => {
                let claim = async || Ok(claims().await?.and_then(|claims| claims.streams()));
                Box::pin(request.limit_streams(node, body.replaces()?, claim)).await?
            }
            false => request,
        };
        let request = match node.admission.labels.is_on() {
            true => {
                let claim =
                    async || Ok(claims().await?.and_then(|claims| claims.labels().cloned()));
                let body = labels.as_ref().map_or(SessionLabels::NONE, |labels| labels.labels());
                Box::pin(request.with_labels(node, body, self.labels.as_deref(), claim)).await?
            }
            false => request,
        };
        let admitted = request.admit(node, mono_ms())?;
        let ack = admitted.enqueue(node)?;
        let places = admitted.into_places();
        ack.wait().await?;
        drop(places);
        node.engine.metrics.answered(ack.is_coalesced()).http.inc();
        let response = HeartbeatResponse::of(node, event.ids.stage, &ack);
        Ok(HeartbeatAnswer { response, is_short: body.wants_short_answer() })
    }

    /// Handles a leave.
    ///
    /// # Errors
    /// Returns the `Problem`s of the route.
    pub async fn leave(&mut self, node: &Node) -> Result<(), Problem> {
        let bytes = self.bytes().await?;
        let body = HeartbeatRequest::parse(&bytes)?;
        let event = body.to_event(EventKind::Leave)?;
        labels::of_body(node, &body)?; // a leave has none, and wrong ones are refused all the same
        self.bearer.authorize(node, body.token(), &event).await?;
        let admitted = admit_event(node, event).await?;
        let ack = admitted.enqueue(node)?;
        let places = admitted.into_places();
        ack.wait().await?;
        drop(places);
        node.engine.metrics.acknowledged.http.inc();
        Ok(())
    }
}

impl HeartbeatResponse {
    /// Returns the answer to a heartbeat of a stage now.
    pub fn of(node: &Node, stage: &str, ack: &PendingAck) -> HeartbeatResponse {
        let count = node.engine.hub.count(stage);
        HeartbeatResponse {
            count: PlayerCountBody::new(count, node.public_counts.for_players(stage)),
            next_ms: node.engine.next_beat_ms(ack),
            coalesced: ack.is_coalesced(),
        }
    }

    /// Returns the answer as JSON, as serde writes it. This takes a third of the instructions,
    /// because serde processes each key every time. The text has no spare capacity, so a conversion
    /// to [`Bytes`] does not copy it.
    pub fn text(&self) -> String {
        self.json_with_prefix(["{", "", ""])
    }

    /// Returns the same JSON with other text in place of its first brace, such as the brace and
    /// another field.
    pub fn json_with_prefix(&self, [before, between, after]: [&str; 3]) -> String {
        let HeartbeatResponse {
            count: PlayerCountBody { viewers, sessions, status },
            next_ms,
            coalesced,
        } = self;
        let CountStatusBody { as_of, complete, recovering } = status;
        let mut digits = [itoa::Buffer::new(); 4];
        let [a, b, c, d] = &mut digits;
        let pieces = [
            before,
            between,
            after,
            if viewers.is_some() { "\"viewers\":" } else { "" },
            viewers.map_or("", |viewers| a.format(viewers)),
            if sessions.is_some() { ",\"sessions\":" } else { "" },
            sessions.map_or("", |sessions| b.format(sessions)),
            if viewers.is_some() { ",\"asOf\":" } else { "\"asOf\":" },
            c.format(*as_of),
            status_json(*complete, *recovering),
            d.format(*next_ms),
            if *coalesced { ",\"coalesced\":true}" } else { "}" },
        ];
        pieces.concat()
    }
}

/// Returns the middle of a heartbeat's answer.
fn status_json(is_complete: bool, is_recovering: bool) -> &'static str {
    match (is_complete, is_recovering) {
        (true, false) => ",\"complete\":true,\"recovering\":false,\"nextMs\":",
        (false, true) => ",\"complete\":false,\"recovering\":true,\"nextMs\":",
        (false, false) => ",\"complete\":false,\"recovering\":false,\"nextMs\":",
        (true, true) => ",\"complete\":true,\"recovering\":true,\"nextMs\":",
    }
}

/// Sends a leave: this session has stopped watching.
///
/// A leave is a hint: a session that sends no more heartbeats ends by itself. A leave without a
/// session ends all of the viewer's sessions on the stage.
#[utoipa::path(post, path = "/v1/leave", operation_id = "sendLeave", tag = "players", request_body = HeartbeatRequest,
    responses(
        (status = 204, description = "accepted, also for an unknown viewer or session"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn leave(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    PlayerRequest::routed(&node, request).leave(&node).await.map(|()| StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use housecount_core::fold::Count;
    use housecount_core::public_count::PublicCount;
    use housecount_core::time::UnixMs;

    use super::*;
    use housecount_engine::{CountStatus, WithStatus};

    impl HeartbeatResponse {
        /// Returns an answer with different numbers everywhere.
        pub fn example(number: u64, complete: bool, recovering: bool) -> HeartbeatResponse {
            let status = CountStatus { as_of: UnixMs(number / 3), complete, recovering };
            let count =
                WithStatus { value: Count { viewers: number / 2, sessions: number }, status };
            let count = PlayerCountBody::new(count, PublicCount::Exact);
            HeartbeatResponse { count, next_ms: number / 5, coalesced: number == 7 }
        }
    }

    #[test]
    fn an_answer_is_written_as_serde_writes_it() {
        for (number, complete, recovering) in
            [(0, false, false), (7, true, false), (u64::MAX, false, true)]
        {
            let mut body = HeartbeatResponse::example(number, complete, recovering);
            assert_eq!(body.text(), serde_json::to_string(&body).unwrap());
            (body.count.viewers, body.count.sessions) = (None, None);
            assert_eq!(body.text(), serde_json::to_string(&body).unwrap());
            assert!(body.text().starts_with("{\"asOf\":"));
        }
    }
}
