//! Capacity that DynamoDB reports in its replies, by purpose.
//!
//! A lost reply can't be read, so its capacity is missing here. DynamoDB also charges a refused
//! conditional write, but the reply does not have the amount. The cold tier's drivers compute it
//! from the new and the stored item.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "dynamodb")]
use aws_sdk_dynamodb::types::ConsumedCapacity;
use housecount_core::cost::Units;
use housecount_core::keys::{Key, KeyRange, Series};

use crate::metrics::UnitCounters;
#[cfg(any(feature = "dynamodb", feature = "sqlite"))]
use crate::metrics::UnitLabel;

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
}

impl Purpose {
    /// All purposes, each at its own index: `ALL[purpose as usize]`.
    pub const ALL: [Purpose; 7] = [
        Purpose::Snapshots,
        Purpose::Ledger,
        Purpose::Archive,
        Purpose::Log,
        Purpose::Leases,
        Purpose::Reads,
        Purpose::Stages,
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
            Key::Lease { .. } | Key::Fence => Purpose::Leases,
            Key::Config { .. } | Key::Version { .. } | Key::StageListEntry { .. } => {
                Purpose::Stages
            }
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
    #[cfg(any(feature = "dynamodb", feature = "sqlite"))]
    pub(crate) fn put(&self, bytes: u64) {
        self.put_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records the capacity of a write, from its reply.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn write<'a>(
        &self,
        purpose: Purpose,
        consumed: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        self.add(purpose, Units::writes(halves(consumed) / 2));
    }

    /// Records the capacity of a read, from its reply.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn read<'a>(
        &self,
        purpose: Purpose,
        consumed: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        self.add(purpose, Units { writes: 0, read_halves: halves(consumed) });
    }

    /// Records consumed units, by the reply or else by DynamoDB's rules.
    #[cfg(any(feature = "dynamodb", feature = "sqlite"))]
    pub(crate) fn add(&self, purpose: Purpose, units: Units) {
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

/// Sums units in halves. Replies have floats, but always multiples of a half.
#[cfg(feature = "dynamodb")]
fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    let halves = consumed
        .into_iter()
        .filter_map(|consumed| consumed.capacity_units)
        .map(|units| units * 2.0);
    halves.map(|halves| halves.round() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_counted_by_purpose_and_shown() {
        let (meter, same) = (Meter::default(), Meter::default().clone());
        let reply = |units| ConsumedCapacity::builder().capacity_units(units).build();
        meter.write(Purpose::Log, &[reply(3.0), reply(2.0)]);
        meter.read(Purpose::Log, &[reply(0.5)]);
        meter.clone().read(Purpose::Reads, &[reply(1.5)]);
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
