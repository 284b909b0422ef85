//! Snapshots of counts in the cold tier.
//!
//! - [`service`]: the task that takes them.
//! - [`read`]: the snapshots of one stage.
//! - [`roster`]: the last counts of all stages. A node that starts without a log continues there.

pub mod read;
pub mod roster;
pub mod service;

use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::limits::{BRIDGE_AGE_MS_MAX, SNAPSHOT_STRETCH_MAX};

/// Settings of the snapshots.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotSettings {
    /// `snapshot_interval`
    pub interval_ms: u64,
    /// `snapshot_retention`
    pub retention_ms: u64,
}

/// Returns the stretched interval of snapshots. It never exceeds a quarter of the age at which a
/// snapshot is too old for a bridge, unless the setting itself does.
#[must_use]
pub fn stretched_ms(interval_ms: u64, stretch: u64) -> u64 {
    let bound_ms = interval_ms.max(BRIDGE_AGE_MS_MAX / 4);
    interval_ms.saturating_mul(stretch.clamp(1, SNAPSHOT_STRETCH_MAX)).min(bound_ms)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_within_bounds() {
        for (interval_ms, stretch, is_ms) in [
            (300_000, 1, 300_000),
            (300_000, 3, 900_000),
            (300_000, 99, 900_000),
            (600_000, 3, 900_000),
            (3_600_000, 3, 3_600_000),
            (1_000, 0, 1_000),
        ] {
            assert_eq!(stretched_ms(interval_ms, stretch), is_ms, "{interval_ms} x {stretch}");
        }
    }
}
