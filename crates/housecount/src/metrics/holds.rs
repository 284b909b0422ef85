//! How long the places in the code hold the fold's lock, for which heartbeats wait.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::labels::PlaceLabel;
use crate::hub::{BUCKETS_US, Hold, HoldTimes};

/// The histograms of all places, as of a scrape.
#[derive(Debug)]
pub struct LockHolds(pub Vec<(Hold, HoldTimes)>);

impl Collector for LockHolds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Time for which the lock that heartbeats wait for was held at once";
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
            family.encode_histogram::<PlaceLabel>(times.sum_ns as f64 / 1e9, count, &buckets, None)?;
        }
        Ok(())
    }
}
