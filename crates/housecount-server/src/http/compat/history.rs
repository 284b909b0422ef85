//! Watch history of a viewer: its watch spans, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::ids::StageId;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_ledger::views::{View, ViewsOf};
use housecount_reports::filter::SpanFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::request::last_days;
use super::shape::{DropInError, ErrorBody, Errors, Success};
use super::views::collect;
use crate::calendar;
use crate::http::access::StageAccess;
use crate::http::error::Problem;
use crate::http::extract::{ValidQuery, ViewerPath, bad_query};
use crate::http::report::sources;
use crate::node::Node;

/// Number of records if the caller gives none.
const RECORDS_DEFAULT: usize = 10;
/// Number of days if the caller gives none.
const DAYS_DEFAULT: u64 = 30;

/// Number of records, and of days to look back.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViewerHistoryQuery {
    /// Largest number of records: 1 to 1,000, 10 if not given.
    limit: Option<usize>,
    /// Number of days to look back: 1 to 3,652, 30 if not given.
    days: Option<u64>,
}

/// A viewer's watch spans.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInHistory)]
#[serde(rename_all = "camelCase")]
pub struct ViewerHistory {
    /// The viewer.
    user_id: String,
    /// Number of watch spans in these days, also of those beyond `limit`.
    total_records: usize,
    /// The newest watch spans, newest first.
    history: Vec<WatchRecord>,
}

/// A watch span: proven time without a gap of more than a ttl.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInWatchRecord)]
#[serde(rename_all = "camelCase")]
pub struct WatchRecord {
    /// The viewer.
    user_id: String,
    /// The stage.
    stage_arn: String,
    /// The newest live session while the span continues, else empty: the ledger has no sessions.
    participant_id: String,
    /// Start of its first proven time, RFC 3339.
    joined_at: String,
    /// End of its last proven time so far, RFC 3339.
    left_at: String,
    /// Proven time within it, in whole seconds.
    watch_duration_seconds: u64,
}

/// Lists when a viewer watched, and where, newest first.
#[utoipa::path(get, path = "/api/viewer/history/{userId}", operation_id = "listDropInHistory", tag = "drop-in",
    params(("userId" = String, Path, description = "percent-encoded"), ViewerHistoryQuery),
    responses((status = 200, body = Success<ViewerHistory>), Errors,
        (status = 501, description = "`NOT_IMPLEMENTED`: cold = none", body = ErrorBody)))]
pub async fn history(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ViewerPath(viewer): ViewerPath,
    ValidQuery(ViewerHistoryQuery { limit, days }): ValidQuery<ViewerHistoryQuery>,
) -> Result<Json<Success<ViewerHistory>>, DropInError> {
    let limit = limit.unwrap_or(RECORDS_DEFAULT);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(bad_query(format!("limit={limit} is not from 1 to {PAGE_ROWS_MAX}")).into());
    }
    let range = last_days(&node, days.unwrap_or(DAYS_DEFAULT))?;
    let sources = sources(&node, SpanFilter::All)?;
    let sources = access.filter_all(&node, sources, range, Some(viewer.as_str())).await?;
    let views = collect(&node, sources, range, ViewsOf::Viewer(viewer.to_string())).await?;
    let mut all: Vec<(&str, View)> = Vec::with_capacity(views.count());
    views.rows().for_each(|(stage, views)| all.extend(views.iter().map(|view| (stage, *view))));
    // Where two spans end at once, the one that starts later is the newer one. This happens when a
    // viewer watches two stages now.
    all.sort_unstable_by(|(a, one), (b, other)| {
        (other.to, other.from, a).cmp(&(one.to, one.from, b))
    });
    let ttl_ms = node.engine.settings.rules.ttl_ms;
    let mut history = Vec::with_capacity(all.len().min(limit));
    for (stage, view) in all.iter().take(limit) {
        // The stage may have another customer now.
        let goes_on = view.to.plus(ttl_ms) >= range.to
            && access.covers_now(&node, &StageId::parse(stage).map_err(Problem::from)?).await?;
        let live = if goes_on {
            node.engine.hub.online_sessions(stage, viewer.as_str(), 1)
        } else {
            Vec::new()
        };
        history.push(WatchRecord {
            user_id: viewer.to_string(),
            stage_arn: stage.to_string(),
            participant_id: live.into_iter().next().unwrap_or_default(),
            joined_at: calendar::format_time(view.from),
            left_at: calendar::format_time(view.to),
            watch_duration_seconds: view.watch_ms / 1_000,
        });
    }
    let (user_id, total_records) = (viewer.to_string(), all.len());
    Ok(Success::new(&node, ViewerHistory { user_id, total_records, history }))
}
