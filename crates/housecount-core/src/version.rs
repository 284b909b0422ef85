//! Versions of a stage's configuration, one item per change, so that watch time keeps the customer
//! and tags of its time.
//!
//! A window has the version in force at its end. If the configuration was deleted within the
//! window, the window has the last version before. Each version stores the moment from which it
//! applies, so a changed `window` setting changes no history. A version never applies to committed
//! time, because the writer's transaction checks the [`fence`](crate::fence).

use std::fmt;

use crate::item::{Attr, AttrError, Item, number, text};
use crate::limits::STAGE_VERSIONS_MAX;
use crate::mutants::{Mutant, is_on};
use crate::span::Span;
use crate::stage::{StageConfig, StageConfigError};
use crate::time::UnixMs;

/// Name of the attribute with a version's number, in the version and in the configuration that it
/// made.
pub const VERSION: &str = "version";
const CHANGED_AT: &str = "changedAt";
const EFFECTIVE_FROM: &str = "effectiveFrom";
const DELETED: &str = "deleted";

/// A stage's configuration as one change left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    /// The stage's id.
    pub stage: String,
    /// Number of the version, from 1 and without gaps.
    pub number: u32,
    /// Time of the change, on the log's clock. It is never before that of the version before.
    pub changed_at: UnixMs,
    /// First millisecond of watch time that it applies to.
    pub effective_from: UnixMs,
    /// The configuration; `None` if the change was its deletion.
    pub config: Option<StageConfig>,
}

/// Error for a change of a stage that has the maximum number of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyVersions {
    /// Versions that the stage has.
    pub versions: u32,
}

/// Time of a change, and the state of the ledger that limits it.
#[derive(Clone, Copy, Debug)]
pub struct ChangeTime {
    /// Time on the log's clock.
    pub now: UnixMs,
    /// The setting `window`.
    pub window_ms: u64,
    /// Time up to which any node may commit the ledger.
    pub committed_to: UnixMs,
}

impl ConfigVersion {
    /// Returns the version for a configuration that was stored before there were versions. It
    /// applies to all time, as it did then.
    #[must_use]
    pub fn baseline(config: StageConfig) -> ConfigVersion {
        ConfigVersion {
            stage: config.stage.clone(),
            number: 1,
            changed_at: config.created_at,
            effective_from: UnixMs::ZERO,
            config: Some(config),
        }
    }

    /// Returns the version that follows `last`. These are the stage's last two versions in order,
    /// or fewer if it has fewer.
    ///
    /// # Errors
    /// Returns `TooManyVersions` beyond [`STAGE_VERSIONS_MAX`]. The last number is reserved for a
    /// deletion, so that one is always possible.
    pub fn after(
        last: &[ConfigVersion],
        stage: &str,
        config: Option<StageConfig>,
        time: &ChangeTime,
    ) -> Result<ConfigVersion, TooManyVersions> {
        let versions = last.last().map_or(0, |last| last.number);
        let max = STAGE_VERSIONS_MAX - u32::from(config.is_some());
        if versions >= max {
            return Err(TooManyVersions { versions });
        }
        let changed_at = last.last().map_or(time.now, |last| time.now.max(last.changed_at));
        let window = changed_at.aligned(time.window_ms);
        let begins = if config.is_some() { window } else { window.plus(time.window_ms) };
        let committed_to =
            if is_on(Mutant::IgnoreFence) { UnixMs::ZERO } else { time.committed_to };
        let effective_from = begins.max(committed_to).max(not_before(last));
        Ok(ConfigVersion {
            stage: stage.to_string(),
            number: versions + 1,
            changed_at,
            effective_from,
            config,
        })
    }

    /// Returns the version as an item.
    #[must_use]
    pub fn to_item(&self) -> Item {
        let mut item = match &self.config {
            Some(config) => config.to_item(),
            None => Item::from([
                ("stageArn".to_string(), Attr::S(self.stage.clone())),
                (DELETED.to_string(), Attr::Bool(true)),
            ]),
        };
        item.insert(VERSION.to_string(), Attr::N(u64::from(self.number)));
        item.insert(CHANGED_AT.to_string(), Attr::N(self.changed_at.0));
        item.insert(EFFECTIVE_FROM.to_string(), Attr::N(self.effective_from.0));
        item
    }

    /// Reads the version of an item.
    ///
    /// # Errors
    /// Returns an [`AttrError`] if an attribute is missing or of another type.
    pub fn from_item(item: &Item) -> Result<ConfigVersion, AttrError> {
        let stage = text(item, "stageArn")?.to_string();
        let config = match item.get(DELETED) {
            Some(Attr::Bool(true)) => None,
            Some(_) => return Err(AttrError { name: DELETED }),
            None => Some(StageConfig::from_item(item)?),
        };
        Ok(ConfigVersion {
            stage,
            number: u32::try_from(number(item, VERSION)?)
                .map_err(|_| AttrError { name: VERSION })?,
            changed_at: UnixMs(number(item, CHANGED_AT)?),
            effective_from: UnixMs(number(item, EFFECTIVE_FROM)?),
            config,
        })
    }
}

