//! A problem, and its answer.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Error of a request, with its status and code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Box<str>,
    retry_after_s: Option<u32>,
    active: Option<Box<ActiveStreams>>,
}

/// Streams of a viewer who has too many. In a box, since few problems have them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ActiveStreams(Vec<ActiveStream>);

/// A stream of the viewer who asked for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActiveStream {
    /// The stage.
    pub stage: String,
    /// The session; empty if its player sends none.
    pub session: String,
    /// First heartbeat since the session came online, Unix ms.
    pub since: u64,
}

/// An RFC 9457 problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`; the status and the code identify the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Name of the status.
    title: String,
    /// HTTP status.
    status: u16,
    /// Stable code, for programs.
    code: &'static str,
    /// Explanation for people: what is wrong with which input, and the way out.
    detail: String,
    /// Of the code `too_many_streams`: the viewer's streams, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    active: Option<Vec<ActiveStream>>,
}

/// Code of a session whose place another one has taken.
pub const DISPLACED: &str = "displaced";
/// Time after which clients are asked to retry when the node is overloaded.
const RETRY_AFTER_S: u32 = 5;
/// Time after which a client is asked to retry when another one must leave first.
pub(crate) const FULL_RETRY_MS: u64 = 30_000;

impl Problem {
    /// Creates a problem without a time to retry.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into().into(), retry_after_s: None, active: None }
    }

    /// Creates a problem of a service that is unavailable just now.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Problem { retry_after_s: Some(RETRY_AFTER_S), ..problem }
    }

    /// Creates a problem of a client that has exceeded a limit.
    pub(crate) fn too_many(code: &'static str, retry_ms: u64, detail: String) -> Problem {
        let seconds = u32::try_from(retry_ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        Problem { retry_after_s: Some(seconds), ..problem }
    }

    /// Creates a problem of an unusable body.
    pub fn body(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_body", detail)
    }

    /// Returns its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns its stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Returns the time after which a retry may help.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Whether the request is wrong whenever it is sent, or is never allowed to its sender.
    pub fn is_client_error(&self) -> bool {
        matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN)
    }

    /// Whether the node, or one of its stores, is the cause.
    pub fn is_server_error(&self) -> bool {
        self.status.is_server_error()
    }

    /// Returns its JSON.
    pub fn json(&self) -> ProblemBody {
        ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error").to_string(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.to_string(),
            active: self.active().map(<[_]>::to_vec),
        }
    }

    /// Adds the viewer's streams.
    pub(crate) fn with_active(self, active: Vec<ActiveStream>) -> Problem {
        Problem { active: Some(Box::new(ActiveStreams(active))), ..self }
    }

    /// Returns the viewer's streams, if the problem is that there are too many.
    pub fn active(&self) -> Option<&[ActiveStream]> {
        self.active.as_ref().map(|active| &*active.0)
    }

    /// Returns its text for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Creates the problem of a path without a route. If the path may contain an id with a `/` that
    /// a proxy decoded, the detail describes how to send it.
    pub fn not_found_at(path: &str) -> Problem {
        const IN_A_STAGE: &str = "encode / in a stage as %2F";
        let way_out = match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["v1", "stages", _, _, ..] => {
                format!("{IN_A_STAGE} or use ?stage= (/v1/stage?stage=); see /openapi.json")
            }
            ["v1", "viewers", _, _, ..] => {
                "encode / in a viewer as %2F or use ?viewer= (/v1/viewer?viewer=); see /openapi.json"
                    .to_string()
            }
            ["api", "viewer", "list" | "stats", _, _, ..] => format!("{IN_A_STAGE}; see /openapi.json"),
            _ => "see /openapi.json".to_string(),
        };
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("no route matches {path}; {way_out}"),
        )
    }

    /// Creates the problem of a missing or unusable credential.
    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Creates the problem of a valid token for something else.
    pub fn token_mismatch(what: &str) -> Problem {
        let detail = format!("the token is for a different {what} than the one sent");
        Problem::new(StatusCode::FORBIDDEN, "token_mismatch", detail)
    }

    /// Creates the problem of a stage that is neither configured nor seen.
    pub fn no_stage(stage: &str) -> Problem {
        let detail = format!("stage `{stage}` has neither a configuration nor viewers on record");
        Problem::new(StatusCode::NOT_FOUND, "stage_not_found", detail)
    }

    /// Creates the problem of a node with `cold = none`.
    pub fn no_cold() -> Problem {
        let detail = "this node has no cold tier (cold = none); start it with one";
        Problem::new(StatusCode::NOT_IMPLEMENTED, "no_cold_tier", detail)
    }

    /// Creates the problem of a node with `events = false`.
    pub fn no_events() -> Problem {
        let detail = "this node keeps no events (events = false); start it with events = true";
        Problem::new(StatusCode::NOT_IMPLEMENTED, "events_off", detail)
    }
}

/// Returns a response whose body is a problem, or has the fields of one.
pub fn problem_json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.json();
        self.response_of(&body)
    }
}

impl Problem {
    /// Returns the response of a problem whose body has more fields than its own.
    pub fn response_of(self, body: &impl Serialize) -> Response {
        let mut response = problem_json(self.status, body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3.1: the error is named only to a sender of a credential. Without one, the
            // challenge only names what to send.
            let challenge = match self.code {
                "token_invalid" | "token_expired" => {
                    r#"Bearer realm="housecount", error="invalid_token""#
                }
                _ => r#"Bearer realm="housecount""#,
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.code == "unsupported_encoding" {
            // RFC 7694, 3: only where the coding was refused.
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}

/// Problem code of a response, for the counters.
#[derive(Clone, Copy, Debug)]
pub struct ProblemCode(pub &'static str);

/// Answers a request for which no route exists.
pub async fn not_found(uri: Uri) -> Problem {
    Problem::not_found_at(uri.path())
}

/// Answers a request whose route exists for other methods only.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not support {method}; see /openapi.json", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
