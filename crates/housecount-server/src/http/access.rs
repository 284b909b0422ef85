//! Stages that the sender of a request may read or change: all, or those of its limited key.
//!
//! The guard of a scope (`auth::require_scope_layer`) gives each request a [`StageAccess`], and a
//! handler takes it, by itself or with its stage (`extract`). A handler that takes none can't have
//! filtered its answer. So the guard answers a limited key 403 instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use housecount_access::auth::KeyLimit;
use housecount_backend::error::StoreResult;
use housecount_core::ids::StageId;
use housecount_core::limits::KEY_STAGES_MAX;
use housecount_core::span::Span;
use housecount_core::stage::StageConfig;
use housecount_reports::customers::{
    StageChoice, TooManyStages, filter_of_customer, filter_of_stage,
};
use housecount_reports::filter::SpanFilter;
use housecount_reports::read::Sources;

use super::error::Problem;
use super::extract::bad_query;
use super::watch::ledger_stores;
use crate::node::Node;

/// Stages that the sender of a request may read or change.
#[derive(Clone, Debug, Default)]
pub struct StageAccess {
    limit: Option<Arc<KeyLimit>>,
    /// Whether a handler has taken it.
    is_taken: Arc<AtomicBool>,
}

impl StageAccess {
    /// Creates the access of a key with this limit; `None` is all stages.
    #[must_use]
    pub fn new(limit: Option<Arc<KeyLimit>>) -> StageAccess {
        StageAccess { limit, is_taken: Arc::default() }
    }