/// Returns the earliest moment from which the version after `last` may apply. It skips a deletion.
/// A configuration that is created again in the window of its deletion has that window.
fn not_before(last: &[ConfigVersion]) -> UnixMs {
    let configured = last.iter().rev().find(|version| version.config.is_some());
    configured.map_or(UnixMs::ZERO, |version| version.effective_from)
}

/// All versions of a stage, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigHistory {
    versions: Vec<ConfigVersion>,
}

/// A period with one configuration. It ends where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigPiece<'a> {
    /// First millisecond.
    pub from: UnixMs,
    /// Configuration in force; `None` if the stage is not configured.
    pub config: Option<&'a StageConfig>,
}

/// Fault in a stage's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryFault {
    /// Numbers are missing.
    Missing {
        /// First missing number.
        first: u32,
        /// Last missing number.
        last: u32,
    },
    /// There are more versions than allowed.
    TooMany {
        /// Last number.
        last: u32,
    },
    /// A version was changed, or applies, before the one that it follows.
    OutOfOrder {
        /// Number of the version.
        number: u32,
    },
    /// A deletion without a configuration to delete.
    NothingToDelete {
        /// Number of the version.
        number: u32,
    },
    /// A configuration beyond its bounds.
    OutOfBounds {
        /// Number of the version.
        number: u32,
        /// Exceeded bound.
        why: StageConfigError,
    },
}

impl fmt::Display for HistoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryFault::Missing { first, last } if first == last => {
                write!(f, "version {first} is missing")
            }
            HistoryFault::Missing { first, last } => {
                write!(f, "versions {first} to {last} are missing")
            }
            HistoryFault::TooMany { last } => {
                write!(f, "there are {last} versions; at most {STAGE_VERSIONS_MAX} are allowed")
            }
            HistoryFault::OutOfOrder { number } => {
                write!(f, "version {number} is earlier than the version that it follows")
            }
            HistoryFault::NothingToDelete { number } => {
                write!(f, "version {number} deletes a configuration that does not exist")
            }
            HistoryFault::OutOfBounds { number, why } => write!(f, "version {number}: {why}"),
        }
    }
}

impl ConfigHistory {
    /// Creates the history of these versions.
    #[must_use]
    pub fn new(mut versions: Vec<ConfigVersion>) -> ConfigHistory {
        versions.sort_by_key(|version| version.number);
        ConfigHistory { versions }
    }

    /// Returns the versions in order.
    #[must_use]
    pub fn versions(&self) -> &[ConfigVersion] {
        &self.versions
    }

    /// Returns the configuration that applies to the time from `at` on: the last of the versions
    /// that apply by then.
    #[must_use]
    pub fn in_force(&self, at: UnixMs) -> Option<&StageConfig> {
        let version = self.versions.iter().rev().find(|version| version.effective_from <= at);
        version.and_then(|version| version.config.as_ref())
    }

    /// Returns the range cut where the configuration changes, in at least one piece. Neighbours
    /// differ in name, customer or tags.
    #[must_use]
    pub fn pieces(&self, range: Span) -> Vec<ConfigPiece<'_>> {
        let mut cuts: Vec<UnixMs> =
            self.versions.iter().map(|version| version.effective_from).collect();
        cuts.retain(|at| range.from < *at && *at < range.to);
        cuts.push(range.from);
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces: Vec<ConfigPiece<'_>> = Vec::with_capacity(1);
        for from in cuts {
            let config = self.in_force(from);
            if pieces.last().is_none_or(|last| !is_same(last.config, config)) {
                pieces.push(ConfigPiece { from, config });
            }
        }
        pieces
    }

    /// Returns all faults of the history.
    #[must_use]
    pub fn faults(&self) -> Vec<HistoryFault> {
        let mut faults = Vec::new();
        let mut expected = 1;
        for (n, version) in self.versions.iter().enumerate() {
            let number = version.number;
            if expected < number {
                faults.push(HistoryFault::Missing { first: expected, last: number - 1 });
            }
            expected = number.saturating_add(1);
            let before = &self.versions[..n];
            let last = before.last();
            let is_late = last.is_none_or(|last| last.changed_at <= version.changed_at);
            if !is_late || version.effective_from < not_before(&before[n.saturating_sub(2)..]) {
                faults.push(HistoryFault::OutOfOrder { number });
            }
            match &version.config {
                None if last.is_none_or(|last| last.config.is_none()) => {
                    faults.push(HistoryFault::NothingToDelete { number });
                }
                Some(config) => {
                    faults.extend(
                        config.check().err().map(|why| HistoryFault::OutOfBounds { number, why }),
                    );
                }
                None => {}
            }
        }
        let last = expected - 1;
        if last > STAGE_VERSIONS_MAX {
            faults.push(HistoryFault::TooMany { last });
        }
        faults
    }
}

/// Returns whether two configurations are the same for watch time. The time of creation does not
/// matter.
fn is_same(one: Option<&StageConfig>, other: Option<&StageConfig>) -> bool {
    let fields =
        |config: &StageConfig| (config.name.clone(), config.customer.clone(), config.tags.clone());
    one.map(fields) == other.map(fields)
}

#[cfg(test)]
mod tests;
