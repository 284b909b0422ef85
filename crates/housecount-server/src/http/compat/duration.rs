//! Time for which a viewer watched a stage.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_ledger::watch::{WatchFilter, WatchTotals};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::request::PlayerIds;
use super::shape::{DropInError, ErrorBody, Errors, Success};
use crate::calendar;
use crate::http::access::StageAccess;
use crate::http::extract::{ValidQuery, parse_range};
use crate::http::report::sources;
use crate::node::Node;

/// Viewer, stage and range of a watch duration.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct DurationQuery {
    /// The viewer.
    #[param(required = true, nullable = false)]
    user_id: Option<String>,
    /// The stage.
    #[param(required = true, nullable = false)]
    stage_arn: Option<String>,
    /// Unix ms or RFC 3339, included; a day before `to` if not given.
    from: Option<String>,
    /// Unix ms or RFC 3339, not included; now if not given.
    to: Option<String>,
}

/// A viewer's time on a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInDuration)]
#[serde(rename_all = "camelCase")]
pub struct WatchDuration {
    /// The viewer.
    user_id: String,
    /// The stage.
    stage_arn: String,
    /// Proven time, in whole seconds.
    watch_duration_seconds: u64,
    /// The same for people, such as `1h 2m 3s`.
    watch_duration_formatted: String,
}

/// Shows how long a viewer watched a stage.
///
/// This is proven time. Without a range, it is that of the last day.
#[utoipa::path(get, path = "/api/viewer/duration", operation_id = "showDropInDuration", tag = "drop-in", params(DurationQuery),
    responses((status = 200, body = Success<WatchDuration>), Errors,
        (status = 501, description = "`NOT_IMPLEMENTED`: cold = none", body = ErrorBody)))]
pub async fn duration(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<DurationQuery>,
) -> Result<Json<Success<WatchDuration>>, DropInError> {
    let DurationQuery { user_id, stage_arn, from, to } = query;
    let PlayerIds { stage, viewer, .. } = PlayerIds::of_query(user_id, stage_arn)?;
    let range = parse_range(&node, from.as_deref(), to.as_deref())?;
    let filter = access.filter_of_stage(&node, &stage).await?;
    let sources = sources(&node, filter)?;
    let name = node.admission.names.resolve(viewer.as_str().into()).into_owned();
    let wanted = WatchFilter {
        stage: Some(stage.to_string()),
        viewer: Some(name.clone()),
        ..WatchFilter::default()
    };
    let totals = WatchTotals::new(range, wanted, 1);
    let scan = async move { sources.fold(range, Some(&name), totals, &mut |_| ()).await };
    let (rows, _) = node.engine.scans.run(scan).await?.0.finish();
    let watch_ms = rows.first().map_or(0, |(_, row)| row.watch_ms);
    let watched = WatchDuration {
        user_id: viewer.to_string(),
        stage_arn: stage.to_string(),
        watch_duration_seconds: watch_ms / 1_000,
        watch_duration_formatted: calendar::format_duration(watch_ms),
    };
    Ok(Success::new(&node, watched))
}
