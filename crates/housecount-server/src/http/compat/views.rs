//! Views of a stage: the number of its watch spans, and their length.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use housecount_core::limits::VIEWS_HELD_MAX;
use housecount_core::span::Span;
use housecount_ledger::views::{Views, ViewsOf};
use housecount_reports::read::Sources;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::request::last_days;
use super::shape::{DropInError, ErrorBody, Errors, Success};
use crate::http::error::Problem;
use crate::http::extract::{PastStageParam, ValidQuery};
use crate::http::report::sources;
use crate::node::Node;

/// Number of days if the caller gives none.
const DAYS_DEFAULT: u64 = 7;

/// Collects the watch spans of a range, from sources that may be filtered.
///
/// # Errors
/// Returns a 400 [`DropInError`] if there are more than a node may hold. Returns the errors of the
/// cold tier.
pub async fn collect(
    node: &Node,
    sources: Sources,
    range: Span,
    of: ViewsOf,
) -> Result<Views, DropInError> {
    let views = Views::new(range, of, node.engine.settings.rules.ttl_ms, VIEWS_HELD_MAX);
    let viewer = views.viewer().map(str::to_string);
    let scan = async move { sources.fold(range, viewer.as_deref(), views, &mut |_| ()).await };
    let (views, _) = node.engine.scans.run(scan).await?;
    if views.is_full() {
        let detail =
            format!("these days have more than {VIEWS_HELD_MAX} watch spans; ask for fewer `days`");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail).into());
    }
    Ok(views)
}

/// Number of days to look back.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StageStatsQuery {
    /// Number of days to look back: 1 to 3,652, 7 if not given.
    days: Option<u64>,
}

/// A stage's views over some days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStageViews)]
#[serde(rename_all = "camelCase")]
pub struct StageViewStats {
    /// The stage.
    stage_arn: String,
    /// Number of days up to now.
    days: u64,
    /// Statistics of the watch spans.
    stats: ViewStats,
}

/// Watch spans, counted and measured.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DropInViewStats)]
#[serde(rename_all = "camelCase")]
pub struct ViewStats {
    /// The stage.
    stage_arn: String,
    /// Number of watch spans: a viewer's next one begins after a gap of more than a ttl.
    total_views: u64,
    /// Distinct viewers.
    unique_viewers: u64,
    /// Proven time of a watch span on average, in whole seconds.
    avg_watch_duration: u64,
    /// Proven time of the longest watch span, in whole seconds.
    max_watch_duration: u64,
}

impl ViewStats {
    fn of(stage: &str, views: &Views) -> ViewStats {
        let all = || views.rows().flat_map(|(_, row)| row).map(|view| view.watch_ms);
        let (total_views, watch_ms) = (views.count() as u64, all().sum::<u64>());
        ViewStats {
            stage_arn: stage.to_string(),
            total_views,
            unique_viewers: views.rows().count() as u64,
            avg_watch_duration: watch_ms / total_views.max(1) / 1_000,
            max_watch_duration: all().max().unwrap_or(0) / 1_000,
        }
    }
}

/// Shows how often, by how many viewers, and for how long a stage was watched.
#[utoipa::path(get, path = "/api/viewer/stats/{stageArn}", operation_id = "showDropInStageViews", tag = "drop-in",
    params(("stageArn" = String, Path, description = "percent-encoded"), StageStatsQuery),
    responses((status = 200, body = Success<StageViewStats>), Errors,
        (status = 501, description = "`NOT_IMPLEMENTED`: cold = none", body = ErrorBody)))]
pub async fn stats(
    State(node): State<Arc<Node>>,
    PastStageParam { stage, filter }: PastStageParam,
    ValidQuery(query): ValidQuery<StageStatsQuery>,
) -> Result<Json<Success<StageViewStats>>, DropInError> {
    let days = query.days.unwrap_or(DAYS_DEFAULT);
    let range = last_days(&node, days)?;
    let of = ViewsOf::Stage(stage.to_string());
    let views = collect(&node, sources(&node, filter)?, range, of).await?;
    let stats = ViewStats::of(stage.as_str(), &views);
    Ok(Success::new(&node, StageViewStats { stage_arn: stage.to_string(), days, stats }))
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    #[test]
    fn views_are_counted_and_measured_in_whole_seconds() {
        let range = Span::new(UnixMs(0), UnixMs(100_000));
        let mut views = Views::new(range, ViewsOf::Stage("s".to_string()), 3_000, 10);
        assert_eq!(
            ViewStats::of("s", &views),
            ViewStats { stage_arn: "s".to_string(), ..ViewStats::default() }
        );
        for (viewer, from, to) in
            [("ann", 0, 1_500), ("ann", 4_500, 6_000), ("ann", 9_001, 9_002), ("bob", 0, 8_999)]
        {
            views.add("s", viewer, Span::new(UnixMs(from), UnixMs(to)));
        }
        let expected = ViewStats {
            stage_arn: "s".to_string(),
            total_views: 3,
            unique_viewers: 2,
            avg_watch_duration: 4,
            max_watch_duration: 8,
        };
        assert_eq!(ViewStats::of("s", &views), expected);
    }
}
