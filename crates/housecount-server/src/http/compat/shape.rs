//! The two shapes of every answer: `{"success":true,"data",…}`, and for every error
//! `{"success":false,"error":{…},…}`.
//!
//! Errors are made as problems, as everywhere. Here they get this API's shape, also those from
//! outside its handlers.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use housecount_backend::clock;
use housecount_backend::error::StoreError;
use housecount_core::limits::BODY_BYTES_MAX;
use housecount_engine::internals::IngestError;
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoResponses, ToSchema};

use super::health::Services;
use crate::calendar;
use crate::http::error::Problem;
use crate::node::Node;

/// A successful answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success<T> {
    /// Always true.
    success: bool,
    /// The answer itself.
    data: T,
    /// The time of the answer on the log's clock, RFC 3339.
    timestamp: String,
    /// The outcome in words, for calls of players.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

impl<T> Success<T> {
    /// Wraps the answer to a query.
    pub fn new(node: &Node, data: T) -> Json<Success<T>> {
        Json(Success { success: true, data, timestamp: timestamp(node), message: None })
    }

    /// Wraps the answer to a player's call, with its outcome in words.
    pub fn with_message(node: &Node, message: &'static str, data: T) -> Json<Success<T>> {
        Json(Success { success: true, data, timestamp: timestamp(node), message: Some(message) })
    }
}

/// Returns the time on the log's clock in RFC 3339. Until the node has read that, it is the
/// machine's.
pub fn timestamp(node: &Node) -> String {
    calendar::format_time(node.engine.clock.now().unwrap_or_else(clock::wall_clock))
}

/// Answer that reports an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInErrorResponse)]
pub struct ErrorBody {
    /// Always false.
    success: bool,
    /// The error itself.
    error: ErrorDetail,
    /// The time of the answer, RFC 3339.
    timestamp: String,
}

/// Problem of a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInError)]
pub struct ErrorDetail {
    /// `VALIDATION_ERROR`, `UNAUTHORIZED`, `FORBIDDEN`, `NOT_FOUND`, `METHOD_NOT_ALLOWED`,
    /// `REQUEST_TIMEOUT`, `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`, `UPGRADE_REQUIRED`,
    /// `RATE_LIMITED`, `INTERNAL_ERROR`, `NOT_IMPLEMENTED` or `SERVICE_UNAVAILABLE`.
    pub(super) code: &'static str,
    /// Explanation for people: the input, what is wrong with it, and the way out.
    pub(super) message: String,
    /// Details for programs, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<ErrorDetails>,
}

/// Details of an error that programs can act on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DropInErrorDetails)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetails {
    /// Names of required fields that are missing, null or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    pub(super) missing_fields: Vec<&'static str>,
    /// Names of fields whose value is of a wrong type, or not an id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    pub(super) invalid_fields: Vec<&'static str>,
    /// States of the stores, if the node is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) services: Option<Services>,
}

/// Errors that any call may get.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for /openapi.json only")]
pub enum Errors {
    /// `VALIDATION_ERROR`
    #[response(status = 400)]
    Validation(ErrorBody),
    /// `UNAUTHORIZED`
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `FORBIDDEN`: the key lacks the scope
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// `RATE_LIMITED`: retry after Retry-After seconds
    #[response(status = 429)]
    RateLimited(ErrorBody),
    /// `SERVICE_UNAVAILABLE`: retry after Retry-After seconds
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Further errors that a call with a body may get.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for /openapi.json only")]
pub enum BodyErrors {
    /// `PAYLOAD_TOO_LARGE`
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// `UNSUPPORTED_MEDIA_TYPE`
    #[response(status = 415)]
    MediaType(ErrorBody),
}

/// A problem, with details that only this API reports.
#[derive(Debug)]
pub struct DropInError {
    problem: Problem,
    details: ErrorDetails,
}

impl DropInError {
    /// Creates an error from a problem and details.
    pub fn new(problem: Problem, details: ErrorDetails) -> DropInError {
        DropInError { problem, details }
    }

    /// Creates the error of a call without some of its required fields.
    pub fn missing(fields: Vec<&'static str>) -> DropInError {
        let problem = Problem::body(format!("missing fields: {}", fields.join(", ")));
        DropInError::new(
            problem,
            ErrorDetails { missing_fields: fields, ..ErrorDetails::default() },
        )
    }

    /// Creates the error of a field with an unusable value.
    pub fn invalid(field: &'static str, why: impl std::fmt::Display) -> DropInError {
        let problem = Problem::body(format!("{field}: {why}"));
        DropInError::new(
            problem,
            ErrorDetails { invalid_fields: vec![field], ..ErrorDetails::default() },
        )
    }
}

impl From<Problem> for DropInError {
    fn from(problem: Problem) -> DropInError {
        DropInError { problem, details: ErrorDetails::default() }
    }
}

impl From<IngestError> for DropInError {
    fn from(refused: IngestError) -> DropInError {
        Problem::from(refused).into()
    }
}

impl From<StoreError> for DropInError {
    fn from(error: StoreError) -> DropInError {
        Problem::from(error).into()
    }
}

impl IntoResponse for DropInError {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        response.extensions_mut().insert(self.details);
        response
    }
}

/// Whether a path belongs to this API, so that its errors have this API's shape.
#[must_use]
pub fn owns(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("api" | "health" | "ws")) && path.starts_with('/')
}

/// Gives errors of this API's paths its shape, whichever layer or route made them. It is around
/// every route.
pub async fn shape_errors(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let is_ours = owns(request.uri().path());
    let response = next.run(request).await;
    let status = response.status();
    if !is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    // Problems have some hundred bytes.
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message =
        problem["detail"].as_str().or(status.canonical_reason()).unwrap_or_default().to_string();
    reshape(&node, Response::from_parts(parts, Body::empty()), message)
}

/// Returns the answer to a request that is refused before it reaches the routes.
pub fn refusal(node: &Node, path: &str, problem: Problem) -> Response {
    if !owns(path) {
        return problem.into_response();
    }
    let message = problem.detail().to_string();
    reshape(node, problem.into_response(), message)
}

/// Replaces the body of an error. Its status, headers and extensions stay.
fn reshape(node: &Node, response: Response, message: String) -> Response {
    let (mut parts, _) = response.into_parts();
    let details =
        parts.extensions.remove::<ErrorDetails>().filter(|given| *given != ErrorDetails::default());
    let error = ErrorDetail { code: code_of(parts.status), message, details };
    let body = ErrorBody { success: false, error, timestamp: timestamp(node) };
    let (reshaped, body) = Json(body).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(reshaped.headers);
    Response::from_parts(parts, body)
}

/// Returns the stable code of a status.
pub fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
        StatusCode::PAYLOAD_TOO_LARGE => "PAYLOAD_TOO_LARGE",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
        StatusCode::UPGRADE_REQUIRED => "UPGRADE_REQUIRED",
        StatusCode::TOO_MANY_REQUESTS => "RATE_LIMITED",
        StatusCode::NOT_IMPLEMENTED => "NOT_IMPLEMENTED",
        StatusCode::SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
        status if status.is_client_error() => "VALIDATION_ERROR",
        _ => "INTERNAL_ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_it_by_its_first_segment() {
        for path in ["/api", "/api/", "/api/viewer/x", "/health", "/health/x", "/ws"] {
            assert!(owns(path), "{path}");
        }
        for path in ["/", "", "*", "/apix", "/healthz", "/v1/api/x", "/v1/ws", "//api/x", "api/x"] {
            assert!(!owns(path), "{path}");
        }
    }
}
