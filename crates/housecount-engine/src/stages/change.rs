//! Changes of a stage's configuration: the new version, the configuration and its copy in the list,
//! in one transaction.
//!
//! A version must not apply to time that any node has committed, nor be lost to another node's
//! change. So the transaction succeeds only if the stage and the [`fence`] have not changed since
//! they were read. Otherwise the change is applied again to the new state. The result does not
//! depend on a right clock, a quick node, or a prompt request.

use std::time::Duration;

use housecount_backend::cold::{Cold, Condition, KeyedItem, Page, TransactOutcome, Write};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::rng;
use housecount_core::ids::StageId;
use housecount_core::item::{Attr, Item, number_or_zero};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::{CHANGE_TRIES_MAX, CHANGE_WAIT_MS_MAX};
use housecount_core::stage::{StageConfig, StageConfigError, public_count_item};
use housecount_core::time::UnixMs;
use housecount_core::version::{ChangeTime, ConfigVersion, TooManyVersions, VERSION};

use super::history::{parse, parse_version};
use super::{REVISION, StageStore};
use crate::ledger::fence;

/// Result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedStage {
    /// Current configuration; `None` after a deletion.
    pub config: Option<StageConfig>,
    /// First millisecond of watch time that it applies to.
    pub effective_from: UnixMs,
}

