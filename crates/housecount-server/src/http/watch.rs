//! Watch time of viewers: the ledger's, and that proven since.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use housecount_core::ids::{StageId, ViewerId};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::RowPage;
use housecount_engine::internals::{Stores, WatchList};
use housecount_ledger::watch::{StageViewer, WatchFilter, WatchTime, WatchTotals};
use housecount_reports::filter::SpanFilter;
use housecount_reports::ranking::{RankedRow, RankingKey, RankingOf, RankingPage, RankingPlace};
use housecount_reports::read::{self, Covered, Sources};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::StageAccess;
use super::answer::json_in_background;
use super::by_label::{self, LabelWatchBody, WantedLabel, check_alone};
use super::error::{Problem, ProblemBody};
use super::extract::{
    PageQuery, PastStageParam, ValidQuery, ViewerParam, asked_range, bad_query, parse_range,
};
use super::report;
use super::sorting::{SortOrder, cursor, parse_cursor};
use crate::node::Node;

/// Key by which watch times are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum WatchSort {
    /// Id of the viewer.
    Viewer,
    /// Id of the stage.
    Stage,
    /// Watch time.
    WatchMs,
    /// End of the last watch time.
    LastAt,
}

/// Parameters of a list of a stage's viewers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StageWatchQuery {
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
    /// `viewer`, `watchMs` or `lastAt`; `viewer` if not given.
    #[param(inline)]
    sort: Option<WatchSort>,
    /// `asc` or `desc`; if not given, ids ascend and other keys descend.
    #[param(inline)]
    order: Option<SortOrder>,
    /// First characters of the viewers to list.
    viewer: Option<String>,
    /// Key of a label, such as country. The answer has a row per value of it, and no pages.
    by: Option<String>,
}

/// Parameters of a list of a viewer's stages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViewerWatchQuery {
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
    /// `stage`, `watchMs` or `lastAt`; `stage` if not given.
    #[param(inline)]
    sort: Option<WatchSort>,
    /// `asc` or `desc`; if not given, ids ascend and other keys descend.
    #[param(inline)]
    order: Option<SortOrder>,
}

/// Parameters of either list.
#[derive(Debug)]
struct WatchQuery {
    from: Option<String>,
    to: Option<String>,
    page: PageQuery,
    intervals: bool,
    ranking: RankingPage,
    /// Whether the rows are in another order than by ascending id, or only some of them.
    is_ranked: bool,
}

impl WatchQuery {
    /// Parses the parameters of a list whose rows have ids of this kind.
    fn parse(query: StageWatchQuery, by_id: WatchSort) -> Result<WatchQuery, Problem> {
        let StageWatchQuery { from, to, limit, cursor, intervals, sort, order, viewer, .. } = query;
        let key = match sort.unwrap_or(by_id) {
            WatchSort::WatchMs => RankingKey::WatchMs,
            WatchSort::LastAt => RankingKey::LastAt,
            id if id == by_id => RankingKey::Id,
            WatchSort::Stage => return Err(bad_query("sort=stage: this list has one stage")),
            WatchSort::Viewer => return Err(bad_query("sort=viewer: this list has one viewer")),
        };
        let is_descending = order.map_or(key != RankingKey::Id, |order| order == SortOrder::Desc);
        let is_ranked = key != RankingKey::Id || is_descending || viewer.is_some();
        if is_ranked && intervals {
            let why = "intervals=true needs the default order; leave out sort, order and viewer";
            return Err(bad_query(why));
        }
        let after = cursor.as_deref().filter(|_| is_ranked).map(parse_cursor).transpose()?;
        let after = after.map(|(value, id)| RankingPlace { value, id });
        let page = PageQuery::new(limit, cursor);
        let ranking = RankingPage { key, is_descending, after, limit: page.limit()? };
        Ok(WatchQuery { from, to, page, intervals, ranking, is_ranked })
    }
}

impl From<ViewerWatchQuery> for StageWatchQuery {
    fn from(query: ViewerWatchQuery) -> StageWatchQuery {
        let ViewerWatchQuery { from, to, limit, cursor, intervals, sort, order } = query;
        StageWatchQuery { from, to, limit, cursor, intervals, sort, order, viewer: None, by: None }
    }
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

