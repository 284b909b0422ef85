//! All stages' configurations, kept for some seconds, since the cold tier charges for reads.

use std::sync::Arc;

use housecount_backend::clock::mono_ms;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::limits::{CONFIG_LIST_MS_MAX, PAGE_ROWS_MAX, STAGES_SORTED_MAX};
use housecount_core::stage::StageConfig;
use tokio::sync::Mutex;

use super::StageStore;

/// All configurations, as of the last read.
type KeptConfigs = Option<(u64, Arc<Vec<StageConfig>>)>;

/// All configurations, kept for some time.
#[derive(Debug)]
pub struct ConfigList {
    stages_max: usize,
    kept_ms: u64,
    kept: Mutex<KeptConfigs>,
}

impl Default for ConfigList {
    fn default() -> ConfigList {
        ConfigList::new(STAGES_SORTED_MAX, CONFIG_LIST_MS_MAX)
    }
}

impl ConfigList {
    /// Creates a list of at most `stages_max` configurations, which are kept for `kept_ms`.
    #[must_use]
    pub fn new(stages_max: usize, kept_ms: u64) -> ConfigList {
        ConfigList { stages_max, kept_ms, kept: Mutex::default() }
    }

    /// Returns all configurations, sorted by stage.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Unsupported` for too many stages.
    pub async fn get(&self, stages: &StageStore) -> StoreResult<Arc<Vec<StageConfig>>> {
        let mut kept = self.kept.lock().await;
        if let Some((read_ms, configs)) = &*kept
            && mono_ms().saturating_sub(*read_ms) < self.kept_ms
        {
            return Ok(configs.clone());
        }
        let mut all: Vec<StageConfig> = Vec::new();
        loop {
            let after = all.last().map(|config| config.stage.clone());
            let page = stages.list(after.as_deref(), PAGE_ROWS_MAX).await?;
            let more = page.len() == PAGE_ROWS_MAX;
            all.extend(page);
            if all.len() > self.stages_max {
                let why = "too many stages are configured to sort or filter them";
                return Err(StoreError::new(ErrorKind::Unsupported, why));
            }
            if !more {
                break;
            }
        }
        let all = Arc::new(all);
        *kept = Some((mono_ms(), all.clone()));
        Ok(all)
    }

    /// Forgets the configurations, because one was changed on this node.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}
