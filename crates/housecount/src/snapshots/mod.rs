//! Snapshots of counts in the cold tier.
//!
//! - [`service`]: the task that takes them.
//! - [`read`]: the snapshots of one stage.
//! - [`roster`]: the last counts of all stages. A node that starts without a log continues there.

pub mod read;
pub mod roster;
pub mod service;

use std::sync::atomic::{AtomicU64, Ordering};

/// Settings of the snapshots.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotSettings {
    /// `snapshot_interval`
    pub interval_ms: u64,
    /// `snapshot_retention`
    pub retention_ms: u64,
}

/// Factor by which the cost guard currently spaces snapshots. The log gets the factor of its
/// flushes directly.
#[derive(Debug)]
pub struct SnapshotSpacing(AtomicU64);

impl Default for SnapshotSpacing {
    fn default() -> SnapshotSpacing {
        SnapshotSpacing(AtomicU64::new(1))
    }
}

impl SnapshotSpacing {
    /// Current factor.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the factor.
    pub fn set(&self, factor: u64) {
        self.0.store(factor, Ordering::Relaxed);
    }
}
