//! Watch time of viewers: the ledger's, and that proven since.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use housecount_core::ids::{StageId, ViewerId};
use housecount_core::ledger::watch::{StageViewer, WatchTime};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::RowPage;
use housecount_engine::internals::{Stores, WatchList};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::json_in_background;
use super::error::{Problem, ProblemBody};
use super::extract::{PageQuery, StageParam, ValidQuery, ViewerParam, asked_range};
use crate::node::Node;

/// Parameters of a range of time, and of a page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// Unix ms, RFC 3339 or a date (UTC), included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date (UTC), not included; now if not given.
    to: Option<String>,
    /// Largest number of rows: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
    /// The last page's `cursor`, to continue after it.
    cursor: Option<String>,
    /// Also returns the exact intervals.
    #[serde(default)]
    intervals: bool,
}

/// A span of proven time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WatchInterval)]
pub struct IntervalBody {
    /// Start in Unix ms, included.
    from: u64,
    /// End in Unix ms, not included.
    to: u64,
}

/// Proven watch time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WatchTime)]
#[serde(rename_all = "camelCase")]
pub struct WatchTimeBody {
    /// Milliseconds watched within the range.
    watch_ms: u64,
    /// Start of the first watch time, Unix ms.
    first_at: u64,
    /// End of the last watch time, Unix ms.
    last_at: u64,
    /// The exact intervals, with `intervals=true`.
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

/// Part of an answer that the ledger already has for good.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Coverage)]
#[serde(rename_all = "camelCase")]
pub struct CoverageBody {
    /// Start of the range, Unix ms.
    from: u64,
    /// End of the range, Unix ms, not included.
    to: u64,
    /// Time up to which the ledger has all proven time, Unix ms; 0 if nothing is committed yet.
    /// Watch time after it may still grow.
    committed_to: u64,
    /// Whether the ledger has the whole range.
    complete: bool,
    /// The setting `ttl`, ms. Only so long after a moment is it certain who was watching then. So
    /// figures for the last `ttlMs` of a range that ends now are too low.
    ttl_ms: u64,
}

impl CoverageBody {
    /// Creates the coverage of a range, given how far the ledger has it.
    pub fn new(node: &Node, range: Span, committed_to: UnixMs) -> CoverageBody {
        let (complete, ttl_ms) = (range.to <= committed_to, node.engine.settings.rules.ttl_ms);
        CoverageBody {
            from: range.from.0,
            to: range.to.0,
            committed_to: committed_to.0,
            complete,
            ttl_ms,
        }
    }
}

/// Watch time of a viewer.
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
    /// Watch times, sorted by viewer.
    watch: Vec<ViewerWatchTime>,
    /// Value to send for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Watch time of a viewer on a stage.
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
    /// Watch times, sorted by stage.
    watch: Vec<StageWatchTime>,
    /// Value to send for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Returns the stores that a scan reads.
///
/// # Errors
/// Returns a 501 `Problem` without a cold tier.
pub fn ledger_stores(node: &Node) -> Result<Stores, Problem> {
    let (cold, proofs) =
        node.engine.reads.as_ref().zip(node.engine.proofs.as_ref()).ok_or_else(Problem::no_cold)?;
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
    Ok(node.engine.scans.watch(stores, list, range, after, limit).await?)
}

/// Lists who watched a stage, and for how long.
///
/// Only proven time counts: between two heartbeats of a session at most `ttl` apart, and from the
/// last one to a leave. Several sessions of a viewer at once count once.
#[utoipa::path(get, path = "/v1/stages/{stage}/watch", operation_id = "listStageWatch", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), WatchQuery),
    responses((status = 200, body = StageWatchPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
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

/// Lists which stages a viewer watched, and for how long.
#[utoipa::path(get, path = "/v1/viewers/{viewer}/watch", operation_id = "listViewerWatch", tag = "operators",
    params(("viewer" = String, Path, description = "percent-encoded"), WatchQuery),
    responses((status = 200, body = ViewerWatchPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
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
