//! Settings of an engine: plain fields with defaults.

use housecount_archive::ArchiveParams;
use housecount_core::fold::Rules;
use housecount_core::labels::{SEPARATOR, SessionLabels};
use housecount_core::limits::{LIVE_EVENTS_PER_SECOND, WINDOW_MS_MAX, WORKERS_MAX};

use crate::archive::ArchiveSettings;
use crate::follower::FollowerSettings;
use crate::ingest::{Ack, IngestSettings};
use crate::ledger::commit::CommitSettings;
use crate::snapshots::SnapshotSettings;

/// Settings of an engine. Durations are in ms.
///
/// The defaults are those of `housecount serve`. `housecount settings` prints what each means.
///
/// ```
/// use housecount_engine::{Rules, Settings};
///
/// let settings = Settings {
///     interval_ms: 10_000,
///     rules: Rules { ttl_ms: 40_000, leave_grace_ms: 3_000 },
///     ..Settings::default()
/// };
/// assert!(settings.rules.ttl_ms >= 3 * settings.interval_ms);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Number of threads that serve connections; zero for an engine that is called from its own
    /// process.
    pub workers: usize,
    /// Interval of a player's heartbeats.
    pub interval_ms: u64,
    /// Time after which a silent session ends, and grace after a leave.
    pub rules: Rules,
    /// Time for which a heartbeat may wait for others of its append.
    pub linger_ms: u64,
    /// Point at which an event is acknowledged.
    pub ack: Ack,
    /// Length of a window of the ledger.
    pub window_ms: u64,
    /// Interval of snapshots of the counts.
    pub snapshot_interval_ms: u64,
    /// Time for which snapshots are kept.
    pub snapshot_retention_ms: u64,
    /// Archive of all heartbeats; `None` to keep none.
    pub archive: Option<ArchiveSettings>,
    /// Time for which the ledger is kept; `None` keeps it for good.
    pub ledger_retention_ms: Option<u64>,
    /// Age up to which an event is still accepted.
    pub lateness_max_ms: u64,
    /// Whether counts are published as plain keys beside the log.
    pub publish_counts: bool,
    /// Whether a stage opens with its first heartbeat. Otherwise it must be configured before.
    pub stages_auto: bool,
    /// Messages of live counts per second of a stage, to all of its subscribers together.
    pub live_events_per_second: u64,
    /// Interval between two reads of the log.
    pub poll_ms: u64,
    /// Keys of labels that sessions may have; none for no labels.
    pub label_keys: Vec<String>,
}

/// Interval between two reads of the log. The counts of two nodes differ by this and two round
/// trips at most. That is less than the 100 ms within which nodes are to agree.
const POLL_MS: u64 = 50;

