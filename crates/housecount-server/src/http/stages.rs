//! Stages: their configuration by operators, and their counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, Request, StatusCode, header};
use housecount_core::fold::StageView;
use housecount_core::ids::StageId;
use housecount_core::limits::{BODY_BYTES_MAX, STAGE_VERSIONS_MAX};
use housecount_core::public_count::PublicCount;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::TooManyVersions;
use housecount_engine::WithStatus;
use housecount_engine::internals::{ChangeError, ChangedStage};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::access::StageAccess;
use super::body;
use super::error::{Problem, ProblemBody};
use super::extract::StageParam;
use super::live::CountStatusBody;
use super::live_by_label::LabelCountsBody;
use super::public_count::PublicCountBody;
use crate::node::Node;

/// A stage, with its configuration and its count.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stage)]
#[serde(rename_all = "camelCase")]
pub struct StageBody {
    /// Id of the stage.
    pub(super) stage: String,
    /// Whether an operator has configured it.
    pub(super) configured: bool,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Customer who pays for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    /// Further properties, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    /// Count that players and the public see: `exact`, `rounded` or `hidden`. Missing for the
    /// node's setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    public_count: Option<&'static str>,
    /// Time when it was configured, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<u64>,
    /// Distinct online viewers.
    pub(super) viewers: u64,
    /// Online sessions.
    pub(super) sessions: u64,
    /// Largest number of viewers at once, as far as is known.
    pub(super) peak: u64,
}

impl StageBody {
    /// Reduces the peak to the present count, for a key limited to a customer. An earlier peak may
    /// be from the time of another customer.
    pub(super) fn hide_earlier_peak(&mut self) {
        self.peak = self.viewers;
    }

    pub(super) fn new(
        stage: &str,
        config: Option<StageConfig>,
        view: Option<StageView>,
    ) -> StageBody {
        let count = view.as_ref().map(|v| v.count).unwrap_or_default();
        let configured = config.is_some();
        let created_at = config.as_ref().map(|c| c.created_at.0);
        let config = config.unwrap_or_default();
        StageBody {
            stage: stage.to_string(),
            configured,
            name: config.name,
            customer: config.customer,
            tags: config.tags,
            public_count: config.public_count.map(PublicCount::name),
            created_at,
            viewers: count.viewers,
            sessions: count.sessions,
            peak: view.map_or(0, |v| v.peak),
        }
    }
}

/// A stage with the status of its count.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageResponse)]
#[serde(rename_all = "camelCase")]
pub struct StageResponse {
    #[serde(flatten)]
    pub(super) stage: StageBody,
    /// False while the cold tier is unavailable and this node has not cached the configuration. The
    /// count is still right.
    pub(super) configuration_known: bool,
    /// Keys of labels that sessions may have; missing if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    labels: Vec<String>,
    /// Viewers by label; only with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) by: Option<LabelCountsBody>,
    #[serde(flatten)]
    pub(super) status: CountStatusBody,
}

/// A stage after its configuration was created or changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageChangeResponse)]
#[serde(rename_all = "camelCase")]
pub struct StageChangeAnswer {
    #[serde(flatten)]
    stage: StageResponse,
    /// First moment of watch time that the configuration applies to, Unix ms. This is the start of
    /// the current window of the ledger, or of the first one that is not committed. Watch time
    /// before it keeps its configuration.
    effective_from: u64,
}

/// A stage whose configuration was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StageDeletionResponse)]
#[serde(rename_all = "camelCase")]
pub struct StageDeletedAnswer {
    /// Id of the stage.
    stage: String,
    /// First moment of watch time without a configuration, Unix ms: the end of the current window
    /// of the ledger. Watch time before it keeps its configuration.
    effective_from: u64,
}

/// A page of stages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StagesResponse)]
#[serde(rename_all = "camelCase")]
pub struct StagesBody {
    /// Stages, sorted by id or as requested.
    pub(super) stages: Vec<StageBody>,
    /// Value to send for the next page; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
    /// False while the cold tier is unavailable. The counts are right, but names are missing, and
    /// so are stages that are only configured.
    pub(super) configuration_known: bool,
    #[serde(flatten)]
    pub(super) status: CountStatusBody,
}

