//! Reading bodies: always to their end, never more than their bound, never for ever.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use housecount_core::limits::BODY_READ_MS_MAX;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::Problem;

/// The whole body.
///
/// # Errors
/// 413 if it is longer than `bytes_max`, 408 if it takes too long, 400 if it breaks off.
pub async fn read(request: Request<Body>, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {bytes_max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let body = Limited::new(request.into_body(), bytes_max);
    let read = tokio::time::timeout(Duration::from_millis(BODY_READ_MS_MAX), body.collect());
    match read.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "body_truncated", "the body breaks off")),
        Err(_) => {
            let detail = format!("the body took longer than {BODY_READ_MS_MAX} ms");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail))
        }
    }
}

/// The body as JSON.
///
/// # Errors
/// 415 for another content type, 400 for what doesn't fit.
pub async fn read_json<T: DeserializeOwned>(request: Request<Body>, bytes_max: usize) -> Result<T, Problem> {
    content_type(request.headers(), &["application/json", "text/plain"])?;
    let bytes = read(request, bytes_max).await?;
    check_object(&bytes)?;
    serde_json::from_slice(&bytes).map_err(|e| Problem::body(format!("the body is not as it should be: {e}")))
}

/// serde would also take an array for a struct's fields in their order, which nobody means.
///
/// # Errors
/// 400 if it is no object.
pub fn check_object(bytes: &[u8]) -> Result<(), Problem> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') | None => Ok(()), // serde has a word for an empty one
        Some(_) => Err(Problem::body("the body is no JSON object")),
    }
}

/// The body's content type, without parameters, if it is one of `allowed`. A missing one is the first.
/// `text/plain` is allowed wherever `navigator.sendBeacon` may call, which can't send another one.
///
/// # Errors
/// 415 for any other.
pub fn content_type(headers: &HeaderMap, allowed: &[&'static str]) -> Result<&'static str, Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(allowed.first().unwrap_or(&"")) };
    let given = given.to_str().unwrap_or("?");
    let essence = given.split(';').next().unwrap_or_default().trim();
    allowed.iter().find(|a| a.eq_ignore_ascii_case(essence)).copied().ok_or_else(|| {
        let detail = format!("content-type `{given}` is not one of {}", allowed.join(", "));
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    })
}