impl Default for Settings {
    fn default() -> Settings {
        const MINUTE_MS: u64 = 60_000;
        const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
        Settings {
            workers: 0,
            interval_ms: 30_000,
            rules: Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 },
            linger_ms: 10,
            ack: Ack::Log,
            window_ms: 5 * MINUTE_MS,
            snapshot_interval_ms: 5 * MINUTE_MS,
            snapshot_retention_ms: 30 * DAY_MS,
            archive: None,
            ledger_retention_ms: None,
            lateness_max_ms: 60 * MINUTE_MS,
            publish_counts: false,
            stages_auto: true,
            live_events_per_second: LIVE_EVENTS_PER_SECOND,
            poll_ms: POLL_MS,
            label_keys: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks the bounds of a program that has no file of settings. The commands check theirs with
    /// the names and sources of a file.
    pub(super) fn check(&self, has_cold: bool) -> Result<(), String> {
        let Rules { ttl_ms, leave_grace_ms } = self.rules;
        let archive = self.archive;
        let rules = [
            (self.workers <= WORKERS_MAX, "workers is too large"),
            (self.interval_ms >= 100, "interval_ms must be at least 100"),
            (ttl_ms / 3 >= self.interval_ms, "ttl_ms must be at least three times interval_ms"),
            (leave_grace_ms < ttl_ms, "leave_grace_ms must be less than ttl_ms"),
            (self.linger_ms <= 1_000, "linger_ms must be at most 1,000"),
            (
                (1_000..=WINDOW_MS_MAX).contains(&self.window_ms),
                "window_ms must be from a second to an hour",
            ),
            (self.snapshot_interval_ms >= 1_000, "snapshot_interval_ms must be at least 1,000"),
            (
                self.snapshot_retention_ms >= self.snapshot_interval_ms,
                "snapshot_retention_ms must be at least snapshot_interval_ms",
            ),
            (archive.is_none() || has_cold, "an archive needs a cold tier"),
            (
                archive.is_none_or(|kept| (1_000..=self.window_ms).contains(&kept.flush_ms)),
                "the archive's flush_ms must be from a second to window_ms",
            ),
            (self.stages_auto || has_cold, "stages_auto off needs a cold tier"),
            (self.live_events_per_second > 0, "live_events_per_second must be above zero"),
            (self.poll_ms > 0, "poll_ms must be above zero"),
            (are_keys(&self.label_keys), "label_keys must be at most 4 distinct keys of labels"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err((*broken).to_string()),
            None => Ok(()),
        }
    }

    /// Returns the settings that ingest needs.
    #[must_use]
    pub fn ingest(&self) -> IngestSettings {
        IngestSettings {
            ack: self.ack,
            linger_ms: self.linger_ms,
            lateness_max_ms: self.lateness_max_ms,
            ttl_ms: self.rules.ttl_ms,
            interval_ms: self.interval_ms,
        }
    }

    /// Returns the settings that the follower needs.
    #[must_use]
    pub fn follower(&self) -> FollowerSettings {
        FollowerSettings {
            interval_ms: self.interval_ms,
            ttl_ms: self.rules.ttl_ms,
            kept_ms: self.log_kept_ms(),
            poll_ms: self.poll_ms,
        }
    }

    /// Returns the settings that the commits of the ledger need.
    #[must_use]
    pub fn commit(&self) -> CommitSettings {
        CommitSettings {
            window_ms: self.window_ms,
            ttl_ms: self.rules.ttl_ms,
            interval_ms: self.interval_ms,
            retention_ms: self.ledger_retention_ms,
        }
    }

    /// Returns the settings that snapshots need.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotSettings {
        SnapshotSettings {
            interval_ms: self.snapshot_interval_ms,
            retention_ms: self.snapshot_retention_ms,
        }
    }

    /// Returns the parameters by which an archive that is kept like this predicts beats.
    #[must_use]
    pub fn archive_params(&self, kept: ArchiveSettings) -> ArchiveParams {
        ArchiveParams {
            interval_ms: self.interval_ms,
            slot_ms: kept.flush_ms,
            ttl_ms: self.rules.ttl_ms,
        }
    }

    /// Time for which the log is kept: all that a starting node needs, with its ids, and one more
    /// window.
    #[must_use]
    pub fn log_kept_ms(&self) -> u64 {
        2 * self.rules.ttl_ms + self.rules.handle_valid_ms() + self.window_ms
    }
}

/// Returns whether these are keys of labels, in any order.
fn are_keys(names: &[String]) -> bool {
    let (mut names, separator) = (names.to_vec(), SEPARATOR.to_string());
    names.sort_unstable();
    let values = separator.repeat(names.len().saturating_sub(1));
    names.iter().all(|name| !name.is_empty())
        && SessionLabels::parse(&names.join(&separator), &values, 0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ArchiveFormat;

    #[test]
    fn settings_out_of_bounds_are_named() {
        let usual = Settings::default;
        assert_eq!((usual().check(false), usual().check(true)), (Ok(()), Ok(())));
        let rules = Rules { ttl_ms: 89_999, leave_grace_ms: 0 };
        let late = Rules { ttl_ms: 90_000, leave_grace_ms: 90_000 };
        let archive = |flush_ms| {
            let form = ArchiveFormat::Packed;
            Some(ArchiveSettings { form, flush_ms, retention_ms: 1_000 })
        };
        let keys = |keys: &[&str]| keys.iter().map(|key| key.to_string()).collect::<Vec<_>>();
        let labels = Settings { label_keys: keys(&["device", "country"]), ..usual() };
        assert_eq!(labels.check(false), Ok(()));
        for (wrong, named) in [
            (Settings { workers: 257, ..usual() }, "workers"),
            (Settings { interval_ms: 0, ..usual() }, "interval_ms"),
            (Settings { rules, ..usual() }, "ttl_ms"),
            (Settings { rules: late, ..usual() }, "leave_grace_ms"),
            (Settings { linger_ms: 1_001, ..usual() }, "linger_ms"),
            (Settings { window_ms: 0, ..usual() }, "window_ms"),
            (Settings { window_ms: 3_600_001, ..usual() }, "window_ms"),
            (Settings { snapshot_interval_ms: 0, ..usual() }, "snapshot_interval_ms"),
            (Settings { snapshot_retention_ms: 1, ..usual() }, "snapshot_retention_ms"),
            (Settings { archive: archive(30_000), ..usual() }, "cold tier"),
            (Settings { stages_auto: false, ..usual() }, "stages_auto"),
            (Settings { poll_ms: 0, ..usual() }, "poll_ms"),
            (Settings { label_keys: keys(&["a", "a"]), ..usual() }, "label_keys"),
            (Settings { label_keys: keys(&[""]), ..usual() }, "label_keys"),
        ] {
            let error = wrong.check(false).unwrap_err();
            assert!(error.contains(named), "{wrong:?}: {error}");
        }
        let slow = Settings { archive: archive(300_001), ..usual() };
        assert!(slow.check(true).unwrap_err().contains("flush_ms"));
    }
}
