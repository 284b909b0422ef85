//! The book of stages: their configuration and snapshots in the cold tier, and whether one is open.
//!
//! - [`change`]: a change of configuration, as a version that touches no committed window.
//! - [`history`]: the versions, read.

pub mod change;
pub mod history;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use housecount_core::ids::StageId;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::snapshot::Snapshot;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

use self::history::parse;
use crate::clock::mono_ms;
use crate::cold::{Cold, Page};
use crate::error::{ErrorKind, StoreError, StoreResult};

/// How long a configuration, or that there is none, is answered from memory. A change made through
/// another node shows here after this time.
const CACHE_MS: u64 = 10_000;
/// How long a count waits for what is configured about its stage.
const READ_WAIT: Duration = Duration::from_secs(2);
/// Stages remembered at most; more are asked for each time.
const CACHE_STAGES_MAX: usize = 100_000;

/// A stage that heartbeats may not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageClosed {
    /// It is not configured.
    NotConfigured(StageId),
    /// Nobody can say just now.
    Unknown(String),
}

/// Stages' configurations and snapshots in the cold tier, with a cache of open stages.
#[derive(Debug)]
pub struct StageStore {
    cold: Option<Arc<dyn Cold>>,
    /// The same, for what callers read.
    reads: Option<Arc<dyn Cold>>,
    auto: bool,
    window_ms: u64,
    /// Whose turn it is to change a configuration.
    turn: tokio::sync::Mutex<()>,
    remembered: Mutex<HashMap<StageId, CachedConfig>>,
}

/// What the cold tier last said about a stage, and when.
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
    StoreError::new(ErrorKind::Unsupported, "this node keeps nothing for good (cold = none)")
}

impl StageStore {
    /// The book. With `auto` every stage is open. `window_ms` is the ledger's window: changes apply
    /// to whole ones.
    #[must_use]
    pub fn new(cold: Option<Arc<dyn Cold>>, auto: bool, window_ms: u64) -> StageStore {
        let reads = cold.clone().map(Cold::metered_as_reads);
        let (turn, remembered) = (tokio::sync::Mutex::default(), Mutex::default());
        StageStore { cold, reads, auto, window_ms, turn, remembered }
    }

    /// Whether every stage is open, so that none needs to be asked about.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.auto
    }

    /// That heartbeats may open this stage.
    ///
    /// # Errors
    /// See [`StageClosed`].
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

    /// A stage's configuration as it was at most ten seconds ago, or, while the cold tier is away,
    /// as it was when it last answered.
    ///
    /// # Errors
    /// The cold tier's, if it has never answered for this stage.
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
                    // Not asked again for a while, or every call would wait for a cold tier that is
                    // away.
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

    /// A stage's configuration. Nothing is configured where there is no cold tier.
    pub async fn get(&self, stage: &StageId) -> StoreResult<Option<StageConfig>> {
        let Some(cold) = &self.cold else { return Ok(None) };
        match cold.get(&Key::Config { stage: stage.to_string() }).await? {
            Some(item) => parse(&item).map(Some),
            None => Ok(None),
        }
    }

    /// Configurations in the order of their ids.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> StoreResult<Vec<StageConfig>> {
        let Some(cold) = &self.cold else { return Ok(Vec::new()) };
        let rows = in_time(cold.query(&KeyRange::listed(after), &Page::first(limit))).await?;
        rows.iter().map(|(_, item)| parse(item)).collect()
    }

    /// A stage's snapshots, at most `limit`, those that have expired left out.
    pub async fn snapshots(
        &self,
        stage: &StageId,
        from: UnixMs,
        to: UnixMs,
        limit: usize,
        now: UnixMs,
    ) -> StoreResult<Vec<Snapshot>> {
        if from > to {
            return Ok(Vec::new());
        }
        let range = KeyRange::snapshots(stage.as_str(), from, to);
        let reads = self.reads.as_ref().ok_or_else(unsupported)?;
        let rows = reads.query(&range, &Page::first(limit)).await?;
        let read = |(sk, item): &(String, _)| {
            Snapshot::from_item(item, now)
                .map_err(|e| corrupt(&format!("snapshot {sk} of {stage}"), e))
        };
        rows.iter().filter_map(|row| read(row).transpose()).collect()
    }

    /// A stage's last snapshot, if there is one that has not expired.
    pub async fn last_snapshot(
        &self,
        stage: &StageId,
        now: UnixMs,
    ) -> StoreResult<Option<Snapshot>> {
        let Some(reads) = &self.reads else { return Ok(None) };
        let range = KeyRange::snapshots(stage.as_str(), UnixMs::ZERO, UnixMs::MAX);
        let rows = reads.query(&range, &Page::last(1)).await?;
        let Some((sk, item)) = rows.first() else { return Ok(None) };
        Snapshot::from_item(item, now).map_err(|e| corrupt(&format!("snapshot {sk} of {stage}"), e))
    }
}

/// A read that a count waits for: it is worth little, so it gets little time.
async fn in_time<T>(read: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    let late =
        |_| StoreError::new(ErrorKind::Unavailable, "the cold tier takes too long to answer");
    tokio::time::timeout(READ_WAIT, read).await.map_err(late)?
}

/// A stored item that can't be read.
fn corrupt(what: &str, error: housecount_core::item::AttrError) -> StoreError {
    StoreError::caused(ErrorKind::Corrupt, what.to_string(), error)
}
