//! The list of stages: all of them by id, or some of them in another order.
//!
//! By id, a page reads its rows only. Any other order, and any filter, needs all stages. Their
//! configurations are then kept for some seconds, since the cold tier charges for reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use housecount_backend::error::ErrorKind;
use housecount_backend::threads::blocking::run_at_low_priority;
use housecount_core::fold::StageView;
use housecount_core::ids::StageId;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::stage::StageConfig;
use housecount_engine::WithStatus;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::access::StageAccess;
use super::error::{Problem, ProblemBody};
use super::extract::{PageQuery, ValidQuery, bad_query};
use super::sorting::{SortOrder, SortPlace, cursor, parse_cursor};
use super::stages::{StageBody, StagesBody};
use crate::node::Node;

/// Key by which stages are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum StageSort {
    /// Id of the stage.
    Stage,
    /// Online viewers.
    Viewers,
    /// Largest number of viewers at once.
    Peak,
    /// Time when the stage was configured.
    CreatedAt,
}

/// Parameters of a list of stages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StageListQuery {
    /// Largest number of rows: 1 to 1,000, 100 if not given.
    limit: Option<usize>,
    /// The last page's `cursor`, to continue after it.
    cursor: Option<String>,
    /// `stage`, `viewers`, `peak` or `createdAt`; `stage` if not given.
    #[param(inline)]
    sort: Option<StageSort>,
    /// `asc` or `desc`; if not given, ids ascend and other keys descend.
    #[param(inline)]
    order: Option<SortOrder>,
    /// Customer of the stages to list.
    customer: Option<String>,
    /// Tag of the stages to list, as `KEY:VALUE`.
    tag: Option<String>,
    /// Text that the id or the name contains, in any case.
    q: Option<String>,
}

/// Filter of stages.
#[derive(Clone, Debug, Default)]
struct StageFilter {
    customer: Option<String>,
    tag: Option<(String, String)>,
    /// In lower case.
    text: Option<String>,
}

impl StageFilter {
    fn parse(query: &StageListQuery) -> Result<StageFilter, Problem> {
        let tag = query.tag.as_deref().map(|tag| {
            let pair = tag.split_once(':').map(|(key, value)| (key.to_string(), value.to_string()));
            pair.ok_or_else(|| bad_query(format!("tag={tag} is not KEY:VALUE")))
        });
        Ok(StageFilter {
            customer: query.customer.clone(),
            tag: tag.transpose()?,
            text: query.q.as_ref().map(|text| text.to_lowercase()),
        })
    }

    fn is_empty(&self) -> bool {
        self.customer.is_none() && self.tag.is_none() && self.text.is_none()
    }

    fn matches(&self, stage: &str, config: Option<&StageConfig>) -> bool {
        let customer = config.and_then(|config| config.customer.as_deref());
        let name = config.and_then(|config| config.name.as_deref()).unwrap_or_default();
        let has_tag = |(key, value): &(String, String)| {
            config.is_some_and(|config| config.tags.get(key) == Some(value))
        };
        let has = |text: &String| [stage, name].iter().any(|of| of.to_lowercase().contains(text));
        self.customer.as_deref().is_none_or(|wanted| customer == Some(wanted))
            && self.tag.as_ref().is_none_or(has_tag)
            && self.text.as_ref().is_none_or(has)
    }
}

