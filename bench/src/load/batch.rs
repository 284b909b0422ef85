//! Batches: calls of `/v1/heartbeats` with 1,000 heartbeats each. Each connection sends the next
//! call when the last one is answered.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::{Ground, costs, histogram, latencies};
use crate::http::{Client, post};
use crate::results::{Figures, figure};
use crate::running::Running;
use crate::viewers;

/// Heartbeats per call.
pub const CALL_BEATS: usize = 1_000;
const CONNECTIONS: usize = 4;

/// Results of the calls.
#[derive(Debug)]
pub struct Report {
    /// Time from sent to answered, us.
    pub times: Histogram<u64>,
    /// Number of accepted heartbeats.
    pub beats: usize,
}

/// Measures calls that carry the heartbeats of the whole audience, repeatedly.
pub fn measure(ground: Ground<'_>) -> anyhow::Result<Figures> {
    let Ground { running, sizes, .. } = ground;
    let requests: Vec<Vec<u8>> = (0..sizes.viewers.div_ceil(CALL_BEATS))
        .map(|call| request(call * CALL_BEATS..(call + 1) * CALL_BEATS, sizes.stages))
        .collect();
    let until = |end: Instant| {
        let requests = &requests;
        move |call: usize| {
            let request = requests.get(call % requests.len().max(1))?;
            (Instant::now() < end).then(|| request.clone())
        }
    };
    run(running, &until(Instant::now() + sizes.warm_up))?;
    let before = running.used()?;
    let start = Instant::now();
    let report = run(running, &until(start + sizes.measured))?;
    let took = start.elapsed();
    let spent = running.spent_since(&before)?;

    let mut figures = costs(spent, report.beats as f64);
    figures.extend(latencies(&report.times));
    figures.insert(figure::RATE, report.beats as f64 / took.as_secs_f64());
    Ok(figures)
}

/// Sends one heartbeat of each of these viewers.
pub fn fill(running: &Running, viewers: Range<usize>, stages: usize) -> anyhow::Result<Report> {
    run(running, &|call| {
        let from = viewers.start + call * CALL_BEATS;
        let to = (from + CALL_BEATS).min(viewers.end);
        (from < to).then(|| request(from..to, stages))
    })
}

/// Builds a call with one heartbeat of each of these viewers.
pub fn request(viewers: impl Iterator<Item = usize>, stages: usize) -> Vec<u8> {
    post("/v1/heartbeats", &viewers::batch(viewers, stages))
}

/// Makes calls 0, 1, ... until `request` returns `None`.
pub fn run(
    running: &Running,
    request: &(impl Fn(usize) -> Option<Vec<u8>> + Sync),
) -> anyhow::Result<Report> {
    let next = AtomicUsize::new(0);
    let one = |connection: usize| {
        let address = running.addresses.get(connection % running.addresses.len().max(1));
        let mut client = Client::connect(*address.context("no server runs")?)?;
        let mut report = Report { times: histogram()?, beats: 0 };
        while let Some(request) = request(next.fetch_add(1, Ordering::Relaxed)) {
            let sent = Instant::now();
            let body = client.expect(&request).context("a batch of heartbeats")?;
            report.times.saturating_record(sent.elapsed().as_micros() as u64);
            report.beats += accepted(&body)?;
        }
        Ok(report)
    };
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..CONNECTIONS).map(|n| scope.spawn(move || one(n))).collect();
        let mut all = Report { times: histogram()?, beats: 0 };
        for thread in threads {
            let report: anyhow::Result<Report> = thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a thread that sends batches failed")));
            let report = report?;
            all.times.add(&report.times)?;
            all.beats += report.beats;
        }
        Ok(all)
    })
}

fn accepted(body: &str) -> anyhow::Result<usize> {
    #[derive(Deserialize)]
    struct Taken {
        accepted: usize,
        rejected: Vec<serde_json::Value>,
    }
    let taken: Taken =
        serde_json::from_str(body).with_context(|| format!("a batch's answer: {body}"))?;
    ensure!(taken.rejected.is_empty(), "heartbeats were rejected: {body}");
    Ok(taken.accepted)
}
