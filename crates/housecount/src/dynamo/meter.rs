//! What DynamoDB costs, read off its replies: consumed capacity, by what it was for.

use aws_sdk_dynamodb::types::ConsumedCapacity;
use housecount_core::keys::{Key, KeyRange, Series};

use crate::metrics::{UnitLabel, Units};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Watch records.
    Ledger,
    /// Every heartbeat.
    Archive,
    /// Counts, and what names them.
    Snapshots,
    /// Which node does what.
    Leases,
    /// Stages' configuration.
    Stages,
    /// The log, where it is in DynamoDB.
    Log,
}

impl Purpose {
    /// What an item is for.
    #[must_use]
    pub fn of(key: &Key) -> Purpose {
        match key {
            Key::Series { series, .. } => Purpose::of_series(*series),
            Key::Chunk { chain, .. } | Key::ChunkPart { chain, .. } => Purpose::of_series(chain.series),
            Key::Heartbeat { .. } | Key::ItemsUntil { .. } => Purpose::Archive,
            Key::Snapshot { .. } | Key::Roster { .. } => Purpose::Snapshots,
            Key::Lease { .. } => Purpose::Leases,
            Key::Config { .. } | Key::Listed { .. } => Purpose::Stages,
        }
    }

    fn of_series(series: Series) -> Purpose {
        match series {
            Series::Ledger => Purpose::Ledger,
            Series::Archive => Purpose::Archive,
        }
    }

    /// What items of a range are for.
    #[must_use]
    pub fn of_range(range: &KeyRange) -> Purpose {
        if range.pk.starts_with("LEDGER") {
            Purpose::Ledger
        } else if range.pk.starts_with("ARCHIVE") || range.first.starts_with("HEARTBEAT") {
            Purpose::Archive
        } else if range.pk == "ROSTER" || range.first.starts_with("SNAPSHOT") {
            Purpose::Snapshots
        } else {
            Purpose::Stages
        }
    }

    fn name(self) -> &'static str {
        match self {
            Purpose::Ledger => "ledger",
            Purpose::Archive => "archive",
            Purpose::Snapshots => "snapshots",
            Purpose::Leases => "leases",
            Purpose::Stages => "stages",
            Purpose::Log => "log",
        }
    }
}

/// Read and write units so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    units: Units,
}

impl Meter {
    /// The counters, to be shown.
    #[must_use]
    pub fn units(&self) -> Units {
        self.units.clone()
    }

    /// Write units for a purpose.
    #[must_use]
    pub fn written(&self, purpose: Purpose) -> f64 {
        self.units.get_or_create(&label("write", purpose)).get()
    }

    /// Read units for a purpose.
    #[must_use]
    pub fn spent_on_reads(&self, purpose: Purpose) -> f64 {
        self.units.get_or_create(&label("read", purpose)).get()
    }

    pub(crate) fn write<'a>(
        &self,
        purpose: Purpose,
        consumed: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        self.add("write", purpose, consumed);
    }

    pub(crate) fn read<'a>(
        &self,
        purpose: Purpose,
        consumed: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        self.add("read", purpose, consumed);
    }

    fn add<'a>(
        &self,
        kind: &'static str,
        purpose: Purpose,
        consumed: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        let units: f64 = consumed.into_iter().filter_map(|consumed| consumed.capacity_units).sum();
        self.units.get_or_create(&label(kind, purpose)).inc_by(units);
    }
}

fn label(kind: &'static str, purpose: Purpose) -> UnitLabel {
    UnitLabel { kind, purpose: purpose.name() }
}
