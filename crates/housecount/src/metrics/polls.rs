//! Durations of all polls on the worker threads, for benchmarks: a long poll keeps the heartbeats
//! of its worker waiting.
//!
//! tokio measures them only in builds with `--cfg tokio_unstable`, at two readings of the clock for
//! each poll. Other builds lack this file and its metric.

use std::fmt::Error;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tokio::runtime::{Builder, Handle, HistogramConfiguration, RuntimeMetrics};

use super::labels::WorkerLabel;

/// Width of a bucket. 1 ms is the upper bound of the fourth one.
const BUCKET: Duration = Duration::from_micros(250);
/// Number of buckets. Polls of 10 ms and more share the last one.
const BUCKETS: usize = 41;

static WORKERS: Mutex<Vec<(usize, RuntimeMetrics)>> = Mutex::new(Vec::new());

/// Measures polls on a worker's runtime before it is built.
pub fn measure(builder: &mut Builder) {
    let buckets = HistogramConfiguration::linear(BUCKET, BUCKETS);
    builder.enable_metrics_poll_time_histogram().metrics_poll_time_histogram_configuration(buckets);
}

/// Adds a worker's runtime to the metric.
pub fn register(number: usize, runtime: &Handle) {
    WORKERS.lock().push((number, runtime.metrics()));
}

/// The histograms of all workers, as of a scrape.
#[derive(Debug)]
pub struct PollTimes;

impl Collector for PollTimes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Time of a worker thread's polls";
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
        let mut metric = encoder.encode_descriptor("housecount_worker_poll", help, unit, kind)?;
        for (number, runtime) in WORKERS.lock().iter() {
            let last = runtime.poll_time_histogram_num_buckets().saturating_sub(1);
            let bucket = |n| {
                let bound = runtime.poll_time_histogram_bucket_range(n).end.as_secs_f64();
                let bound = if n == last { f64::INFINITY } else { bound };
                (bound, runtime.poll_time_histogram_bucket_count(0, n))
            };
            let buckets: Vec<(f64, u64)> = (0..=last).map(bucket).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let busy_s = runtime.worker_total_busy_duration(0).as_secs_f64();
            let worker = WorkerLabel { worker: *number as u64 };
            let mut family = metric.encode_family(&worker)?;
            family.encode_histogram::<WorkerLabel>(busy_s, count, &buckets, None)?;
        }
        Ok(())
    }
}
