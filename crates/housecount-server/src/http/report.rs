//! Reports of a stage or of all stages, a stage's broadcasts, and a comparison of two ranges.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use housecount_core::ids::StageId;
use housecount_core::limits::{BROADCASTS_MAX, HISTORY_STEPS_MAX};
use housecount_engine::internals::Stores;
use housecount_ledger::totals::StageTotals;
use housecount_reports::figures::{Report, ReportHead};
use housecount_reports::filter::SpanFilter;
use housecount_reports::labelled::LabelReport;
use housecount_reports::read::{self, Broadcast, Covered, Sources};
use housecount_reports::request::{ReportRequest, default_step_ms};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::StageAccess;
use super::answer::json_in_background;
use super::by_label::WantedLabel;
use super::error::{Problem, ProblemBody};
use super::extract::{PastStageParam, ValidQuery, bad_query, duration_ms, parse_range};
use super::watch::{CoverageBody, ledger_stores};
use crate::node::Node;

/// Time from the start of a broadcast in which its cohort comes, if the caller gives none.
const COHORT_MS_DEFAULT: u64 = 10 * 60_000;
/// Number of broadcasts in an answer if the caller gives none.
const BROADCASTS_DEFAULT: usize = 20;

/// Parameters of a report.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// Unix ms, RFC 3339 or a date (UTC), included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date (UTC), not included; now if not given.
    to: Option<String>,
    /// Length of a step, such as 1m or 1h; at least 1s. If not given, the shortest number of whole
    /// minutes that makes at most 500 steps.
    step: Option<String>,
    /// Time from the first viewer on in which those come whose retention is reported; 10m if not
    /// given.
    cohort: Option<String>,
    /// Time before the range, such as 7d. Viewers of the range who watched in it are
    /// `returningViewers`, and the others are `newViewers`.
    before: Option<String>,
    /// Key of a label, such as country. Adds the figures of each of its values.
    by: Option<String>,
}

