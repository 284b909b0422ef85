//! Capacity that DynamoDB reports in its replies, by purpose.
//!
//! A lost reply can't be read, so its capacity is missing here. DynamoDB also charges a refused
//! conditional write, but the reply does not have the amount. The cold tier's drivers compute it
//! from the new and the stored item.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::keys::{Key, KeyRange, Series};
use housecount_core::units::Units;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Counters of DynamoDB's capacity units.
pub type UnitCounters = Family<UnitLabel, Counter<f64, AtomicU64>>;

/// Labels `kind` (read or write) and `purpose` of consumed units.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UnitLabel {
    /// The kind.
    pub kind: &'static str,
    /// The purpose.
    pub purpose: &'static str,
}

/// Purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Snapshots of counts, and rosters.
    Snapshots,
    /// Watch records.
    Ledger,
    /// Every heartbeat, for audit.
    Archive,
    /// Records of the log, where the log is in DynamoDB.
    Log,
    /// Leases of the nodes, and the fence up to which the ledger may be committed.
    Leases,
    /// Reads for callers of the API.
    Reads,
    /// Configuration of stages.
    Stages,
    /// Events of stages and counts, and the progress of webhooks.
    Events,
}

impl Purpose {
    /// All purposes, each at its own index: `ALL[purpose as usize]`.
    pub const ALL: [Purpose; 8] = [
        Purpose::Snapshots,
        Purpose::Ledger,
        Purpose::Archive,
        Purpose::Log,
        Purpose::Leases,
        Purpose::Reads,
        Purpose::Stages,
        Purpose::Events,
    ];

    /// Purpose of an item.
    #[must_use]
    pub fn of(key: &Key) -> Purpose {
        match key {
            Key::Series { series, .. } => Purpose::of_series(*series),
            Key::Chunk { chain, .. } | Key::ChunkPart { chain, .. } => {
                Purpose::of_series(chain.series)
            }
            Key::Heartbeat { .. } | Key::HeartbeatDay { .. } | Key::ItemArchiveCursor { .. } => {
                Purpose::Archive
            }
            Key::Snapshot { .. } | Key::Roster { .. } => Purpose::Snapshots,
            Key::EventBatch { .. } | Key::EventState { .. } | Key::WebhookProgress { .. } => {
                Purpose::Events
            }
            Key::Lease { .. } | Key::Fence => Purpose::Leases,
            Key::Config { .. }
            | Key::Version { .. }
            | Key::StageListEntry { .. }
            | Key::PublicCount { .. }
            | Key::PublicCountHead => Purpose::Stages,
        }
    }

    fn of_series(series: Series) -> Purpose {
        match series {
            Series::Ledger => Purpose::Ledger,
            Series::Archive => Purpose::Archive,
        }
    }

    /// Purpose of the items of a range.
    #[must_use]
    pub fn of_range(range: &KeyRange) -> Purpose {
        if range.pk.starts_with("LEDGER") {
            Purpose::Ledger
        } else if range.pk.starts_with("ARCHIVE")
            || range.pk == "HEARTBEATS"
            || range.first.starts_with("HEARTBEAT")
        {
            Purpose::Archive
        } else if range.pk == "ROSTER" || range.first.starts_with("SNAPSHOT") {
            Purpose::Snapshots
        } else if range.pk == "EVENTS" {
            Purpose::Events
        } else {
            Purpose::Stages
        }
    }

    /// Name in metrics and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Snapshots => "snapshots",
            Purpose::Ledger => "ledger",
            Purpose::Archive => "archive",
            Purpose::Log => "log",
            Purpose::Leases => "leases",
            Purpose::Reads => "reads",
            Purpose::Stages => "stages",
            Purpose::Events => "events",
        }
    }
}

/// Read and write units so far. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    shown: UnitCounters,
    counted: Arc<[PurposeUnits; Purpose::ALL.len()]>,
    put_bytes: Arc<AtomicU64>,
}

/// Units of one purpose.
#[derive(Debug, Default)]
struct PurposeUnits {
    writes: AtomicU64,
    read_halves: AtomicU64,
}

impl Meter {
    /// Counters for the metrics.
    #[must_use]
    pub fn counters(&self) -> UnitCounters {
        self.shown.clone()
    }

    /// Units consumed for a purpose.
    #[must_use]
    pub fn units(&self, purpose: Purpose) -> Units {
        let counted = &self.counted[purpose as usize];
        Units {
            writes: counted.writes.load(Ordering::Relaxed),
            read_halves: counted.read_halves.load(Ordering::Relaxed),
        }
    }

    /// Bytes of the items that this process has put, with their index. The process knows of no
    /// other stored bytes.
    #[must_use]
    pub fn put_bytes(&self) -> u64 {
        self.put_bytes.load(Ordering::Relaxed)
    }

    /// Records the bytes of items that were put.
    pub fn put(&self, bytes: u64) {
        self.put_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records consumed units, by the reply or else by DynamoDB's rules.
    pub fn add(&self, purpose: Purpose, units: Units) {
        let counted = &self.counted[purpose as usize];
        counted.writes.fetch_add(units.writes, Ordering::Relaxed);
        counted.read_halves.fetch_add(units.read_halves, Ordering::Relaxed);
        let label = |kind| UnitLabel { kind, purpose: purpose.name() };
        if units.writes > 0 {
            self.shown.get_or_create(&label("write")).inc_by(units.writes as f64);
        }
        if units.read_halves > 0 {
            self.shown.get_or_create(&label("read")).inc_by(units.read_halves as f64 / 2.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_by_purpose_and_shown() {
        let (meter, same) = (Meter::default(), Meter::default().clone());
        meter.add(Purpose::Log, Units { writes: 5, read_halves: 1 });
        meter.clone().add(Purpose::Reads, Units { writes: 0, read_halves: 3 });
        assert_eq!(meter.units(Purpose::Log), Units { writes: 5, read_halves: 1 });
        assert_eq!(meter.units(Purpose::Reads), Units { writes: 0, read_halves: 3 });
        assert_eq!(meter.units(Purpose::Ledger), Units::default());
        assert_eq!(same.units(Purpose::Log), Units::default());
        let label = UnitLabel { kind: "read", purpose: "reads" };
        assert_eq!(meter.counters().get_or_create(&label).get(), 1.5);
    }

    #[test]
    fn each_purpose_has_its_place() {
        for (place, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, place);
        }
    }
}