/// Configuration of a new stage.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CreateStageRequest)]
pub struct NewStageBody {
    /// Id: 1-256 bytes of printable ASCII without spaces.
    #[schema(min_length = 1, max_length = 256, pattern = "^[!-~]+$")]
    stage: String,
    /// Name for people: at most 256 bytes.
    name: Option<String>,
    /// Customer who pays for it: at most 256 bytes.
    customer: Option<String>,
    /// Further properties: at most 50, with keys of 128 and values of 256 bytes.
    tags: Option<BTreeMap<String, String>>,
    /// Count that players and the public see; the setting `public_count` if not given.
    #[serde(rename = "publicCount")]
    #[schema(inline)]
    public_count: Option<PublicCountBody>,
}

/// Change of a configuration. A missing field stays; null removes it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ChangeStageRequest)]
#[serde(default)]
pub struct StagePatchBody {
    /// Name for people.
    #[serde(deserialize_with = "double_option")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// Customer who pays for it.
    #[serde(deserialize_with = "double_option")]
    #[schema(value_type = Option<String>)]
    customer: Option<Option<String>>,
    /// Changes by key: null as a value removes that tag, and null for the whole field removes all.
    #[serde(deserialize_with = "double_option")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    tags: Option<Option<BTreeMap<String, Option<String>>>>,
    /// Count that players and the public see.
    #[serde(rename = "publicCount", deserialize_with = "double_option")]
    #[schema(value_type = Option<PublicCountBody>, inline)]
    public_count: Option<Option<PublicCountBody>>,
}

/// Distinguishes `null` from a missing field.
fn double_option<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl StagePatchBody {
    fn apply(&self, config: &mut StageConfig) {
        if let Some(name) = &self.name {
            config.name.clone_from(name);
        }
        if let Some(customer) = &self.customer {
            config.customer.clone_from(customer);
        }
        if let Some(value) = self.public_count {
            config.public_count = value.map(Into::into);
        }
        if self.tags == Some(None) {
            config.tags.clear();
        }
        for (key, value) in self.tags.iter().flatten().flatten() {
            match value {
                Some(value) => config.tags.insert(key.clone(), value.clone()),
                None => config.tags.remove(key),
            };
        }
    }
}

fn refused(stage: &StageId, error: ChangeError) -> Problem {
    match error {
        ChangeError::NotConfigured => {
            let detail =
                format!("stage `{stage}` is not configured; configure it with POST /v1/stages");
            Problem::new(StatusCode::NOT_FOUND, "stage_not_found", detail)
        }
        ChangeError::AlreadyConfigured => {
            let detail = format!("stage `{stage}` is already configured; change it with PATCH");
            Problem::new(StatusCode::CONFLICT, "stage_exists", detail)
        }
        ChangeError::TooMany(TooManyVersions { versions }) => {
            let detail = format!(
                "stage `{stage}` has had {versions} changes of its configuration; at most {STAGE_VERSIONS_MAX} are stored, \
                 the last one for its deletion; use another stage id"
            );
            Problem::new(StatusCode::CONFLICT, "too_many_changes", detail)
        }
        ChangeError::Invalid(error) => {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_stage_config", error.to_string())
        }
        ChangeError::Busy => Problem::unavailable(
            "overloaded",
            "too many configuration changes are waiting on this node; try again",
        ),
        ChangeError::Store(error) => error.into(),
    }
}

/// Applies a change of a configuration to what this node remembers. Other nodes look for it.
async fn note_change(node: &Node) {
    node.config_list.forget().await;
    if let Err(error) = node.public_counts.refresh(&node.engine.stages).await {
        tracing::debug!(%error, "public counts can't be read; the next look will");
    }
}

/// Returns the log's time, from which changes take effect.
fn now(node: &Node) -> Result<UnixMs, Problem> {
    Ok(node.engine.clock.now().ok_or(housecount_engine::internals::IngestError::Starting)?)
}

