//! One stage, with its count and, on request, its viewers by label.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_core::fold::{CountsByLabel, StageView};
use housecount_core::ids::StageId;
use housecount_engine::WithStatus;
use housecount_engine::internals::snapshots_read as read;

use super::access::StageAccess;
use super::by_label::WantedLabel;
use super::error::{Problem, ProblemBody};
use super::extract::{StageParam, ValidQuery};
use super::live::ByLabelQuery;
use super::live_by_label::LabelCountsBody;
use super::stages::{StageResponse, answer};
use crate::node::Node;

impl StageResponse {
    /// Adds viewers by label, with the count of the same moment.
    fn add_labels(
        &mut self,
        wanted: &WantedLabel,
        counts: WithStatus<(Option<StageView>, CountsByLabel)>,
    ) {
        let WithStatus { value: (view, counts), status } = counts;
        let count = view.map(|view| view.count).unwrap_or_default();
        (self.stage.viewers, self.stage.sessions) = (count.viewers, count.sessions);
        self.stage.peak = self.stage.peak.max(count.viewers);
        self.by = Some(LabelCountsBody::new(wanted, counts));
        self.status = status.into();
    }
}

/// Shows a stage's configuration and count.
#[utoipa::path(get, path = "/v1/stages/{stage}", operation_id = "showStage", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded"), ByLabelQuery),
    responses((status = 200, body = StageResponse),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "neither configured nor seen", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn show(
    State(node): State<Arc<Node>>,
    StageParam(stage): StageParam,
    access: StageAccess,
    ValidQuery(query): ValidQuery<ByLabelQuery>,
) -> Result<Json<StageResponse>, Problem> {
    let wanted = WantedLabel::parse(&node, &access, query.by.as_ref())?;
    let mut found = find(&node, &stage, &access).await?;
    if let Some(wanted) = wanted {
        let counts = node.engine.hub.stage_by_label(stage.as_str(), &wanted.key, wanted.floor);
        found.add_labels(&wanted, counts);
    }
    Ok(Json(found))
}

/// Finds a stage, and the peak that the sender may see.
async fn find(
    node: &Node,
    stage: &StageId,
    access: &StageAccess,
) -> Result<StageResponse, Problem> {
    let mut found = answer(node, stage, None);
    let is_watched = found.stage.peak > 0;
    match node.engine.stages.look_up(stage).await {
        Ok(config) => found = answer(node, stage, config),
        // Counts do not depend on the cold tier.
        Err(_) if is_watched => found.configuration_known = false,
        Err(error) => return Err(error.into()),
    }
    if access.customer().is_some() {
        found.stage.hide_earlier_peak();
        return Ok(found);
    }
    if found.stage.peak > 0 {
        return Ok(found);
    }
    // The stage had no viewers for a while, so its last snapshot has the peak.
    let now = node.engine.clock.now().unwrap_or_default();
    let last = match &node.engine.reads {
        Some(cold) => read::last(&**cold, stage, now).await?,
        None => None,
    };
    match last {
        Some(last) => found.stage.peak = last.peak,
        None if found.stage.configured || !node.engine.hub.totals().status.complete => {}
        None => return Err(Problem::no_stage(stage.as_str())),
    }
    Ok(found)
}
