//! Concurrency over time, of a stage and of all stages, and watch time by stage.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use housecount_core::ids::StageId;
use housecount_core::limits::{HISTORY_STEPS_MAX, PAGE_STEPS_MAX};
use housecount_core::span::Span;
use housecount_engine::internals::{RowPage, StageList};
use housecount_ledger::curve::Curve;
use housecount_ledger::totals::{StageTotal, StageTotals};
use housecount_reports::filter::SpanFilter;
use housecount_reports::labelled::LabelTotals;
use housecount_reports::read::Sources;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::StageAccess;
use super::answer::json_in_background;
use super::by_label::{self, LabelWatchBody, WantedLabel, check_alone};
use super::error::{Problem, ProblemBody};
use super::extract::{
    PageQuery, PastStageParam, ValidQuery, asked_range, duration_ms, parse_range,
};
use super::report::sources;
use super::watch::{CoverageBody, ledger_stores};
use crate::node::Node;

/// Largest number of steps of a history if the caller gives no length.
const STEPS_DEFAULT: u64 = 500;

/// Parameters of a range of time in steps.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Unix ms, RFC 3339 or a date (UTC), included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date (UTC), not included; now if not given.
    to: Option<String>,
    /// Length of a step, such as 30s, 5m or 1h; at least 1s. If not given, the shortest that makes
    /// at most 500 steps.
    step: Option<String>,
    /// Key of a label, such as country. Adds the figures of each of its values.
    by: Option<String>,
}

/// Concurrency over a step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryStep)]
pub struct StepBody {
    /// Start of the step, Unix ms.
    at: u64,
    /// Average number of viewers.
    avg: f64,
    /// Smallest number of viewers at once.
    min: u64,
    /// Largest number of viewers at once.
    max: u64,
}

