//! Current counts: in all, stage by stage, or of one stage.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use housecount_core::fold::StageView;
use housecount_core::ids::StageId;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::stage::StageConfig;
use housecount_engine::WithStatus;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::shape::{DropInError, Errors, Success};
use crate::calendar;
use crate::http::access::StageAccess;
use crate::http::extract::ValidQuery;
use crate::node::Node;

/// Pages of configured stages that are read for one answer. Stages behind them are answered without
/// their configuration.
const CONFIG_PAGES_MAX: usize = 10;

/// A stage that is watched now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStage)]
#[serde(rename_all = "camelCase")]
pub struct WatchedStage {
    /// The stage.
    stage_arn: String,
    /// Its configured name, or else its id.
    stage_name: String,
    /// Distinct online viewers.
    viewer_count: u64,
    /// Always false: housecount scales no stages.
    auto_scaled: bool,
    /// Time when it was configured, RFC 3339; null if it is not.
    created_at: Option<String>,
}

impl WatchedStage {
    fn new(view: StageView, config: Option<&StageConfig>) -> WatchedStage {
        WatchedStage {
            stage_name: config
                .and_then(|config| config.name.clone())
                .unwrap_or_else(|| view.stage.clone()),
            stage_arn: view.stage,
            viewer_count: view.count.viewers,
            auto_scaled: false,
            created_at: config.map(|config| calendar::format_time(config.created_at)),
        }
    }
}

/// Viewers in all, and stage by stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStats)]
#[serde(rename_all = "camelCase")]
pub struct AudienceStats {
    /// Distinct online viewers of all stages.
    total_viewers: u64,
    /// Stages with a viewer online.
    active_stages: u64,
    /// Always null: housecount does not know publishers.
    is_publisher_live: Option<bool>,
    /// The active stages, sorted by id; at most 1,000.
    stages: Vec<WatchedStage>,
    /// Whether the counts certainly include all viewers. If not, they may be low.
    complete: bool,
}

/// The active stages.
struct ActiveStages {
    total_viewers: u64,
    count: u64,
    stages: Vec<WatchedStage>,
    is_complete: bool,
}

impl ActiveStages {
    async fn of(node: &Node) -> ActiveStages {
        let WithStatus { value: roster, status } = node.engine.hub.roster().await;
        let count = roster.stages.len() as u64;
        let views: Vec<StageView> = roster.stages.into_iter().take(PAGE_ROWS_MAX).collect();
        let configs = configs_to(node, views.last().map(|last| last.stage.as_str())).await;
        let stages = views.into_iter().map(|view| {
            let config = configs.get(&view.stage);
            WatchedStage::new(view, config)
        });
        ActiveStages {
            total_viewers: roster.total.viewers,
            count,
            stages: stages.collect(),
            is_complete: status.complete,
        }
    }
}

/// Returns configurations by stage, up to a last one. Counts do not depend on the cold tier, so a
/// page that it does not answer is left out.
async fn configs_to(node: &Node, last: Option<&str>) -> BTreeMap<String, StageConfig> {
    let mut configs: BTreeMap<String, StageConfig> = BTreeMap::new();
    let Some(last) = last else { return configs };
    for _ in 0..CONFIG_PAGES_MAX {
        let after = configs.last_key_value().map(|(stage, _)| stage.clone());
        let page = match node.engine.stages.list(after.as_deref(), PAGE_ROWS_MAX).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%error, "configurations can't be read; answering stages without them");
                break;
            }
        };
        let is_last =
            page.len() < PAGE_ROWS_MAX || page.last().is_some_and(|config| *config.stage >= *last);
        configs.extend(page.into_iter().map(|config| (config.stage.clone(), config)));
        if is_last {
            break;
        }
    }
    configs
}

/// Shows how many viewers watch in all, and stage by stage.
#[utoipa::path(get, path = "/api/stats", operation_id = "showDropInStats", tag = "drop-in",
    responses((status = 200, body = Success<AudienceStats>), Errors))]
pub async fn stats(State(node): State<Arc<Node>>) -> Json<Success<AudienceStats>> {
    let ActiveStages { total_viewers, count, stages, is_complete } = ActiveStages::of(&node).await;
    let (active_stages, complete) = (count, is_complete);
    let stats =
        AudienceStats { total_viewers, active_stages, is_publisher_live: None, stages, complete };
    Success::new(&node, stats)
}

