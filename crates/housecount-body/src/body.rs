//! Reading of bodies: always to their end, within a bound of bytes and of time.
//!
//! A body is JSON, plain or gzip (`gzip`), and may begin with a byte-order mark. `unread` reads
//! what a handler leaves unread.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::{Buf, Bytes, BytesMut};
use housecount_core::limits::BODY_READ_MS_MAX;
use http_body_util::BodyExt;
use hyper::body::Body;
use serde::de::DeserializeOwned;

use crate::gzip::{self, Coding};
use housecount_problem::Problem;

/// UTF-8's byte-order mark, which some editors and .NET put in front of a text.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Returns the whole text of a body, decompressed and without a byte-order mark. Whether it is
/// UTF-8 is not checked.
///
/// # Errors
/// Returns a 413 `Problem` if it is longer than `bytes_max`, compressed or not. Returns a 408 one
/// if it takes too long. Returns a 400 one if it breaks off, or is not coded as `coding` names.
pub async fn read<B>(body: B, coding: Coding, bytes_max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut text = read_raw(body, bytes_max).await?;
    if coding == Coding::Gzip {
        // In a box, since most bodies are plain.
        text = Box::pin(gzip::decode(&text, bytes_max)).await?;
    }
    if text.starts_with(BOM) {
        text.advance(BOM.len());
    }
    Ok(text)
}

async fn read_raw<B>(body: B, bytes_max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = std::pin::pin!(collect(body, bytes_max));
    // Most bodies come together with their headers, and need no timer.
    if let Poll::Ready(read) = poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await {
        return read;
    }
    // In a box, since most bodies need none.
    match Box::pin(tokio::time::timeout(Duration::from_millis(BODY_READ_MS_MAX), whole)).await {
        Ok(read) => read,
        Err(_) => Err(too_slow()),
    }
}

fn too_slow() -> Problem {
    let detail = format!("the body took longer than {BODY_READ_MS_MAX} ms");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
}

fn is_broken<E>(_: E) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "body_truncated", "the body is truncated")
}

/// Joins the pieces of a body.
async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = Bytes::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(piece) = frame.map_err(is_broken)?.into_data() else { continue };
        if whole.len() + piece.len() > bytes_max {
            let detail = format!("the body is larger than {bytes_max} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
        whole = if whole.is_empty() {
            piece
        } else {
            let mut joined = BytesMut::from(whole);
            joined.extend_from_slice(&piece);
            joined.freeze()
        };
    }
    Ok(whole)
}

/// Reads the body as JSON.
///
/// # Errors
/// Returns a 415 `Problem` for another content type, and a 400 one for a body that does not fit.
pub async fn read_json<T: DeserializeOwned>(
    request: Request<axum::body::Body>,
    bytes_max: usize,
) -> Result<T, Problem> {
    content_type(request.headers(), &["application/json", "text/plain"])?;
    let coding = Coding::of(request.headers())?;
    let bytes = read(request.into_body(), coding, bytes_max).await?;
    check_object(&bytes)?;
    serde_json::from_slice(&bytes).map_err(|e| Problem::body(format!("invalid body: {e}")))
}

/// Checks that a body is an object. Otherwise serde would also read an array as a struct's fields
/// in their order, which no caller means.
///
/// # Errors
/// Returns a 400 `Problem` if it is not an object.
pub fn check_object(bytes: &[u8]) -> Result<(), Problem> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') | None => Ok(()), // serde reports an empty one
        Some(_) => Err(Problem::body("the body is not a JSON object")),
    }
}

/// Refuses a POST or PATCH whose body is not declared as JSON. A missing content type is refused
/// too: pages of other sites may send a body without one, or as text, without a CORS preflight. An
/// empty body needs no type, in whichever way its length is given.
///
/// # Errors
/// Returns a 415 `Problem` for any other type. Returns a 408 or 400 one if a body of another type
/// never begins.
pub async fn check_content_type_json(
    request: Request<axum::body::Body>,
) -> Result<Request<axum::body::Body>, Problem> {
    let changes = matches!(*request.method(), Method::POST | Method::PATCH);
    if !changes || request.body().is_end_stream() {
        return Ok(request);
    }
    let kind = match request.headers().contains_key(header::CONTENT_TYPE) {
        true => content_type(request.headers(), &["application/json"]).map(drop),
        false => Err(unsupported("content-type is missing; send application/json".to_string())),
    };
    let Err(problem) = kind else { return Ok(request) };
    let (parts, mut body) = request.into_parts();
    let begins = tokio::time::timeout(Duration::from_millis(BODY_READ_MS_MAX), has_data(&mut body));
    match Box::pin(begins).await.map_err(|_| too_slow())?? {
        true => Err(problem),
        false => Ok(Request::from_parts(parts, axum::body::Body::empty())),
    }
}

/// Whether a body has any bytes. Of a body in chunks or over HTTP/2, that is known only after a
/// read.
async fn has_data(body: &mut axum::body::Body) -> Result<bool, Problem> {
    while let Some(frame) = body.frame().await {
        if frame.map_err(is_broken)?.data_ref().is_some_and(|data| !data.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unsupported(detail: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// Returns the body's content type, without parameters, if it is one of `allowed`. A missing one
/// counts as the first. `text/plain` is allowed wherever `navigator.sendBeacon` may call, since
/// that can send no other type.
///
/// # Errors
/// Returns a 415 `Problem` for any other type.
pub fn content_type(
    headers: &HeaderMap,
    allowed: &[&'static str],
) -> Result<&'static str, Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(allowed.first().unwrap_or(&""));
    };
    // Most requests send exactly that.
    if let Some(same) = allowed.iter().find(|a| a.as_bytes() == given.as_bytes()) {
        return Ok(same);
    }
    let given = given.to_str().unwrap_or("?");
    let essence = given.split(';').next().unwrap_or_default().trim();
    allowed.iter().find(|a| a.eq_ignore_ascii_case(essence)).copied().ok_or_else(|| {
        unsupported(format!(
            "content-type `{given}` is not supported; send {}",
            allowed.join(" or ")
        ))
    })
}