/// Lists all stages that are configured or watched, with count and peak.
///
/// With `sort`, `customer`, `tag` or `q` the configurations may be ten seconds old. Counts change
/// between pages, so a stage whose count moves across a page's end may be missing, or there twice.
#[utoipa::path(get, path = "/v1/stages", operation_id = "listStages", tag = "operators", params(StageListQuery),
    responses((status = 200, body = StagesBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn list(
    State(node): State<Arc<Node>>,
    access: StageAccess,
    ValidQuery(query): ValidQuery<StageListQuery>,
) -> Result<Json<StagesBody>, Problem> {
    let page = PageQuery::new(query.limit, query.cursor.clone());
    let sort = query.sort.unwrap_or(StageSort::Stage);
    let is_descending = query.order.map_or(sort != StageSort::Stage, |of| of == SortOrder::Desc);
    let filter = StageFilter::parse(&query)?;
    let is_whole = filter.is_empty() && !access.is_limited();
    if sort == StageSort::Stage && !is_descending && is_whole {
        return by_id(&node, &page).await.map(Json);
    }
    let after = page.cursor().map(parse_cursor).transpose()?;
    let order = StageOrder { sort, is_descending, after, limit: page.limit()? };
    sorted(&node, access, order, filter).await.map(Json)
}

async fn by_id(node: &Node, page: &PageQuery) -> Result<StagesBody, Problem> {
    let limit = page.limit()?;
    let after = page.after(StageId::check)?;
    // Counts do not depend on the cold tier. While it is unavailable, they come without
    // configurations.
    let (configured, configuration_known) = match node.engine.stages.list(after, limit + 1).await {
        Ok(configured) => (configured, true),
        Err(error) => {
            tracing::debug!(%error, "configurations can't be read; listing stages without them");
            (Vec::new(), false)
        }
    };
    let WithStatus { value: known, status } = node.engine.hub.stages_page(after, limit + 1).await;
    let mut merged: BTreeMap<String, (Option<StageConfig>, Option<StageView>)> = BTreeMap::new();
    for view in known {
        merged.insert(view.stage.clone(), (None, Some(view)));
    }
    for config in configured {
        let view = node.engine.hub.stage(&config.stage).value;
        merged.insert(config.stage.clone(), (Some(config), view));
    }
    let mut stages: Vec<StageBody> = merged
        .into_iter()
        .map(|(stage, (config, view))| StageBody::new(&stage, config, view))
        .collect();
    let more = stages.len() > limit;
    stages.truncate(limit);
    let cursor = stages.last().filter(|_| more).map(|last| last.stage.clone());
    Ok(StagesBody { stages, cursor, configuration_known, status: status.into() })
}

/// Order of a list, and the part of it that is returned.
#[derive(Debug)]
struct StageOrder {
    sort: StageSort,
    is_descending: bool,
    after: Option<SortPlace>,
    limit: usize,
}

impl StageOrder {
    fn place(&self, stage: &StageBody) -> SortPlace {
        let value = match self.sort {
            StageSort::Stage => 0,
            StageSort::Viewers => stage.viewers,
            StageSort::Peak => stage.peak,
            StageSort::CreatedAt => stage.created_at.unwrap_or(0),
        };
        (value, stage.stage.clone())
    }

    /// Sorts the stages and cuts out the page. Returns whether more follow.
    fn cut(&self, stages: Vec<StageBody>) -> (Vec<StageBody>, bool) {
        let mut placed: Vec<(SortPlace, StageBody)> =
            stages.into_iter().map(|stage| (self.place(&stage), stage)).collect();
        let order = |one: &SortPlace, other: &SortPlace| {
            if self.is_descending { other.cmp(one) } else { one.cmp(other) }
        };
        if let Some(after) = &self.after {
            placed.retain(|(place, _)| order(after, place).is_lt());
        }
        placed.sort_unstable_by(|(one, _), (other, _)| order(one, other));
        let more = placed.len() > self.limit;
        placed.truncate(self.limit);
        (placed.into_iter().map(|(_, stage)| stage).collect(), more)
    }
}

async fn sorted(
    node: &Node,
    access: StageAccess,
    order: StageOrder,
    filter: StageFilter,
) -> Result<StagesBody, Problem> {
    let (configs, configuration_known) = match node.config_list.get(&node.engine.stages).await {
        Ok(configs) => (configs, true),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Err(bad_query(error.to_string()));
        }
        Err(error) => {
            tracing::debug!(%error, "configurations can't be read; sorting stages without them");
            (Arc::default(), false)
        }
    };
    let mut views: BTreeMap<String, StageView> = BTreeMap::new();
    let status = loop {
        let after = views.last_key_value().map(|(stage, _)| stage.clone());
        let page = node.engine.hub.stages_page(after.as_deref(), PAGE_ROWS_MAX).await;
        let more = page.value.len() == PAGE_ROWS_MAX;
        views.extend(page.value.into_iter().map(|view| (view.stage.clone(), view)));
        if !more {
            break page.status;
        }
    };
    // Not on a worker that serves players, since there may be many stages.
    let made = run_at_low_priority(move || {
        let mut stages = Vec::new();
        let is_wanted = |stage: &str, config: Option<&StageConfig>| {
            access.covers(stage, config) && filter.matches(stage, config)
        };
        for config in configs.iter() {
            let view = views.remove(&config.stage);
            if is_wanted(&config.stage, Some(config)) {
                stages.push(StageBody::new(&config.stage, Some(config.clone()), view));
            }
        }
        for (stage, view) in views {
            if is_wanted(&stage, None) {
                stages.push(StageBody::new(&stage, None, Some(view)));
            }
        }
        if access.customer().is_some() {
            stages.iter_mut().for_each(StageBody::hide_earlier_peak);
        }
        let (stages, more) = order.cut(stages);
        let cursor = stages.last().filter(|_| more).map(|last| cursor(&order.place(last)));
        (stages, cursor)
    });
    let (stages, cursor) = made
        .await
        .map_err(|_| Problem::unavailable("overloaded", "the list could not be made; try again"))?;
    Ok(StagesBody { stages, cursor, configuration_known, status: status.into() })
}
