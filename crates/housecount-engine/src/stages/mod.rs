//! Store of stages: their configuration in the cold tier, and whether a stage is open.
//!
//! - [`change`]: a change of configuration, as a version that affects no committed window.
//! - [`history`]: reads of the versions.
//! - [`config_list`]: all configurations, kept for some seconds.
//! - [`public_counts`]: views that players have of counts.

pub mod change;
pub mod config_list;
pub mod history;
pub mod public_counts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::cold::{Cold, Page};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::ids::StageId;
use housecount_core::item::number_or_zero;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::public_count::PublicCount;
use housecount_core::stage::{StageConfig, public_count_of};
use parking_lot::Mutex;

use self::history::parse;

/// Time for which a configuration, or its absence, is answered from memory. A change made through
/// another node is visible here after this time.
const CACHE_MS: u64 = 10_000;
/// Time for which a count waits for its stage's configuration.
const READ_WAIT: Duration = Duration::from_secs(2);
/// Attribute of the mark of the last change of the list of public counts.
const REVISION: &str = "revision";
/// Maximum number of cached stages; others are read each time.
const CACHE_STAGES_MAX: usize = 100_000;

/// Reason why heartbeats may not open a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageClosed {
    /// The stage is not configured.
    NotConfigured(StageId),
    /// The cold tier can't answer at the moment.
    Unknown(String),
}

/// Stages' configurations in the cold tier, with a cache of open stages.
#[derive(Debug)]
pub struct StageStore {
    cold: Option<Arc<dyn Cold>>,
    auto: bool,
    window_ms: u64,
    /// Lock for changes of configurations.
    turn: tokio::sync::Mutex<()>,
    remembered: Mutex<HashMap<StageId, CachedConfig>>,
}

/// Last answer of the cold tier about a stage, and its time.
#[derive(Clone, Debug)]
struct CachedConfig {
    config: Option<StageConfig>,
    at_ms: u64,
}

impl CachedConfig {
    fn is_fresh(&self) -> bool {
        mono_ms().saturating_sub(self.at_ms) < CACHE_MS
    }
}

fn unsupported() -> StoreError {
    StoreError::new(ErrorKind::Unsupported, "this node has no cold tier (cold = none)")
}

impl StageStore {
    /// A store. With `auto` every stage is open. `window_ms` is the ledger's window, since changes
    /// apply to whole windows.
    #[must_use]
    pub fn new(cold: Option<Arc<dyn Cold>>, auto: bool, window_ms: u64) -> StageStore {
        let (turn, remembered) = (tokio::sync::Mutex::default(), Mutex::default());
        StageStore { cold, auto, window_ms, turn, remembered }
    }

    /// Whether every stage is open, so that no stage needs a check.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.auto
    }

    /// Checks that heartbeats may open this stage.
    ///
    /// # Errors
    /// Returns [`StageClosed::NotConfigured`], or [`StageClosed::Unknown`] if the cold tier can't
    /// answer.
    pub async fn check_open(&self, stage: &StageId) -> Result<(), StageClosed> {
        if self.auto {
            return Ok(());
        }
        match self.look_up(stage).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(StageClosed::NotConfigured(stage.clone())),
            Err(error) => Err(StageClosed::Unknown(error.to_string())),
        }
    }

    /// Returns a stage's configuration as of at most ten seconds ago. While the cold tier is
    /// unavailable, its last answer is returned.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError` if the tier has never answered for this stage.
    pub async fn look_up(&self, stage: &StageId) -> StoreResult<Option<StageConfig>> {
        let known = self.remembered.lock().get(stage).cloned();
        match known {
            Some(known) if known.is_fresh() => Ok(known.config),
            known => match (in_time(self.get(stage)).await, known) {
                (Ok(config), _) => {
                    self.remember(stage, config.clone());
                    Ok(config)
                }
                (Err(_), Some(known)) => {
                    // The last answer is cached again, since otherwise every call would wait for an
                    // unavailable cold tier.
                    self.remember(stage, known.config.clone());
                    Ok(known.config)
                }
                (Err(error), None) => Err(error),
            },
        }
    }

    fn remember(&self, stage: &StageId, config: Option<StageConfig>) {
        let mut remembered = self.remembered.lock();
        if remembered.len() >= CACHE_STAGES_MAX {
            remembered.retain(|_, known| known.is_fresh());
        }
        if remembered.len() < CACHE_STAGES_MAX {
            remembered.insert(stage.clone(), CachedConfig { config, at_ms: mono_ms() });
        }
    }

    fn cold(&self) -> StoreResult<&Arc<dyn Cold>> {
        self.cold.as_ref().ok_or_else(unsupported)
    }

    /// Returns a stage's configuration. Without a cold tier, no stage is configured.
    pub async fn get(&self, stage: &StageId) -> StoreResult<Option<StageConfig>> {
        let Some(cold) = &self.cold else { return Ok(None) };
        match cold.get(&Key::Config { stage: stage.to_string() }).await? {
            Some(item) => parse(&item).map(Some),
            None => Ok(None),
        }
    }

    /// Lists configurations in the order of their ids.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> StoreResult<Vec<StageConfig>> {
        let Some(cold) = &self.cold else { return Ok(Vec::new()) };
        let rows = in_time(cold.query(&KeyRange::listed(after), &Page::first(limit))).await?;
        rows.iter().map(|(_, item)| parse(item)).collect()
    }
}

impl StageStore {
    /// Returns the mark of the last change of the list of public counts; `None` if no stage ever
    /// had one of its own. It may be some seconds old.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`.
    pub async fn public_count_revision(&self) -> StoreResult<Option<u64>> {
        let Some(cold) = &self.cold else { return Ok(None) };
        let (head, first) = (KeyRange::public_count_head(), Page::first(1));
        let rows = in_time(cold.query(&head, &first)).await?;
        Ok(rows.first().map(|(_, item)| number_or_zero(item, REVISION)))
    }

    /// Lists the stages with a public count of their own, in the order of their ids.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt`.
    pub async fn public_counts(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<(String, PublicCount)>> {
        let Some(cold) = &self.cold else { return Ok(Vec::new()) };
        // An older list would be taken for the one that the mark is of.
        let page = Page { consistent: true, ..Page::first(limit) };
        let rows = in_time(cold.query(&KeyRange::public_counts(after), &page)).await?;
        let parsed = rows.into_iter().map(|(stage, item)| {
            let value = public_count_of(&item);
            Ok((stage, value.map_err(|error| corrupt("a stage's public count", error))?))
        });
        parsed.collect()
    }
}

/// Limits the time of a read that a count waits for.
async fn in_time<T>(read: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    let late =
        |_| StoreError::new(ErrorKind::Unavailable, "the cold tier takes too long to answer");
    tokio::time::timeout(READ_WAIT, read).await.map_err(late)?
}

/// The error for a stored item that can't be read.
fn corrupt(what: &str, error: housecount_core::item::AttrError) -> StoreError {
    StoreError::caused(ErrorKind::Corrupt, what.to_string(), error)
}