    /// Takes the access out of a request's extensions. A request that no guard has checked is
    /// limited to no stage.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<StageAccess> {
        let access = extensions.get::<StageAccess>()?;
        access.is_taken.store(true, Ordering::Relaxed);
        Some(access.clone())
    }

    /// Takes the access as [`of`](Self::of) does.
    ///
    /// # Errors
    /// Returns a 401 `Problem` if no guard has checked the request.
    pub fn of_guarded(extensions: &Extensions) -> Result<StageAccess, Problem> {
        StageAccess::of(extensions)
            .ok_or_else(|| Problem::unauthorized("this call has no checked key"))
    }

    /// Whether a handler has taken the access.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }

    /// Whether the sender is limited at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Returns the customer that the sender is limited to.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        self.limit.as_deref().and_then(KeyLimit::customer)
    }

    /// Checks that the sender is not limited, for a call that can't be filtered.
    ///
    /// # Errors
    /// Returns a 403 `Problem` `key_limited`.
    pub fn require_all(&self) -> Result<(), Problem> {
        if self.is_limited() { Err(Problem::key_limited()) } else { Ok(()) }
    }

    /// Whether the sender may see a stage that has this configuration now.
    #[must_use]
    pub fn covers(&self, stage: &str, config: Option<&StageConfig>) -> bool {
        let customer = config.and_then(|config| config.customer.as_deref());
        self.limit.as_ref().is_none_or(|limit| limit.covers(stage, customer))
    }

    /// Whether the sender may see a stage now, by its configuration of at most ten seconds ago.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError` if the customer of the stage is not known.
    pub async fn covers_now(&self, node: &Node, stage: &StageId) -> StoreResult<bool> {
        let Some(limit) = &self.limit else { return Ok(true) };
        if !limit.matches_id(stage.as_str()) || limit.customer().is_none() {
            return Ok(limit.matches_id(stage.as_str()));
        }
        let config = node.engine.stages.look_up(stage).await?;
        Ok(self.covers(stage.as_str(), config.as_ref()))
    }

    /// Checks that the sender may see a stage now.
    ///
    /// # Errors
    /// Returns a 403 `Problem` `outside_key`, also for a stage that does not exist. Returns the
    /// errors of [`covers_now`](Self::covers_now).
    pub async fn check_now(&self, node: &Node, stage: &StageId) -> Result<(), Problem> {
        match self.covers_now(node, stage).await? {
            true => Ok(()),
            false => Err(Problem::outside_key(stage)),
        }
    }

    /// Checks that the sender may change a stage, by its configuration as stored.
    ///
    /// # Errors
    /// Returns the errors of [`check_now`](Self::check_now).
    pub async fn check_stored(&self, node: &Node, stage: &StageId) -> Result<(), Problem> {
        if self.customer().is_none() {
            return self.check_now(node, stage).await;
        }
        let config = node.engine.stages.get(stage).await?;
        match self.covers(stage.as_str(), config.as_ref()) {
            true => Ok(()),
            false => Err(Problem::outside_key(stage)),
        }
    }

    /// Checks that the sender may configure a new stage, and returns the customer that it gets.
    ///
    /// A key that names its customer only may not: it could take any stage that is not configured
    /// yet, and read its viewers.
    ///
    /// # Errors
    /// Returns a 403 `Problem` `outside_key`.
    pub fn check_new(
        &self,
        stage: &StageId,
        customer: Option<String>,
    ) -> Result<Option<String>, Problem> {
        let Some(limit) = &self.limit else { return Ok(customer) };
        if !limit.has_patterns() {
            return Err(Problem::outside_key_because(
                "a key limited to a customer only can't configure new stages; give it stages, too",
            ));
        }
        let customer = customer.or_else(|| limit.customer().map(str::to_string));
        match limit.covers(stage.as_str(), customer.as_deref()) {
            true => Ok(customer),
            false if limit.matches_id(stage.as_str()) => Err(Problem::other_customer()),
            false => Err(Problem::outside_key(stage)),
        }
    }

    /// Checks that the sender may give a stage another customer.
    ///
    /// # Errors
    /// Returns a 403 `Problem` `outside_key`.
    pub fn check_customer(&self, customer: Option<&str>) -> Result<(), Problem> {
        match self.customer() {
            Some(own) if customer != Some(own) => Err(Problem::other_customer()),
            _ => Ok(()),
        }
    }

    /// Returns the part of a stage's time that the sender may see.
    ///
    /// # Errors
    /// Returns a 403 `Problem` `outside_key` if the sender may see no time, also for a stage that
    /// does not exist. Returns the cold tier's error.
    pub async fn filter_of_stage(
        &self,
        node: &Node,
        stage: &StageId,
    ) -> Result<SpanFilter, Problem> {
        let Some(limit) = &self.limit else { return Ok(SpanFilter::All) };
        if !limit.matches_id(stage.as_str()) {
            return Err(Problem::outside_key(stage));
        }
        let Some(customer) = limit.customer() else { return Ok(SpanFilter::All) };
        let cold = ledger_stores(node)?.cold;
        let filter = filter_of_stage(&cold, stage.as_str(), customer).await?;
        filter.ok_or_else(|| Problem::outside_key(stage))
    }

    /// Returns sources of which the sender may see all, of all stages within a range. `viewer`
    /// selects one viewer's stages.
    ///
    /// # Errors
    /// Returns a 400 `Problem` if the key's customer has too many stages in the range. Returns the
    /// error of the ledger.
    pub async fn filter_all(
        &self,
        node: &Node,
        mut sources: Sources,
        range: Span,
        viewer: Option<&str>,
    ) -> Result<Sources, Problem> {
        let Some(limit) = self.limit.clone() else { return Ok(sources) };
        let Some(customer) = limit.customer().map(str::to_string) else {
            return Ok(self.filter_ids(sources));
        };
        let choice = StageChoice {
            ids: Arc::new(move |stage| limit.matches_id(stage)),
            stages_max: KEY_STAGES_MAX,
        };
        let (reads, viewer) = (sources.clone(), viewer.map(str::to_string));
        let read = async move {
            filter_of_customer(&reads, range, viewer.as_deref(), &customer, choice).await
        };
        sources.filter = node.engine.scans.run(read).await?.map_err(|TooManyStages| {
            bad_query(format!(
                "the range has more than {KEY_STAGES_MAX} stages that the key may cover; choose a \
                 shorter range, or one stage"
            ))
        })?;
        Ok(sources)
    }

    /// Returns sources with the stages whose ids the sender may see, whatever their customer. The
    /// caller selects the customer.
    #[must_use]
    pub fn filter_ids(&self, mut sources: Sources) -> Sources {
        if let Some(limit) = self.limit.clone().filter(|limit| limit.has_patterns()) {
            sources.filter = SpanFilter::Ids(Arc::new(move |stage| limit.matches_id(stage)));
        }
        sources
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StageAccess {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<StageAccess, Problem> {
        StageAccess::of_guarded(&parts.extensions)
    }
}
