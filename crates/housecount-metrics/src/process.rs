//! Metrics of this process from the operating system, through the crate `procfs`, read at each
//! scrape. The names are those of every Prometheus client, without our prefix. They exist on Linux
//! only.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Metrics collector of this process: CPU, memory, threads, open files.
#[derive(Debug)]
pub struct ProcessCollector;

/// Figures of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    cpu_s: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    started_s: f64,
    open_fds: f64,
    max_fds: f64,
}

#[cfg(target_os = "linux")]
fn figures() -> Option<ProcessStats> {
    use procfs::WithCurrentSystemInfo;
    use procfs::process::{LimitValue, Process};

    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let started_s = procfs::boot_time_secs().ok()? as f64
        + stat.starttime as f64 / procfs::ticks_per_second() as f64;
    let max_fds = match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(files) => files as f64,
        LimitValue::Unlimited => f64::INFINITY,
    };
    Some(ProcessStats {
        cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        resident_bytes: stat.rss_bytes().get() as f64,
        virtual_bytes: stat.vsize as f64,
        threads: stat.num_threads as f64,
        started_s,
        open_fds: process.fd_count().ok()? as f64,
        max_fds,
    })
}

#[cfg(not(target_os = "linux"))]
fn figures() -> Option<ProcessStats> {
    None
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(figures) = figures() else { return Ok(()) };
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        gauge("process_resident_memory", "Memory in use", bytes, figures.resident_bytes)?;
        gauge("process_virtual_memory", "Memory mapped", bytes, figures.virtual_bytes)?;
        gauge("process_threads", "Threads", None, figures.threads)?;
        gauge("process_start_time", "Start of the process, Unix time", seconds, figures.started_s)?;
        gauge("process_open_fds", "Open file descriptors", None, figures.open_fds)?;
        gauge("process_max_fds", "Limit of open file descriptors", None, figures.max_fds)?;
        let cpu = ConstCounter::new(figures.cpu_s);
        let help = "CPU time, user and system";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, seconds, cpu.metric_type())?)
    }
}