    fn ranked(row: &RankedRow) -> WatchTimeBody {
        WatchTimeBody {
            watch_ms: row.watch_ms,
            first_at: row.first_at.0,
            last_at: row.last_at.0,
            intervals: None,
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

/// Returns a page of a list. If the caller may not see all of `sources`, no rows are kept for later
/// pages.
async fn rows(
    node: &Node,
    sources: Sources,
    query: &WatchQuery,
    stage: Option<&StageId>,
    viewer: Option<&ViewerId>,
    after: Option<StageViewer>,
) -> Result<RowPage<(StageViewer, WatchTime)>, Problem> {
    let stores = ledger_stores(node)?;
    let limit = query.page.limit()?;
    let (range, asked) = asked_range(node, query.from.as_deref(), query.to.as_deref())?;
    let (stage, viewer) = (stage.map(ToString::to_string), viewer.map(ToString::to_string));
    let intervals = query.intervals;
    if sources.filter.is_all() {
        let list = WatchList { range: asked, stage, viewer, intervals };
        return Ok(node.engine.scans.watch(stores, list, range, after, limit).await?);
    }
    let of = viewer.clone();
    let wanted = WatchFilter { stage, viewer, after, intervals, ..WatchFilter::default() };
    let totals = WatchTotals::new(range, wanted, limit);
    let scan = async move { sources.fold(range, of.as_deref(), totals, &mut |_| ()).await };
    let (totals, committed_to) = node.engine.scans.run(scan).await?;
    let (rows, more) = totals.finish();
    Ok(RowPage::of_rows(range, rows, more, committed_to))
}

/// Rows of a ranking, its cursor, and the coverage of its range.
type RankedPage = (Vec<RankedRow>, Option<String>, CoverageBody);

async fn ranked(
    node: &Node,
    sources: Sources,
    query: &WatchQuery,
    of: RankingOf,
) -> Result<RankedPage, Problem> {
    let range = parse_range(node, query.from.as_deref(), query.to.as_deref())?;
    let page = query.ranking.clone();
    let key = page.key;
    let read = async move { Ok(read::ranking(&sources, range, of, &page).await) };
    let Covered { value: (rows, more), committed_to } = node.engine.scans.run(read).await??;
    let last = rows.last().filter(|_| more);
    let cursor = last.map(|row| cursor(&(row.value(key), row.id.clone())));
    Ok((rows, cursor, CoverageBody::new(node, range, committed_to)))
}

/// Watch time by viewer, or with `by` by the values of a label.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema of two answers")]
enum StageWatchAnswer {
    Page(StageWatchPage),
    ByLabel(LabelWatchBody),
}

/// Lists who watched a stage, and for how long.
///
/// With `sort=watchMs` the longest watch time is first. A sorted list reads the whole range for
/// each page. A range with more than 1,000,000 viewers can't be sorted.
///
/// Only proven time counts: between two heartbeats of a session at most `ttl` apart, and from the
/// last one to a leave. Several sessions of a viewer at once count once.
#[utoipa::path(get, path = "/v1/stages/{stage}/watch", operation_id = "listStageWatch", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), StageWatchQuery),
    responses((status = 200, body = inline(StageWatchAnswer)),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_stage(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    PastStageParam { stage, filter }: PastStageParam,
    ValidQuery(mut query): ValidQuery<StageWatchQuery>,
) -> Result<Response, Problem> {
    let sources = report::sources(&node, filter)?;
    if let Some(wanted) = WantedLabel::parse(&node, &access, query.by.as_ref())? {
        check_alone(&[
            ("limit", query.limit.is_some()),
            ("cursor", query.cursor.is_some()),
            ("intervals", query.intervals),
            ("sort", query.sort.is_some()),
            ("order", query.order.is_some()),
            ("viewer", query.viewer.is_some()),
        ])?;
        let range = parse_range(&node, query.from.as_deref(), query.to.as_deref())?;
        return by_label::watch(&node, sources, range, Some(stage), wanted).await;
    }
    let prefix = query.viewer.clone().unwrap_or_default();
    query.viewer = query.viewer.filter(|prefix| !prefix.is_empty());
    let query = WatchQuery::parse(query, WatchSort::Viewer)?;
    if query.is_ranked {
        let stage = stage.to_string();
        let of = RankingOf::Viewers { stage: stage.clone(), prefix };
        let (rows, cursor, cover) = ranked(&node, sources, &query, of).await?;
        return json_in_background(move || {
            let watch = rows.iter().map(|row| ViewerWatchTime {
                viewer: row.id.clone(),
                watched: WatchTimeBody::ranked(row),
            });
            StageWatchPage { stage, watch: watch.collect(), cursor, cover }
        })
        .await;
    }
    let after =
        query.page.after(ViewerId::check)?.map(|viewer| (stage.as_str().into(), viewer.into()));
    let found = rows(&node, sources, &query, Some(&stage), None, after).await?;
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
    params(("viewer" = String, Path, description = "percent-encoded"), ViewerWatchQuery),
    responses((status = 200, body = ViewerWatchPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_viewer(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ViewerParam(viewer): ViewerParam,
    ValidQuery(query): ValidQuery<ViewerWatchQuery>,
) -> Result<Response, Problem> {
    let query = WatchQuery::parse(query.into(), WatchSort::Stage)?;
    let range = parse_range(&node, query.from.as_deref(), query.to.as_deref())?;
    let sources = report::sources(&node, SpanFilter::All)?;
    let sources = access.filter_all(&node, sources, range, Some(viewer.as_str())).await?;
    if query.is_ranked {
        let viewer = viewer.to_string();
        let of = RankingOf::Stages { viewer: viewer.clone() };
        let (rows, cursor, cover) = ranked(&node, sources, &query, of).await?;
        return json_in_background(move || {
            let watch = rows.iter().map(|row| StageWatchTime {
                stage: row.id.clone(),
                watched: WatchTimeBody::ranked(row),
            });
            ViewerWatchPage { viewer, watch: watch.collect(), cursor, cover }
        })
        .await;
    }
    let after =
        query.page.after(StageId::check)?.map(|stage| (stage.into(), viewer.as_str().into()));
    let found = rows(&node, sources, &query, None, Some(&viewer), after).await?;
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