/// Reason why a configuration was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The stage has no configuration to change or delete.
    #[error("the stage is not configured")]
    NotConfigured,
    /// The stage already has a configuration.
    #[error("the stage is already configured")]
    AlreadyConfigured,
    /// The configuration would exceed its bounds.
    #[error(transparent)]
    Invalid(#[from] StageConfigError),
    /// The stage has reached the number of versions that are kept.
    #[error("the stage has had {} changes", .0.versions)]
    TooMany(TooManyVersions),
    /// Too many changes wait on this node.
    #[error("too many changes are waiting")]
    Busy,
    /// The cold tier returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stored state of a stage before a change.
struct Before {
    fence: fence::Reading,
    /// Last two versions, in order.
    last: Vec<ConfigVersion>,
    /// Whether the versions are stored. A configuration from before there were versions has none.
    is_stored: bool,
}

impl Before {
    fn current(&self) -> Option<&ConfigVersion> {
        self.last.last().filter(|version| version.config.is_some())
    }
}

impl StageStore {
    /// Creates the configuration of a stage that has none. `now` is the log's time.
    ///
    /// # Errors
    /// Returns `AlreadyConfigured`, `Invalid`, `TooMany`, `Busy`, or `Store` with the cold tier's
    /// error.
    pub async fn create(
        &self,
        config: StageConfig,
        now: UnixMs,
    ) -> Result<ChangedStage, ChangeError> {
        config.check()?;
        let make = |before: Option<&StageConfig>| match before {
            Some(_) => Err(ChangeError::AlreadyConfigured),
            None => Ok(Some(config.clone())),
        };
        self.change_to(&config.stage, now, make).await
    }

    /// Changes a configuration. `edit` is called again if another change comes first.
    ///
    /// # Errors
    /// Returns `NotConfigured`, `Invalid`, `TooMany`, `Busy`, or `Store` with the cold tier's
    /// error.
    pub async fn edit(
        &self,
        stage: &StageId,
        now: UnixMs,
        edit: impl Fn(&mut StageConfig) + Send + Sync,
    ) -> Result<ChangedStage, ChangeError> {
        let make = |before: Option<&StageConfig>| {
            let mut config = before.ok_or(ChangeError::NotConfigured)?.clone();
            edit(&mut config);
            config.check()?;
            Ok(Some(config))
        };
        self.change_to(stage.as_str(), now, make).await
    }

    /// Deletes a configuration; the stage's records stay.
    ///
    /// # Errors
    /// Returns `NotConfigured`, `TooMany`, `Busy`, or `Store` with the cold tier's error.
    pub async fn delete(&self, stage: &StageId, now: UnixMs) -> Result<ChangedStage, ChangeError> {
        let make =
            |before: Option<&StageConfig>| before.map(|_| None).ok_or(ChangeError::NotConfigured);
        self.change_to(stage.as_str(), now, make).await
    }

    async fn change_to(
        &self,
        stage: &str,
        now: UnixMs,
        make: impl Fn(Option<&StageConfig>) -> Result<Option<StageConfig>, ChangeError>,
    ) -> Result<ChangedStage, ChangeError> {
        let cold = &**self.cold()?;
        // Changes run one after the other, because transactions of one node that meet at the fence
        // would only refuse each other.
        let turn =
            tokio::time::timeout(Duration::from_millis(CHANGE_WAIT_MS_MAX), self.turn.lock());
        let _turn = turn.await.map_err(|_| ChangeError::Busy)?;
        let mut tried = None;
        for _ in 0..CHANGE_TRIES_MAX {
            let before = read_before(cold, stage).await?;
            if let Some(last) = before.last.last().filter(|last| tried.as_ref() == Some(*last)) {
                // The previous try was written, and its answer was lost.
                return Ok(self.done(stage, last.config.clone(), last.effective_from));
            }
            let config = make(before.current().and_then(|version| version.config.as_ref()))?;
            if let Some(current) = before.current().filter(|current| current.config == config) {
                return Ok(self.done(stage, config, current.effective_from));
            }
            let time = ChangeTime {
                now,
                window_ms: self.window_ms,
                committed_to: before.fence.committed_to,
            };
            let next = ConfigVersion::after(&before.last, stage, config, &time);
            let next = next.map_err(ChangeError::TooMany)?;
            if cold.transact(writes(&before, &next)).await? == TransactOutcome::Done {
                return Ok(self.done(stage, next.config, next.effective_from));
            }
            tried = Some(next);
        }
        let why = format!(
            "the change of stage {stage} lost {CHANGE_TRIES_MAX} times to other changes or commits; try again"
        );
        Err(StoreError::new(ErrorKind::Throttled, why).into())
    }

    fn done(
        &self,
        stage: &str,
        config: Option<StageConfig>,
        effective_from: UnixMs,
    ) -> ChangedStage {
        if let Ok(stage) = StageId::parse(stage) {
            self.remember(&stage, config.clone());
        }
        ChangedStage { config, effective_from }
    }
}

async fn read_before(cold: &dyn Cold, stage: &str) -> StoreResult<Before> {
    let fence = fence::read(cold).await?;
    let page = Page { consistent: true, ..Page::last(2) };
    let rows = cold.query(&KeyRange::versions(stage), &page).await?;
    let last =
        rows.iter().rev().map(|row| parse_version(stage, row)).collect::<StoreResult<Vec<_>>>()?;
    if !last.is_empty() {
        return Ok(Before { fence, last, is_stored: true });
    }
    let config = cold.get(&Key::Config { stage: stage.to_string() }).await?;
    match config {
        Some(item) if number_or_zero(&item, VERSION) > 0 => {
            let why = format!("STAGE#{stage}: the versions that CONFIG refers to are missing");
            Err(StoreError::new(ErrorKind::Corrupt, why))
        }
        config => {
            let config = config.as_ref().map(parse).transpose()?;
            let last = config.map(ConfigVersion::baseline).into_iter().collect();
            Ok(Before { fence, last, is_stored: false })
        }
    }
}

/// All writes of a change: the fence as read, the version, the configuration and its copy in the
/// list.
fn writes(before: &Before, next: &ConfigVersion) -> Vec<Write> {
    let baseline = before.last.iter().filter(|_| !before.is_stored);
    let versions = baseline.chain([next]).map(|version| Write::Put {
        record: KeyedItem {
            key: Key::Version { stage: version.stage.clone(), number: version.number },
            item: version.to_item(),
        },
        condition: Some(Condition::Absent),
    });
    let keys = [
        Key::Config { stage: next.stage.clone() },
        Key::StageListEntry { stage: next.stage.clone() },
    ];
    let configs = keys.into_iter().map(|key| match &next.config {
        Some(config) => Write::Put {
            record: KeyedItem { key, item: config_item(config, next.number) },
            condition: None,
        },
        None => Write::Delete(key),
    });
    let public_count = public_count_writes(before, next);
    versions.chain([before.fence.unchanged()]).chain(configs).chain(public_count).collect()
}

/// Writes of the list of public counts, if the change sets another one.
fn public_count_writes(before: &Before, next: &ConfigVersion) -> Vec<Write> {
    let of = |config: Option<&StageConfig>| config.and_then(|config| config.public_count);
    let value = of(next.config.as_ref());
    if value == of(before.current().and_then(|version| version.config.as_ref())) {
        return Vec::new();
    }
    let key = Key::PublicCount { stage: next.stage.clone() };
    let put = |key, item| Write::Put { record: KeyedItem { key, item }, condition: None };
    let entry = match value {
        Some(value) => put(key, public_count_item(value)),
        None => Write::Delete(key),
    };
    // Any other number shows that the list has changed, whichever change came last.
    let revision = Attr::N(u64::from(rng::random::<u32>()) << 16 | u64::from(rng::random::<u16>()));
    let head = Item::from([(REVISION.to_string(), revision)]);
    vec![entry, put(Key::PublicCountHead, head)]
}

/// Item of the configuration as other programs read it, with the number of the version that made
/// it.
fn config_item(config: &StageConfig, version: u32) -> Item {
    let mut item = config.to_item();
    item.insert(VERSION.to_string(), Attr::N(u64::from(version)));
    item
}