/// Concurrency, step by step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryResponse)]
#[serde(rename_all = "camelCase")]
pub struct HistoryBody {
    /// The stage; missing for all stages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// Length of a step; the first and the last step may be shorter.
    step_ms: u64,
    /// Steps in order of time, aligned to the epoch.
    history: Vec<StepBody>,
    /// The same by label; only with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<LabelTotals>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Shows how many viewers watched a stage at once.
///
/// The figures are exact, from proven time. So they differ from the live count. They leave out
/// viewers with fewer than two heartbeats, and the time after a viewer's last heartbeat.
#[utoipa::path(get, path = "/v1/stages/{stage}/history", operation_id = "showStageHistory", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), HistoryQuery),
    responses((status = 200, body = HistoryBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_stage(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    PastStageParam { stage, filter }: PastStageParam,
    ValidQuery(query): ValidQuery<HistoryQuery>,
) -> Result<Response, Problem> {
    let range = parse_range(&node, query.from.as_deref(), query.to.as_deref())?;
    let wanted = WantedLabel::parse(&node, &access, query.by.as_ref())?;
    history(&node, sources(&node, filter)?, range, &query, Some(stage), wanted).await
}

/// Shows how many viewers watched all stages at once.
///
/// This is the sum of the stages' histories. A viewer on two stages at once counts on both, as both
/// are billed.
#[utoipa::path(get, path = "/v1/history", operation_id = "showHistory", tag = "operators", params(HistoryQuery),
    responses((status = 200, body = HistoryBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_all(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<HistoryQuery>,
) -> Result<Response, Problem> {
    let range = parse_range(&node, query.from.as_deref(), query.to.as_deref())?;
    let wanted = WantedLabel::parse(&node, &access, query.by.as_ref())?;
    let sources = sources(&node, SpanFilter::All)?;
    let sources = access.filter_all(&node, sources, range, None).await?;
    history(&node, sources, range, &query, None, wanted).await
}

async fn history(
    node: &Node,
    sources: Sources,
    range: Span,
    query: &HistoryQuery,
    stage: Option<StageId>,
    wanted: Option<WantedLabel>,
) -> Result<Response, Problem> {
    let step_ms = match &query.step {
        Some(text) => duration_ms("step", text, 1_000)?,
        // Whole windows, so that steps look the same from call to call.
        None => range.ms().div_ceil(STEPS_DEFAULT).next_multiple_of(node.engine.settings.window_ms),
    };
    check_steps(range, step_ms, HISTORY_STEPS_MAX)?;
    let by = match wanted {
        Some(wanted) => {
            let sources = sources.clone();
            let totals = wanted.totals(node, sources, range, stage.as_ref(), Some(step_ms));
            Some(totals.await?.0)
        }
        None => None,
    };
    let stage = stage.map(|stage| stage.to_string());
    let curve = Curve::new(range, step_ms, stage.clone());
    let scan = async move { sources.fold(range, None, curve, &mut |_| ()).await };
    let (curve, committed_to) = node.engine.scans.run(scan).await?;
    let cover = CoverageBody::new(node, range, committed_to);
    json_in_background(move || {
        let history = curve.finish().into_iter().map(|step| StepBody {
            at: step.span.from.0,
            avg: average(step.integral_ms, step.span),
            min: step.min,
            max: step.max,
        });
        HistoryBody { stage, step_ms, history: history.collect(), by, cover }
    })
    .await
}

fn average(integral_ms: u64, span: Span) -> f64 {
    integral_ms as f64 / span.ms().max(1) as f64
}

fn check_steps(range: Span, step_ms: u64, steps_max: u64) -> Result<(), Problem> {
    let steps = StageTotals::steps(range, step_ms);
    if steps <= steps_max {
        return Ok(());
    }
    let detail =
        format!("the range has {steps} steps; at most {steps_max} are allowed; use a longer step");
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail))
}

/// Parameters of a range of time, of its steps, and of a page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TotalsQuery {
    /// Unix ms, RFC 3339 or a date (UTC), included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date (UTC), not included; now if not given.
    to: Option<String>,
    /// Also returns averages by steps of this length, such as 2m. Steps times `limit` are at most
    /// 100,000.
    step: Option<String>,
    /// Largest number of rows: 1 to 1,000. If not given, 100, or as many as 100,000 steps allow.
    limit: Option<usize>,
    /// The last page's `cursor`, to continue after it.
    cursor: Option<String>,
    /// Key of a label, such as country. The answer has a row per value of it, and no pages.
    by: Option<String>,
}

/// Watch time of a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageWatchTotal)]
#[serde(rename_all = "camelCase")]
pub struct StageTotalBody {
    /// The stage.
    stage: String,
    /// Sum of its viewers' watch time, in milliseconds.
    watch_ms: u64,
    /// Average number of viewers, step by step from `from` on; only with `step`.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<f64>>,
}

/// Watch time by stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WatchTotalsResponse)]
#[serde(rename_all = "camelCase")]
pub struct StageTotalsBody {
    /// Stages with watch time, sorted by id.
    watch: Vec<StageTotalBody>,
    /// Value to send for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Length of a step. Steps are aligned to the epoch; the first and the last may be shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_ms: Option<u64>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Watch time by stage, or with `by` by the values of a label.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema of two answers")]
enum StageTotalsAnswer {
    Page(StageTotalsBody),
    ByLabel(LabelWatchBody),
}

/// Lists how much was watched, stage by stage, or by the values of a label.
#[utoipa::path(get, path = "/v1/watch", operation_id = "listWatch", tag = "operators", params(TotalsQuery),
    responses((status = 200, body = inline(StageTotalsAnswer)),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn totals(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<TotalsQuery>,
) -> Result<Response, Problem> {
    let stores = ledger_stores(&node)?;
    let (range, asked) = asked_range(&node, query.from.as_deref(), query.to.as_deref())?;
    if let Some(wanted) = WantedLabel::parse(&node, &access, query.by.as_ref())? {
        check_alone(&[
            ("step", query.step.is_some()),
            ("limit", query.limit.is_some()),
            ("cursor", query.cursor.is_some()),
        ])?;
        let sources = sources(&node, SpanFilter::All)?;
        let sources = access.filter_all(&node, sources, range, None).await?;
        return by_label::watch(&node, sources, range, None, wanted).await;
    }
    let page = PageQuery::new(query.limit, query.cursor.clone());
    let mut limit = page.limit()?;
    let step_ms = query.step.as_deref().map(|text| duration_ms("step", text, 1_000)).transpose()?;
    if let Some(step_ms) = step_ms
        && query.limit.is_none()
    {
        // A caller that gives no limit gets as many rows as fit.
        let room = PAGE_STEPS_MAX / StageTotals::steps(range, step_ms).max(1);
        limit = limit.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1);
    }
    if let Some(step_ms) = step_ms {
        check_steps(range, step_ms, PAGE_STEPS_MAX / limit as u64)?;
    }
    let after = page.after(StageId::check)?.map(Into::into);
    let found = if access.is_limited() {
        let sources = sources(&node, SpanFilter::All)?;
        let sources = access.filter_all(&node, sources, range, None).await?;
        let after = after.as_deref().map(str::to_string);
        let totals = StageTotals::new(range, step_ms, after, limit);
        let scan = async move { sources.fold(range, None, totals, &mut |_| ()).await };
        let (totals, committed_to) = node.engine.scans.run(scan).await?;
        let (rows, more) = totals.finish();
        RowPage::of_rows(range, rows, more, committed_to)
    } else {
        let list = StageList { range: asked, step_ms };
        node.engine.scans.stages(stores, list, range, after, limit).await?
    };
    let cover = CoverageBody::new(&node, found.range, found.committed_to);
    json_in_background(move || {
        let last = found.rows().last().filter(|_| found.more);
        let cursor = last.map(|(stage, _)| stage.to_string());
        let watch = found.rows().iter().map(|(stage, total)| StageTotalBody {
            stage: stage.to_string(),
            watch_ms: total.watch_ms,
            history: step_ms.map(|step_ms| averages(total, found.range, step_ms)),
        });
        StageTotalsBody { watch: watch.collect(), cursor, step_ms, cover }
    })
    .await
}

/// Returns the average number of viewers, step by step.
fn averages(total: &StageTotal, range: Span, step_ms: u64) -> Vec<f64> {
    let first = range.from.aligned(step_ms);
    let of_step = |(n, integral_ms): (usize, &u64)| {
        let from = first.plus(n as u64 * step_ms);
        let step = Span::new(from.max(range.from), from.plus(step_ms).min(range.to));
        average(*integral_ms, step)
    };
    total.steps_ms.iter().enumerate().map(of_step).collect()
}
