//! Who watched how long: the ledger, and what is proven since.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use housecount_core::ids::{StageId, ViewerId};
use housecount_core::ledger::watch::{StageViewer, WatchTime};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::json_in_background;
use super::error::{Problem, ProblemBody};
use super::extract::{PageQuery, StageParam, ValidQuery, ViewerParam, asked_range};
use crate::ledger::rows::RowPage;
use crate::ledger::scans::{Stores, WatchList};
use crate::node::Node;

/// A range of time and a page of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// Unix ms, RFC 3339 or a date (UTC), included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date (UTC), not included; now if not given.
    to: Option<String>,
    /// Rows at most: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
    /// The last page's `cursor`, to go on behind it.
    cursor: Option<String>,
    /// Also when exactly.
    #[serde(default)]
    intervals: bool,
}

/// A span of proven time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WatchInterval)]
pub struct IntervalBody {
    /// Unix ms, included.
    from: u64,
    /// Unix ms, not included.
    to: u64,
}

/// Proven time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WatchTime)]
#[serde(rename_all = "camelCase")]
pub struct WatchTimeBody {
    /// Milliseconds watched within the range.
    watch_ms: u64,
    /// When the first of it began, Unix ms.
    first_at: u64,
    /// When the last of it ended, Unix ms.
    last_at: u64,
    /// When exactly, with `intervals=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    intervals: Option<Vec<IntervalBody>>,
}

impl WatchTimeBody {
    fn new(row: &WatchTime, intervals: bool) -> WatchTimeBody {
        let spans =
            row.intervals.iter().map(|span| IntervalBody { from: span.from.0, to: span.to.0 });
        WatchTimeBody {
            watch_ms: row.watch_ms,
            first_at: row.first_at.0,
            last_at: row.last_at.0,
            intervals: intervals.then(|| spans.collect()),
        }
    }
}

/// How far an answer is written for good.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cover)]
#[serde(rename_all = "camelCase")]
pub struct CoverageBody {
    /// The range, Unix ms.
    from: u64,
    /// Its end, not included.
    to: u64,
    /// Up to when the ledger has what was proven; 0 if nothing is committed yet. What lies after it
    /// may still grow.
    committed_to: u64,
    /// Whether the ledger has the whole range.
    complete: bool,
    /// The setting `ttl`, ms: so long after a moment it is known for sure who was watching then.
    /// What lies in the last `ttlMs` of a range that ends now is too low.
    ttl_ms: u64,
}

impl CoverageBody {
    /// Of a range, as far as the ledger has it.
    pub fn new(node: &Node, range: Span, committed_to: UnixMs) -> CoverageBody {
        let (complete, ttl_ms) = (range.to <= committed_to, node.settings.rules.ttl_ms);
        CoverageBody {
            from: range.from.0,
            to: range.to.0,
            committed_to: committed_to.0,
            complete,
            ttl_ms,
        }
    }
}

/// A viewer's time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ViewerWatch)]
pub struct ViewerWatchTime {
    /// The viewer.
    viewer: String,
    #[serde(flatten)]
    watched: WatchTimeBody,
}

/// A stage's watch time, by viewer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageWatchResponse)]
pub struct StageWatchPage {
    /// The stage.
    stage: String,
    /// Sorted by viewer.
    watch: Vec<ViewerWatchTime>,
    /// To be given back for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// A viewer's time on a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageWatch)]
pub struct StageWatchTime {
    /// The stage.
    stage: String,
    #[serde(flatten)]
    watched: WatchTimeBody,
}

/// A viewer's watch time, by stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ViewerWatchResponse)]
pub struct ViewerWatchPage {
    /// The viewer.
    viewer: String,
    /// Sorted by stage.
    watch: Vec<StageWatchTime>,
    /// To be given back for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// The stores that a scan reads.
///
/// # Errors
/// 501 if nothing is kept.
pub fn ledger_stores(node: &Node) -> Result<Stores, Problem> {
    let (cold, proofs) =
        node.reads.as_ref().zip(node.proofs.as_ref()).ok_or_else(Problem::no_cold)?;
    Ok(Stores { cold: cold.clone(), proofs: proofs.clone() })
}

async fn rows(
    node: &Node,
    query: &WatchQuery,
    stage: Option<&StageId>,
    viewer: Option<&ViewerId>,
    after: Option<StageViewer>,
) -> Result<RowPage<(StageViewer, WatchTime)>, Problem> {
    let stores = ledger_stores(node)?;
    let limit = PageQuery::new(query.limit, None).limit()?;
    let (range, asked) = asked_range(node, query.from.as_deref(), query.to.as_deref())?;
    let list = WatchList {
        range: asked,
        stage: stage.map(ToString::to_string),
        viewer: viewer.map(ToString::to_string),
        intervals: query.intervals,
    };
    Ok(node.scans.watch(stores, list, range, after, limit).await?)
}

/// Who watched a stage, and how long.
///
/// Proven time only: between two heartbeats of a session at most `ttl` apart, and from the last one
/// to a leave. Several sessions of a viewer at once count once.
#[utoipa::path(get, path = "/v1/stages/{stage}/watch", operation_id = "listStageWatch", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), WatchQuery),
    responses((status = 200, body = StageWatchPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "cold = none", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_stage(
    State(node): State<Arc<Node>>,
    StageParam(stage): StageParam,
    ValidQuery(query): ValidQuery<WatchQuery>,
) -> Result<Response, Problem> {
    let page = PageQuery::new(query.limit, query.cursor.clone());
    let after = page.after(ViewerId::check)?.map(|viewer| (stage.as_str().into(), viewer.into()));
    let found = rows(&node, &query, Some(&stage), None, after).await?;
    let cover = CoverageBody::new(&node, found.range, found.committed_to);
    json_in_background(move || {
        let last = found.rows().last().filter(|_| found.more);
        let cursor = last.map(|((_, viewer), _)| viewer.to_string());
        let watch = found.rows().iter().map(|((_, viewer), row)| ViewerWatchTime {
            viewer: viewer.to_string(),
            watched: WatchTimeBody::new(row, query.intervals),
        });
        StageWatchPage { stage: stage.to_string(), watch: watch.collect(), cursor, cover }
    })
    .await
}

/// Where a viewer watched, and how long.
#[utoipa::path(get, path = "/v1/viewers/{viewer}/watch", operation_id = "listViewerWatch", tag = "operators",
    params(("viewer" = String, Path, description = "percent-encoded"), WatchQuery),
    responses((status = 200, body = ViewerWatchPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "cold = none", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_viewer(
    State(node): State<Arc<Node>>,
    ViewerParam(viewer): ViewerParam,
    ValidQuery(query): ValidQuery<WatchQuery>,
) -> Result<Response, Problem> {
    let page = PageQuery::new(query.limit, query.cursor.clone());
    let after = page.after(StageId::check)?.map(|stage| (stage.into(), viewer.as_str().into()));
    let found = rows(&node, &query, None, Some(&viewer), after).await?;
    let cover = CoverageBody::new(&node, found.range, found.committed_to);
    json_in_background(move || {
        let last = found.rows().last().filter(|_| found.more);
        let cursor = last.map(|((stage, _), _)| stage.to_string());
        let watch = found.rows().iter().map(|((stage, _), row)| StageWatchTime {
            stage: stage.to_string(),
            watched: WatchTimeBody::new(row, query.intervals),
        });
        ViewerWatchPage { viewer: viewer.to_string(), watch: watch.collect(), cursor, cover }
    })
    .await
}