/// Configures a stage. A stage needs no configuration to be watched.
#[utoipa::path(post, path = "/v1/stages", operation_id = "createStage", tag = "operators", request_body = NewStageBody,
    responses((status = 201, body = StageChangeAnswer),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "the body is not declared as JSON", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "the stage is already configured, or its configuration was changed too often", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn create(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    request: Request<Body>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<StageChangeAnswer>), Problem> {
    let new: NewStageBody = body::read_json(request, BODY_BYTES_MAX).await?;
    let stage = StageId::parse(&new.stage)?;
    let now = now(&node)?;
    let config = StageConfig {
        stage: new.stage,
        name: new.name,
        customer: access.check_new(&stage, new.customer)?,
        tags: new.tags.unwrap_or_default(),
        public_count: new.public_count.map(Into::into),
        created_at: now,
    };
    let changed = match node.engine.stages.create(config, now).await {
        // It may be another customer's.
        Err(ChangeError::AlreadyConfigured) if access.customer().is_some() => {
            access.check_stored(&node, &stage).await?;
            return Err(refused(&stage, ChangeError::AlreadyConfigured));
        }
        changed => changed.map_err(|error| refused(&stage, error))?,
    };
    note_change(&node).await;
    let place = format!("/v1/stages/{}", utf8_percent_encode(stage.as_str(), NON_ALPHANUMERIC));
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        Json(change_answer(&node, &stage, changed)),
    ))
}

fn change_answer(
    node: &Node,
    stage: &StageId,
    ChangedStage { config, effective_from }: ChangedStage,
) -> StageChangeAnswer {
    StageChangeAnswer { stage: answer(node, stage, config), effective_from: effective_from.0 }
}

pub(super) fn answer(node: &Node, stage: &StageId, config: Option<StageConfig>) -> StageResponse {
    let WithStatus { value: view, status } = node.engine.hub.stage(stage.as_str());
    let stage = StageBody::new(stage.as_str(), config, view);
    let labels = node.engine.hub.label_keys().to_vec();
    StageResponse { stage, configuration_known: true, labels, by: None, status: status.into() }
}

/// Changes a stage's configuration.
///
/// A missing field stays; null removes it. Committed watch time keeps its configuration.
#[utoipa::path(patch, path = "/v1/stages/{stage}", operation_id = "changeStage", tag = "operators", request_body = StagePatchBody,
    params(("stage" = String, Path, description = "percent-encoded")),
    responses((status = 200, body = StageChangeAnswer),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "the body is not declared as JSON", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the configuration was changed too often", body = ProblemBody,
            content_type = "application/problem+json")))]
pub async fn change(
    State(node): State<Arc<Node>>,
    StageParam(stage): StageParam,
    access: StageAccess,
    request: Request<Body>,
) -> Result<Json<StageChangeAnswer>, Problem> {
    let change: StagePatchBody = body::read_json(request, BODY_BYTES_MAX).await?;
    if let Some(customer) = &change.customer {
        access.check_customer(customer.as_deref())?;
    }
    access.check_stored(&node, &stage).await?;
    let apply = |config: &mut StageConfig| {
        // Another change may have come since the check. Then nothing is changed.
        if access.covers(stage.as_str(), Some(config)) {
            change.apply(config);
        }
    };
    let changed = match node.engine.stages.edit(&stage, now(&node)?, apply).await {
        Ok(changed) => changed,
        Err(error) => {
            // Its answer may be lost, and the change made.
            node.config_list.forget().await;
            return Err(refused(&stage, error));
        }
    };
    note_change(&node).await;
    if !access.covers(stage.as_str(), changed.config.as_ref()) {
        return Err(Problem::outside_key(&stage));
    }
    Ok(Json(change_answer(&node, &stage, changed)))
}

/// Deletes a stage's configuration. Its history keeps the configuration that it had.
#[utoipa::path(delete, path = "/v1/stages/{stage}", operation_id = "deleteStage", tag = "operators",
    params(("stage" = String, Path, description = "percent-encoded")),
    responses((status = 200, body = StageDeletedAnswer),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn delete(
    State(node): State<Arc<Node>>,
    StageParam(stage): StageParam,
    access: StageAccess,
) -> Result<Json<StageDeletedAnswer>, Problem> {
    access.check_stored(&node, &stage).await?;
    let deleted = node
        .engine
        .stages
        .delete(&stage, now(&node)?)
        .await
        .map_err(|error| refused(&stage, error))?;
    note_change(&node).await;
    let effective_from = deleted.effective_from.0;
    Ok(Json(StageDeletedAnswer { stage: stage.to_string(), effective_from }))
}
