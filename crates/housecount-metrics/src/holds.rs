//! Hold times of the fold's lock by place in the code, since heartbeats wait for that lock.

use std::fmt::Error;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::labels::PlaceLabel;

/// Reason for a hold of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hold {
    /// One look-up or one change whose time does not depend on the audience's size. It is not
    /// timed, because reading the clock would take longer.
    Look,
    /// Events are applied, or written to the log.
    Events,
    /// Time advances.
    Time,
    /// A slice of a list is copied.
    List,
    /// A slice of the proofs is visited.
    Proof,
    /// A slice of expired entries is evicted.
    Forget,
    /// A slice of the lost events is written to the log again.
    Rebuild,
    /// All handles of a partition get a new key: at start, and if another log has replaced the log.
    Rekey,
}

impl Hold {
    /// All places.
    pub const ALL: [Hold; 8] = [
        Hold::Look,
        Hold::Events,
        Hold::Time,
        Hold::List,
        Hold::Proof,
        Hold::Forget,
        Hold::Rebuild,
        Hold::Rekey,
    ];

    /// Label in the metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Hold::Look => "look",
            Hold::Events => "events",
            Hold::Time => "time",
            Hold::List => "list",
            Hold::Proof => "proof",
            Hold::Forget => "forget",
            Hold::Rebuild => "rebuild",
            Hold::Rekey => "rekey",
        }
    }
}

/// Upper bounds of the histogram's buckets, in microseconds.
pub const BUCKETS_US: [u64; 13] =
    [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 100_000, 1_000_000];

/// Histogram of the times for which one place has held the lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct HoldTimes {
    /// Number of holds by the first of [`BUCKETS_US`] that they fit into. The last number is of
    /// those that fit into none.
    pub buckets: [u64; BUCKETS_US.len() + 1],
    /// Sum of all holds, in nanoseconds.
    pub sum_ns: u64,
}

impl HoldTimes {
    /// Adds a hold.
    pub fn observe(&mut self, held: Duration) {
        let us = held.as_micros();
        let bucket = BUCKETS_US.partition_point(|bound| u128::from(*bound) < us);
        self.buckets[bucket] += 1;
        self.sum_ns =
            self.sum_ns.saturating_add(u64::try_from(held.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Histograms of all places at a scrape.
#[derive(Debug)]
pub struct LockHolds(pub Vec<(Hold, HoldTimes)>);

impl Collector for LockHolds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Time of one hold of the lock that heartbeats wait for";
        let mut metric = encoder.encode_descriptor(
            "housecount_lock_hold",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (hold, times) in &self.0 {
            let bounds = BUCKETS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(times.buckets).collect();
            let count = times.buckets.iter().sum();
            let place = PlaceLabel { place: hold.label() };
            let mut family = metric.encode_family(&place)?;
            family.encode_histogram::<PlaceLabel>(
                times.sum_ns as f64 / 1e9,
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
