//! Saturated: wrk sends the next heartbeat on a connection as soon as the last one is answered.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;

use super::{Ground, costs};
use crate::process::Process;
use crate::results::{Figures, figure};

/// Result that `wrk/heartbeat.lua` prints.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Report {
    requests: u64,
    us: u64,
    not_2xx: u64,
    broken: u64,
    p50_us: f64,
    p99_us: f64,
}

/// Measures one wrk per node. The connections are spread over the nodes.
pub fn run(ground: Ground<'_>, connections: usize) -> anyhow::Result<Figures> {
    let Ground { running, setup, sizes, place } = ground;
    let beats = place.beats(setup);
    if !sizes.warm_up.is_zero() {
        wrk(&running.addresses, connections, sizes.warm_up, &beats)?;
    }
    let before = running.used()?;
    let reports = wrk(&running.addresses, connections, sizes.measured, &beats)?;
    let spent = running.spent_since(&before)?;

    let answered: u64 = reports.iter().map(|r| r.requests).sum();
    ensure!(answered > 0, "not one heartbeat was answered");
    let mut figures = costs(spent, answered as f64);
    let rate: f64 = reports.iter().map(|r| r.requests as f64 / (r.us.max(1) as f64 / 1e6)).sum();
    // With two nodes the worse one counts, because quantiles can't be added.
    let worst = |of: fn(&Report) -> f64| reports.iter().map(of).fold(0.0, f64::max) / 1e3;
    figures.extend([
        (figure::RATE, rate),
        (figure::P50_MS, worst(|r| r.p50_us)),
        (figure::P99_MS, worst(|r| r.p99_us)),
        (figure::ERRORS, reports.iter().map(|r| r.not_2xx + r.broken).sum::<u64>() as f64),
    ]);
    Ok(figures)
}

/// Runs one wrk per node, all at the same time.
fn wrk(
    addresses: &[SocketAddr],
    connections: usize,
    time: Duration,
    beats: &Path,
) -> anyhow::Result<Vec<Report>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores.min(2) / addresses.len()).max(1);
    let one = |address: SocketAddr| {
        let mut command = Command::new("wrk");
        command
            .arg(format!("-t{threads}"))
            .arg(format!("-c{}", connections / addresses.len()))
            .arg(format!("-d{}s", time.as_secs()))
            .args(["--timeout", "10s", "-s"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("wrk/heartbeat.lua"))
            .arg(format!("http://{address}"))
            .arg("--")
            .arg(beats)
            .env("WRK_THREADS", threads.to_string());
        let text = Process::output("wrk", command, time + Duration::from_secs(60))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let line = line.with_context(|| format!("wrk printed no result: {text}"))?;
        serde_json::from_str(line).with_context(|| format!("wrk's result: {line}"))
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = addresses.iter().map(|a| scope.spawn(|| one(*a))).collect();
        runs.into_iter()
            .map(|run| {
                run.join().unwrap_or_else(|_| Err(anyhow!("the thread that waits for wrk failed")))
            })
            .collect()
    })
}
