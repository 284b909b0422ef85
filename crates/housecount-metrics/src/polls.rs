//! Durations of all polls on the worker threads, for benchmarks. A long poll makes the heartbeats
//! of its worker wait.
//!
//! Each worker has two histograms: the elapsed time, which tokio measures, and the CPU time of the
//! thread. Their difference is time without a core, or before a lock that another thread holds.
//! Only builds with `--cfg tokio_unstable` have this file and its metrics. They cost two readings
//! of two clocks for each poll.

use std::cell::Cell;
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle, HistogramConfiguration, RuntimeMetrics};

use super::labels::WorkerLabel;

/// Width of a bucket. 1 ms is the upper bound of the fourth one.
const BUCKET: Duration = Duration::from_micros(250);
/// Number of buckets. Polls of 10 ms and more share the last one.
const BUCKETS: usize = 41;

static WORKERS: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

/// A worker's histograms.
#[derive(Debug)]
struct Worker {
    number: usize,
    wall: RuntimeMetrics,
    cpu: Arc<CpuTimes>,
}

/// Histogram of the CPU times of polls.
#[derive(Debug)]
struct CpuTimes {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for CpuTimes {
    fn default() -> CpuTimes {
        CpuTimes { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

impl CpuTimes {
    fn observe(&self, used_ns: u64) {
        let bucket = usize::try_from(used_ns / BUCKET.as_nanos() as u64).unwrap_or(BUCKETS);
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(used_ns, Ordering::Relaxed);
    }
}

thread_local! {
    /// CPU time of this thread at the start of the current poll.
    static BEGAN_NS: Cell<u64> = const { Cell::new(0) };
}

fn thread_cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}

/// Measures polls on a worker's runtime before it is built.
pub fn measure(builder: &mut Builder) -> Measured {
    let buckets = HistogramConfiguration::linear(BUCKET, BUCKETS);
    builder.enable_metrics_poll_time_histogram().metrics_poll_time_histogram_configuration(buckets);
    let cpu = Arc::new(CpuTimes::default());
    let times = cpu.clone();
    builder.on_before_task_poll(|_| BEGAN_NS.set(thread_cpu_ns()));
    builder.on_after_task_poll(move |_| {
        times.observe(thread_cpu_ns().saturating_sub(BEGAN_NS.get()));
    });
    Measured(cpu)
}

/// CPU times of a runtime that is being built.
#[derive(Debug)]
pub struct Measured(Arc<CpuTimes>);

/// Adds a worker's runtime to the metrics.
pub fn register(number: usize, runtime: &Handle, Measured(cpu): Measured) {
    WORKERS.lock().push(Worker { number, wall: runtime.metrics(), cpu });
}

/// Histograms of all workers at a scrape.
#[derive(Debug)]
pub struct PollTimes;

impl Collector for PollTimes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        encode(
            &mut encoder,
            "housecount_worker_poll",
            "Time of a worker thread's polls",
            |Worker { wall, .. }| {
                let last = wall.poll_time_histogram_num_buckets().saturating_sub(1);
                let counts =
                    (0..=last).map(|n| wall.poll_time_histogram_bucket_count(0, n)).collect();
                (counts, wall.worker_total_busy_duration(0))
            },
        )?;
        encode(
            &mut encoder,
            "housecount_worker_poll_cpu",
            "CPU time of a worker thread's polls",
            |Worker { cpu, .. }| {
                let counts = cpu.buckets.iter().map(|count| count.load(Ordering::Relaxed));
                let sum_ns = cpu.sum_ns.load(Ordering::Relaxed);
                (counts.collect(), Duration::from_nanos(sum_ns))
            },
        )
    }
}

/// Writes a histogram of each worker: the counts of its buckets, and its sum.
fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    histogram: impl Fn(&Worker) -> (Vec<u64>, Duration),
) -> Result<(), Error> {
    let kind = MetricType::Histogram;
    let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
    for worker in WORKERS.lock().iter() {
        let (counts, sum) = histogram(worker);
        let last = counts.len().saturating_sub(1);
        let bound = |n: usize| {
            if n == last { f64::INFINITY } else { (BUCKET * (n as u32 + 1)).as_secs_f64() }
        };
        let buckets: Vec<(f64, u64)> =
            counts.iter().enumerate().map(|(n, count)| (bound(n), *count)).collect();
        let label = WorkerLabel { worker: worker.number as u64 };
        let mut family = metric.encode_family(&label)?;
        let count = counts.iter().sum();
        family.encode_histogram::<WorkerLabel>(sum.as_secs_f64(), count, &buckets, None)?;
    }
    Ok(())
}
