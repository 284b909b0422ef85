//! Paths, queries and times out of requests, with our errors.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use housecount_core::ids::{IdError, StageId, ViewerId};
use housecount_core::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::Problem;
use crate::calendar;
use crate::ingest::Refused;
use crate::node::Node;

fn bad_path(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_path", detail)
}

/// Whether every `%` starts a percent-encoded byte. What doesn't would be taken literally, and name
/// another stage than the caller meant.
///
/// # Errors
/// 400 that says where.
pub fn check_percent_encoding(path: &str) -> Result<(), Problem> {
    let bytes = path.as_bytes();
    let is_bad = |at: usize| {
        let hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
        bytes[at] == b'%' && !(hex(at + 1) && hex(at + 2))
    };
    match (0..bytes.len()).find(|at| is_bad(*at)) {
        Some(at) => Err(bad_path(format!("the path's percent-encoding is broken at byte {at}"))),
        None => Ok(()),
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let Path(text) = Path::<String>::from_request_parts(parts, state)
        .await
        .map_err(|_| bad_path("the path is not UTF-8 once it is percent-decoded"))?;
    Ok(text)
}

/// A stage in the path, percent-encoded.
pub struct StagePath(pub StageId);

impl<S: Send + Sync> FromRequestParts<S> for StagePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<StagePath, Problem> {
        Ok(StagePath(StageId::parse(&path_text(parts, state).await?)?))
    }
}

/// A viewer in the path, percent-encoded, under the name that is kept.
pub struct ViewerPath(pub ViewerId);

impl FromRequestParts<Arc<Node>> for ViewerPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<ViewerPath, Problem> {
        let asked = path_text(parts, node).await?;
        ViewerId::check(&asked)?;
        Ok(ViewerPath(ViewerId::parse(&node.edge.names.asked(asked.into()))?))
    }
}

/// The query, parsed.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        let Query(query) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|e| bad_query(format!("the query is not as it should be: {}", e.body_text())))?;
        Ok(Asked(query))
    }
}

/// A query that can't be answered.
pub fn bad_query(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Rows at most: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
    /// The last page's `cursor`, to go on behind it.
    cursor: Option<String>,
}

impl PageQuery {
    /// A page of a list whose query has more in it.
    #[must_use]
    pub fn new(limit: Option<usize>, cursor: Option<String>) -> PageQuery {
        PageQuery { limit, cursor }
    }

    /// Rows at most.
    ///
    /// # Errors
    /// 400 if it is out of bounds.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(PAGE_ROWS_DEFAULT);
        if (1..=PAGE_ROWS_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(bad_query(format!("limit={limit} is not from 1 to {PAGE_ROWS_MAX}")))
    }

    /// Behind which id to go on.
    ///
    /// # Errors
    /// 400 if it is none that a page could have ended with.
    pub fn after(&self, rule: fn(&str) -> Result<(), IdError>) -> Result<Option<&str>, Problem> {
        let Some(cursor) = self.cursor.as_deref() else { return Ok(None) };
        rule(cursor).map_err(|_| bad_query("cursor is not one that an earlier page gave"))?;
        Ok(Some(cursor))
    }
}

/// A moment in a query: Unix milliseconds or RFC 3339.
///
/// # Errors
/// 400 that names the parameter.
pub fn moment(name: &str, text: &str) -> Result<UnixMs, Problem> {
    let expected = "neither Unix milliseconds nor RFC 3339, such as 2026-10-01T12:00:00Z";
    calendar::parse(text).ok_or_else(|| bad_query(format!("{name}={text} is {expected}")))
}

/// How far back to look when the caller doesn't say.
const RANGE_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

/// From a moment to another, which is not part of it: a day before `to`, and now, if not given.
///
/// # Errors
/// 400 if one is no moment, or the range is empty.
pub fn range(node: &Node, from: Option<&str>, to: Option<&str>) -> Result<Span, Problem> {
    let now = node.clock.now().ok_or(Refused::Starting)?;
    let to = to.map_or(Ok(now), |text| moment("to", text))?;
    let from = from.map_or(Ok(to.minus(RANGE_MS_DEFAULT)), |text| moment("from", text))?;
    if from < to {
        return Ok(Span::new(from, to));
    }
    Err(bad_query(format!("from={from} is not before to={to}")))
}

/// A duration in a query, such as 30s or 5m.
///
/// # Errors
/// 400 that names the parameter.
pub fn duration_ms(name: &str, text: &str, min_ms: u64) -> Result<u64, Problem> {
    let parsed = humantime::parse_duration(text).ok().and_then(|d| u64::try_from(d.as_millis()).ok());
    let expected = "not a duration of at least a second, such as 30s, 5m or 1h";
    parsed.filter(|ms| *ms >= min_ms).ok_or_else(|| bad_query(format!("{name}={text} is {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(moment("from", "1790000000123"), Ok(UnixMs(1_790_000_000_123)));
        assert_eq!(moment("from", "2026-09-21T14:13:20.123Z"), Ok(UnixMs(1_790_000_000_123)));
        assert_eq!(moment("from", "2026-09-21T16:13:20.123+02:00"), Ok(UnixMs(1_790_000_000_123)));
        assert!(moment("from", "yesterday").unwrap_err().detail().contains("from=yesterday"));
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
