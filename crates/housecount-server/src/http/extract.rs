//! Paths, queries and times of requests, parsed with this API's errors.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use housecount_core::ids::{IdError, StageId, ViewerId};
use housecount_core::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::AskedRange;
use housecount_engine::internals::IngestError;
use housecount_reports::filter::SpanFilter;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::access::StageAccess;
use super::error::Problem;
use super::query;
use crate::calendar;
use crate::node::Node;

fn bad_path(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_path", detail)
}

/// Returns the position of a `%` that starts no percent-encoded byte. Decoders keep such a `%` as
/// it is, so the path would name another stage than the caller meant.
#[must_use]
pub fn broken_escape(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..bytes.len()).find(|at| bytes[*at] == b'%' && !(hex(at + 1) && hex(at + 2)))
}

/// Checks a path's percent-encoding.
///
/// # Errors
/// Returns a 400 `Problem` that names the byte where it is broken.
pub fn check_percent_encoding(path: &str) -> Result<(), Problem> {
    match broken_escape(path) {
        Some(at) => Err(bad_path(format!("the path's percent-encoding is broken at byte {at}"))),
        None => Ok(()),
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    text_in_path(parts, state).await?.ok_or_else(|| bad_path("the path has no id"))
}

/// Returns the decoded parameter of a path; `None` on a route without one.
async fn text_in_path<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<Option<String>, Problem> {
    let parameters = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| bad_path("the path is not UTF-8 after percent-decoding"))?;
    Ok(parameters.iter().next().map(|(_, value)| value.to_string()))
}

/// Returns the decoded value of a parameter in the path or, on a route without one, in the query.
/// `code` is the code of the error if it is missing.
async fn text_in_path_or_query<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &'static str,
    code: &'static str,
) -> Result<String, Problem> {
    if let Some(text) = text_in_path(parts, state).await? {
        return Ok(text);
    }
    for pair in query::pairs(parts.uri.query().unwrap_or_default()) {
        let (given, value) = pair?;
        if given == name {
            return Ok(value.into_owned());
        }
    }
    let detail = format!("{name} is missing; send it as {}?{name}=", parts.uri.path());
    Err(Problem::new(StatusCode::BAD_REQUEST, code, detail))
}

/// The stage that a call names in its path or, because proxies decode `%2F`, in its query. The
/// sender may see what it is now.
pub struct StageParam(pub StageId);

impl FromRequestParts<Arc<Node>> for StageParam {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        node: &Arc<Node>,
    ) -> Result<StageParam, Problem> {
        let (access, stage) = named_stage(parts, node).await?;
        access.check_now(node, &stage).await?;
        Ok(StageParam(stage))
    }
}

/// The stage that a call names, for its past.
pub struct PastStageParam {
    /// The stage.
    pub stage: StageId,
    /// Part of its time that the sender may see.
    pub filter: SpanFilter,
}

impl FromRequestParts<Arc<Node>> for PastStageParam {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        node: &Arc<Node>,
    ) -> Result<PastStageParam, Problem> {
        let (access, stage) = named_stage(parts, node).await?;
        let filter = access.filter_of_stage(node, &stage).await?;
        Ok(PastStageParam { stage, filter })
    }
}

async fn named_stage(
    parts: &mut Parts,
    node: &Arc<Node>,
) -> Result<(StageAccess, StageId), Problem> {
    let text = text_in_path_or_query(parts, node, "stage", "invalid_stage").await?;
    Ok((StageAccess::of_guarded(&parts.extensions)?, StageId::parse(&text)?))
}

/// The viewer that a call of `/v1` names in its path or its query, as the node stores it.
pub struct ViewerParam(pub ViewerId);

impl FromRequestParts<Arc<Node>> for ViewerParam {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        node: &Arc<Node>,
    ) -> Result<ViewerParam, Problem> {
        let text = text_in_path_or_query(parts, node, "viewer", "invalid_viewer").await?;
        Ok(ViewerParam(kept(node, text)?))
    }
}

/// A viewer in the path, percent-encoded, as the node stores it.
pub struct ViewerPath(pub ViewerId);

impl FromRequestParts<Arc<Node>> for ViewerPath {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        node: &Arc<Node>,
    ) -> Result<ViewerPath, Problem> {
        Ok(ViewerPath(kept(node, path_text(parts, node).await?)?))
    }
}

/// Returns the viewer as the node stores it: with `viewer_ids = "hashed"`, as its pseudonym.
fn kept(node: &Node, asked: String) -> Result<ViewerId, Problem> {
    ViewerId::check(&asked)?;
    Ok(ViewerId::parse(&node.admission.names.resolve(asked.into()))?)
}

/// The query, parsed.
pub struct ValidQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ValidQuery<T>, Problem> {
        let Query(query) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|e| bad_query(format!("invalid query: {}", e.body_text())))?;
        Ok(ValidQuery(query))
    }
}

/// Creates the problem of a query that cannot be answered.
pub fn bad_query(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// Parameters of a page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Largest number of rows: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
    /// The last page's `cursor`, to continue after it.
    cursor: Option<String>,
}

impl PageQuery {
    /// Creates the parameters of a page from a query with further parameters.
    #[must_use]
    pub fn new(limit: Option<usize>, cursor: Option<String>) -> PageQuery {
        PageQuery { limit, cursor }
    }