/// A report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportResponse)]
pub struct ReportBody {
    /// The stage; missing for all stages together.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    #[serde(flatten)]
    report: Report,
    /// Main figures by label; only with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<LabelReport>,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Returns the sources of a report, with the node's own proof, as far as `filter` shows them.
pub(super) fn sources(node: &Node, filter: SpanFilter) -> Result<Sources, Problem> {
    let Stores { cold, proofs } = ledger_stores(node)?;
    Ok(Sources { cold, proofs: Some((proofs, node.engine.hub.now())), filter })
}

fn request(
    node: &Node,
    query: &ReportQuery,
    stage: Option<&StageId>,
) -> Result<ReportRequest, Problem> {
    let range = parse_range(node, query.from.as_deref(), query.to.as_deref())?;
    let duration = |name, text: &Option<String>| {
        text.as_deref().map(|text| duration_ms(name, text, 1_000)).transpose()
    };
    let step_ms = duration("step", &query.step)?.unwrap_or_else(|| default_step_ms(range));
    let steps = StageTotals::steps(range, step_ms);
    if steps > HISTORY_STEPS_MAX {
        return Err(bad_query(format!(
            "the range has {steps} steps; at most {HISTORY_STEPS_MAX} are allowed; use a longer step"
        )));
    }
    Ok(ReportRequest {
        stage: stage.map(ToString::to_string),
        range,
        step_ms,
        cohort_ms: duration("cohort", &query.cohort)?.unwrap_or(COHORT_MS_DEFAULT),
        before_ms: duration("before", &query.before)?,
        gap_ms: node.engine.settings.rules.ttl_ms,
    })
}

async fn read_report(
    node: &Node,
    sources: Sources,
    request: ReportRequest,
) -> Result<Covered<Report>, Problem> {
    let read = async move { Ok(read::report(&sources, request, &mut |_| ()).await) };
    Ok(node.engine.scans.run(read).await??)
}

async fn report(
    node: &Node,
    sources: Sources,
    request: ReportRequest,
    stage: Option<StageId>,
    wanted: Option<WantedLabel>,
) -> Result<Response, Problem> {
    let range = request.range;
    let by = match wanted {
        Some(wanted) => Some(wanted.report(node, sources.clone(), request.clone()).await?),
        None => None,
    };
    let Covered { value: report, committed_to } = read_report(node, sources, request).await?;
    let cover = CoverageBody::new(node, range, committed_to);
    let stage = stage.map(|stage| stage.to_string());
    json_in_background(move || ReportBody { stage, report, by, cover }).await
}

/// Reports who came to a stage, who stayed, and how long.
///
/// All figures are exact, from proven watch time. A view is a viewer's watch time on the stage
/// without a gap of more than the ttl. A single heartbeat proves no time, and is in no figure.
#[utoipa::path(get, path = "/v1/stages/{stage}/report", operation_id = "showStageReport", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), ReportQuery),
    responses((status = 200, body = ReportBody),
        (status = 400, description = "invalid query, or more than 1,000,000 viewers", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_stage(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    PastStageParam { stage, filter }: PastStageParam,
    ValidQuery(query): ValidQuery<ReportQuery>,
) -> Result<Response, Problem> {
    let request = request(&node, &query, Some(&stage))?;
    let wanted = WantedLabel::parse(&node, &access, query.by.as_ref())?;
    report(&node, sources(&node, filter)?, request, Some(stage), wanted).await
}

/// Reports who came to any stage, who stayed, and how long.
///
/// A viewer of two stages is one viewer with the watch time of both. In the numbers of viewers at
/// once, it counts on both.
#[utoipa::path(get, path = "/v1/report", operation_id = "showReport", tag = "operators", params(ReportQuery),
    responses((status = 200, body = ReportBody),
        (status = 400, description = "invalid query, or more than 1,000,000 viewers", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn of_all(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<ReportQuery>,
) -> Result<Response, Problem> {
    let request = request(&node, &query, None)?;
    let wanted = WantedLabel::parse(&node, &access, query.by.as_ref())?;
    let sources = sources(&node, SpanFilter::All)?;
    let sources = access.filter_all(&node, sources, request.reads(), None).await?;
    report(&node, sources, request, None, wanted).await
}

/// Parameters of a list of broadcasts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BroadcastsQuery {
    /// Unix ms, RFC 3339 or a date (UTC), included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms, RFC 3339 or a date (UTC), not included; now if not given.
    to: Option<String>,
    /// Longest time without a viewer within a broadcast; the setting `broadcast_gap` if not given.
    gap: Option<String>,
    /// Largest number of broadcasts: 1 to 100, 20 if not given. The latest ones are returned.
    limit: Option<usize>,
}

/// A broadcast: a time in which a stage had an audience.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Broadcast)]
#[serde(rename_all = "camelCase")]
pub struct BroadcastBody {
    /// First moment with a viewer, Unix ms.
    from: u64,
    /// End of the last viewer's watch time, Unix ms.
    to: u64,
    /// Whether the broadcast may still go on.
    ongoing: bool,
    #[serde(flatten)]
    head: ReportHead,
}

/// Broadcasts of a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BroadcastsResponse)]
#[serde(rename_all = "camelCase")]
pub struct BroadcastsBody {
    /// The stage.
    stage: String,
    /// Broadcasts, newest first.
    broadcasts: Vec<BroadcastBody>,
    /// Longest time without a viewer within a broadcast, ms.
    gap_ms: u64,
    #[serde(flatten)]
    cover: CoverageBody,
}

/// Lists the broadcasts of a stage: the times in which it had an audience.
///
/// A broadcast has no time without a viewer that is longer than `gap`. Each has the main figures of
/// its report.
#[utoipa::path(get, path = "/v1/stages/{stage}/broadcasts", operation_id = "listBroadcasts", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), BroadcastsQuery),
    responses((status = 200, body = BroadcastsBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn broadcasts(
    State(node): State<Arc<Node>>,
    PastStageParam { stage, filter }: PastStageParam,
    ValidQuery(query): ValidQuery<BroadcastsQuery>,
) -> Result<Json<BroadcastsBody>, Problem> {
    let range = parse_range(&node, query.from.as_deref(), query.to.as_deref())?;
    let limit = query.limit.unwrap_or(BROADCASTS_DEFAULT);
    if !(1..=BROADCASTS_MAX).contains(&limit) {
        return Err(bad_query(format!("limit={limit} is not from 1 to {BROADCASTS_MAX}")));
    }
    let gap_ms = match &query.gap {
        Some(text) => duration_ms("gap", text, 1_000)?,
        None => node.settings.broadcast_gap_ms,
    };
    let (sources, stage) = (sources(&node, filter)?, stage.to_string());
    let (of, gaps) = (stage.clone(), (node.engine.settings.rules.ttl_ms, gap_ms));
    let read = async move { Ok(read::broadcasts(&sources, range, &of, gaps, limit).await) };
    let Covered { value, committed_to } = node.engine.scans.run(read).await??;
    let cover = CoverageBody::new(&node, range, committed_to);
    let broadcasts = value.into_iter().map(|Broadcast { span, is_ongoing, head }| BroadcastBody {
        from: span.from.0,
        to: span.to.0,
        ongoing: is_ongoing,
        head,
    });
    Ok(Json(BroadcastsBody { stage, broadcasts: broadcasts.collect(), gap_ms, cover }))
}

/// Parameters of a comparison.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CompareQuery {
    /// First stage and range, as `STAGE@FROM..TO`. The times are as those of other queries.
    a: String,
    /// Second stage and range.
    b: String,
}

/// Two reports side by side.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CompareResponse)]
pub struct CompareBody {
    /// Report of the first range.
    a: ReportBody,
    /// Report of the second range.
    b: ReportBody,
}

/// Compares two broadcasts, or any two ranges of two stages.
#[utoipa::path(get, path = "/v1/compare", operation_id = "compareReports", tag = "operators", params(CompareQuery),
    responses((status = 200, body = CompareBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 501, description = "no cold tier (cold = none)", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn compare(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<CompareQuery>,
) -> Result<Response, Problem> {
    let side = async |name, text: &str| {
        let (stage, query) = parse_side(name, text)?;
        // The caller gave no `from` and `to`, so the side is named, too.
        let request = request(&node, &query, Some(&stage)).map_err(|problem| {
            if !problem.is_client_error() {
                return problem;
            }
            bad_query(format!("{name}={text}: {}", problem.detail()))
        })?;
        let sources = sources(&node, access.filter_of_stage(&node, &stage).await?)?;
        let range = request.range;
        let Covered { value: report, committed_to } = read_report(&node, sources, request).await?;
        let cover = CoverageBody::new(&node, range, committed_to);
        Ok::<_, Problem>(ReportBody { stage: Some(stage.to_string()), report, by: None, cover })
    };
    let (a, b) = (side("a", &query.a).await?, side("b", &query.b).await?);
    json_in_background(move || CompareBody { a, b }).await
}

/// Parses `STAGE@FROM..TO`. A stage may have an `@`, and times have none.
fn parse_side(name: &str, text: &str) -> Result<(StageId, ReportQuery), Problem> {
    let parts = text.rsplit_once('@').and_then(|(stage, range)| {
        let (from, to) = range.split_once("..")?;
        Some((stage, from, to))
    });
    let Some((stage, from, to)) = parts else {
        return Err(bad_query(format!("{name}={text} is not STAGE@FROM..TO")));
    };
    let query =
        ReportQuery { from: Some(from.into()), to: Some(to.into()), ..ReportQuery::default() };
    Ok((StageId::parse(stage)?, query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_of_a_comparison_is_a_stage_and_a_range() {
        let of = |text| {
            let (stage, query) = parse_side("a", text).ok()?;
            Some((stage.to_string(), query.from?, query.to?))
        };
        let expected =
            |stage: &str, from: &str, to: &str| Some((stage.into(), from.into(), to.into()));
        assert_eq!(of("s@2026-10-01..2026-10-02"), expected("s", "2026-10-01", "2026-10-02"));
        assert_eq!(of("a@b@1..2"), expected("a@b", "1", "2"));
        for bad in ["s", "s@1", "@1..2", "s 1@1..2", ""] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert!(parse_side("b", "s").unwrap_err().detail().contains("b=s is not STAGE@FROM..TO"));
    }
}
