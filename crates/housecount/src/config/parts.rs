//! Settings of the parts of a node, each with what that part needs only.

use housecount_core::archive::ArchiveParams;

use super::Settings;
use crate::archive::ArchiveSettings;
use crate::follower::FollowerSettings;
use crate::ingest::IngestSettings;
use crate::ledger::commit::CommitSettings;
use crate::snapshots::SnapshotSettings;

impl Settings {
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