/// Viewers in all.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInTotalViewers)]
#[serde(rename_all = "camelCase")]
pub struct TotalViewers {
    /// Distinct online viewers of all stages.
    total_viewers: u64,
    /// Whether the count certainly includes all viewers. If not, it may be low.
    complete: bool,
}

/// Shows how many viewers watch in all.
#[utoipa::path(get, path = "/api/stats/viewers", operation_id = "showDropInTotalViewers", tag = "drop-in",
    responses((status = 200, body = Success<TotalViewers>), Errors))]
pub async fn viewers(State(node): State<Arc<Node>>) -> Json<Success<TotalViewers>> {
    let WithStatus { value: (count, _), status } = node.engine.hub.totals();
    Success::new(&node, TotalViewers { total_viewers: count.viewers, complete: status.complete })
}

/// The stage to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StageQuery {
    /// The stage; all if not given.
    arn: Option<String>,
}

/// The active stages, or one stage where `arn` names it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStagesOrStage)]
#[serde(untagged)]
pub enum StagesOrStage {
    /// All stages.
    All(StagesStats),
    /// One stage.
    One(StageStats),
}

/// The active stages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStages)]
#[serde(rename_all = "camelCase")]
pub struct StagesStats {
    /// Stages with a viewer online.
    total_stages: u64,
    /// These, sorted by id; at most 1,000.
    stages: Vec<WatchedStage>,
    /// Whether the counts certainly include all viewers. If not, they may be low.
    complete: bool,
}

/// Count of one stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStageStats)]
#[serde(rename_all = "camelCase")]
pub struct StageStats {
    /// The stage.
    stage_arn: String,
    /// Distinct online viewers.
    viewer_count: u64,
    /// Configuration of the stage. It is null if the stage has none. It is also null if the cold
    /// tier is unavailable and this node has not cached it.
    stage_info: Option<StageInfo>,
    /// Whether the count certainly includes all viewers. If not, it may be low.
    complete: bool,
}

/// A stage's configuration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DropInStageInfo)]
#[serde(rename_all = "camelCase")]
pub struct StageInfo {
    /// The stage.
    stage_arn: String,
    /// Its name, or else its id.
    stage_name: String,
    /// Customer who pays for it.
    customer: Option<String>,
    /// Further properties.
    tags: BTreeMap<String, String>,
    /// Always false: housecount scales no stages.
    auto_scaled: bool,
    /// Time when it was configured, RFC 3339.
    created_at: String,
}

impl From<StageConfig> for StageInfo {
    fn from(config: StageConfig) -> StageInfo {
        StageInfo {
            stage_name: config.name.unwrap_or_else(|| config.stage.clone()),
            stage_arn: config.stage,
            customer: config.customer,
            tags: config.tags,
            auto_scaled: false,
            created_at: calendar::format_time(config.created_at),
        }
    }
}

/// Lists the stages that are watched, or shows one stage's count.
#[utoipa::path(get, path = "/api/stats/stages", operation_id = "listDropInStages", tag = "drop-in", params(StageQuery),
    responses((status = 200, body = Success<StagesOrStage>), Errors))]
pub async fn stages(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<StageQuery>,
) -> Result<Response, DropInError> {
    let Some(arn) = query.arn else {
        access.require_all()?;
        let ActiveStages { count, stages, is_complete, .. } = ActiveStages::of(&node).await;
        let all = StagesStats { total_stages: count, stages, complete: is_complete };
        return Ok(Success::new(&node, StagesOrStage::All(all)).into_response());
    };
    let stage = StageId::parse(&arn).map_err(|error| DropInError::invalid("arn", error))?;
    access.check_now(&node, &stage).await?;
    let config = node.engine.stages.look_up(&stage).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "a configuration can't be read; answering the stage without it");
        None
    });
    let WithStatus { value: count, status } = node.engine.hub.count(stage.as_str());
    let one = StageStats {
        stage_arn: stage.to_string(),
        viewer_count: count.viewers,
        stage_info: config.map(StageInfo::from),
        complete: status.complete,
    };
    Ok(Success::new(&node, StagesOrStage::One(one)).into_response())
}