    /// Returns the largest number of rows.
    ///
    /// # Errors
    /// Returns a 400 `Problem` if it is out of bounds.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(PAGE_ROWS_DEFAULT);
        if (1..=PAGE_ROWS_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(bad_query(format!("limit={limit} is not from 1 to {PAGE_ROWS_MAX}")))
    }

    /// Returns the cursor as sent.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Returns the id after which the page starts.
    ///
    /// # Errors
    /// Returns a 400 `Problem` if no page could have ended with it.
    pub fn after(&self, rule: fn(&str) -> Result<(), IdError>) -> Result<Option<&str>, Problem> {
        let Some(cursor) = self.cursor.as_deref() else { return Ok(None) };
        rule(cursor)
            .map_err(|_| bad_query("unknown cursor; send one that an earlier page returned"))?;
        Ok(Some(cursor))
    }
}

/// Parses a moment in a query: Unix milliseconds, RFC 3339 or a date, not before 2001-01-01.
///
/// # Errors
/// Returns a 400 `Problem` that names the parameter and what is wrong with it.
pub fn parse_time(name: &str, text: &str) -> Result<UnixMs, Problem> {
    // Decoding turns a `+` of a query into a space.
    let hint = if text.contains(' ') { "; write + as %2B in a query" } else { "" };
    calendar::parse(text).map_err(|error| bad_query(format!("{name}={text} {error}{hint}")))
}

/// Length of the range if the caller gives none.
const RANGE_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

/// Parses a range from one moment to another, which is not part of it. The defaults are a day
/// before `to`, and now.
///
/// # Errors
/// Returns a 400 `Problem` if one is not a moment, or the range is empty. Returns a 503 one while
/// the node has not read the log's clock.
pub fn parse_range(node: &Node, from: Option<&str>, to: Option<&str>) -> Result<Span, Problem> {
    let (from, to) = from_to(node, from, to)?;
    if from < to {
        return Ok(Span::new(from, to));
    }
    Err(bad_query(format!("from={from} is not before to={to}")))
}

/// Returns a range with its ends filled in, and as the caller gave it.
///
/// # Errors
/// Returns the errors of [`parse_range`].
pub fn asked_range(
    node: &Node,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(Span, AskedRange), Problem> {
    let range = parse_range(node, from, to)?;
    Ok((range, AskedRange { from: from.map(|_| range.from), to: to.map(|_| range.to) }))
}

/// Parses a range whose `to` is part of it, so that both ends may be one moment.
///
/// # Errors
/// Returns a 400 `Problem` if one is not a moment, or `from` is after `to`. Returns a 503 one while
/// the node has not read the log's clock.
pub fn closed_range(
    node: &Node,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(UnixMs, UnixMs), Problem> {
    let (from, to) = from_to(node, from, to)?;
    if from <= to {
        return Ok((from, to));
    }
    Err(bad_query(format!("from={from} is after to={to}")))
}

fn from_to(node: &Node, from: Option<&str>, to: Option<&str>) -> Result<(UnixMs, UnixMs), Problem> {
    let now = node.engine.clock.now().ok_or(IngestError::Starting)?;
    let to = to.map_or(Ok(now), |text| parse_time("to", text))?;
    let from = from.map_or(Ok(to.minus(RANGE_MS_DEFAULT)), |text| parse_time("from", text))?;
    Ok((from, to))
}

/// Parses a duration in a query, such as 30s or 5m.
///
/// # Errors
/// Returns a 400 `Problem` that names the parameter.
pub fn duration_ms(name: &str, text: &str, min_ms: u64) -> Result<u64, Problem> {
    let parsed =
        humantime::parse_duration(text).ok().and_then(|d| u64::try_from(d.as_millis()).ok());
    let expected = "not a duration of at least a second, such as 30s, 5m or 1h";
    parsed
        .filter(|ms| *ms >= min_ms)
        .ok_or_else(|| bad_query(format!("{name}={text} is {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(parse_time("from", "1790000000123"), Ok(UnixMs(1_790_000_000_123)));
        assert_eq!(parse_time("from", "2026-09-21T14:13:20.123Z"), Ok(UnixMs(1_790_000_000_123)));
        assert_eq!(
            parse_time("from", "2026-09-21T16:13:20.123+02:00"),
            Ok(UnixMs(1_790_000_000_123))
        );
        for (text, part) in [
            ("yesterday", "from=yesterday is neither RFC 3339"),
            ("1795948578", "seconds; send milliseconds, not seconds: 1795948578000"),
            ("20261301", "from=20261301 is not a date"),
            ("2026-09-21T16:13:20 02:00", "write + as %2B"),
        ] {
            let problem = parse_time("from", text).unwrap_err();
            assert!(problem.detail().contains(part), "{text}: {problem:?}");
        }
    }

    #[test]
    fn percent_encoding() {
        assert!(check_percent_encoding("/v1/stages/a%2Fb%C3%A9").is_ok());
        for bad in ["/a%", "/a%2", "/a%zz", "/%2/"] {
            assert!(check_percent_encoding(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn page_rows_max() {
        let page = |limit| PageQuery { limit, cursor: None }.limit();
        assert_eq!((page(None), page(Some(1_000))), (Ok(100), Ok(1_000)));
        assert!(page(Some(0)).is_err() && page(Some(1_001)).is_err());
    }
}
