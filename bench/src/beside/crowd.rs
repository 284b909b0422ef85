//! Crowd: heartbeats of many viewers through `/v1/heartbeats`, at a fixed rate or as fast as the
//! node answers.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use crate::http::{Client, post};
use crate::viewers;

/// Connections of the crowd.
const CONNECTIONS: usize = 4;
/// Minimum of calls per second, so that a small crowd does not arrive in bursts.
const CALLS_PER_S: usize = 10;
/// Maximum of heartbeats per call, unless a row needs more.
const CALL_BEATS_MAX: usize = 1_000;
/// Delay beyond which calls are skipped instead of sent late.
const LATE_MAX: Duration = Duration::from_secs(5);

/// Requests with one heartbeat of each viewer, made once.
#[derive(Debug)]
pub struct Bodies {
    requests: Vec<Vec<u8>>,
    call_beats: usize,
}

impl Bodies {
    /// Builds the requests of a range of viewers, sized for a rate in heartbeats per second.
    pub fn paced(viewers: Range<usize>, stages: usize, rate: usize) -> Arc<Bodies> {
        Bodies::of_size(viewers, stages, (rate / CALLS_PER_S).clamp(1, CALL_BEATS_MAX))
    }

    /// Builds requests of `call_beats` heartbeats each.
    pub fn of_size(viewers: Range<usize>, stages: usize, call_beats: usize) -> Arc<Bodies> {
        let request = |from: usize| {
            let to = (from + call_beats).min(viewers.end);
            post("/v1/heartbeats", &viewers::batch(from..to, stages))
        };
        let requests = viewers.clone().step_by(call_beats).map(request).collect();
        Arc::new(Bodies { requests, call_beats })
    }

    /// Sends each request once. Each connection waits for the answer before it sends the next
    /// request.
    ///
    /// # Errors
    /// Returns an error if the node refuses a request or rejects a heartbeat.
    pub fn fill(&self, address: SocketAddr) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let one = || {
            let mut client = Client::connect(address)?;
            while let Some(request) = self.requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let body = client.expect(request).context("a batch of heartbeats")?;
                ensure!(body.contains(r#""rejected":[]"#), "heartbeats were rejected: {body:.200}");
            }
            anyhow::Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
            for thread in threads {
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the crowd failed")))?;
            }
            Ok(())
        })
    }
}

/// Counts of the crowd's calls by outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrowdReport {
    /// Number of successful calls.
    pub calls: usize,
    /// Calls that were refused or failed.
    pub errors: usize,
    /// Calls left out because the node was too far behind.
    pub skipped: usize,
}

/// A running crowd.
#[derive(Debug)]
pub struct Crowd {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<CrowdReport>>>,
}

impl Crowd {
    /// Starts to send the requests at `rate` heartbeats per second, repeatedly or once.
    pub fn start(address: SocketAddr, bodies: &Arc<Bodies>, rate: usize, is_once: bool) -> Crowd {
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let threads = (0..CONNECTIONS).map(|first| {
            let (stop, bodies) = (stop.clone(), bodies.clone());
            std::thread::spawn(move || beat(address, &bodies, rate, is_once, start, first, &stop))
        });
        Crowd { threads: threads.collect(), stop }
    }

    /// Stops the crowd and returns its counts.
    ///
    /// # Errors
    /// Returns an error if a thread could not connect to the node.
    pub fn finish(self) -> anyhow::Result<CrowdReport> {
        self.stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits until each request was sent once, and returns the counts.
    ///
    /// # Errors
    /// Returns an error if a thread could not connect to the node.
    pub fn wait(self) -> anyhow::Result<CrowdReport> {
        let mut all = CrowdReport::default();
        for thread in self.threads {
            let one =
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the crowd failed")))?;
            all.calls += one.calls;
            all.errors += one.errors;
            all.skipped += one.skipped;
        }
        Ok(all)
    }
}

fn beat(
    address: SocketAddr,
    bodies: &Bodies,
    rate: usize,
    is_once: bool,
    start: Instant,
    first: usize,
    stop: &AtomicBool,
) -> anyhow::Result<CrowdReport> {
    let mut client = Client::connect(address)?;
    let mut report = CrowdReport::default();
    let count = bodies.requests.len();
    let due = |call: usize| {
        Duration::from_secs_f64((call * bodies.call_beats) as f64 / rate.max(1) as f64)
    };
    for call in (first..).step_by(CONNECTIONS) {
        while start.elapsed() < due(call) && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(
                (due(call).saturating_sub(start.elapsed())).min(Duration::from_millis(50)),
            );
        }
        if stop.load(Ordering::Relaxed) || (is_once && call >= count) {
            break;
        }
        if !is_once && start.elapsed().saturating_sub(due(call)) > LATE_MAX {
            report.skipped += 1;
            continue;
        }
        let Some(request) = bodies.requests.get(call % count.max(1)) else { break };
        match client.send(request) {
            Ok((200, _)) => report.calls += 1,
            Ok(_) => report.errors += 1,
            Err(_) => {
                report.errors += 1;
                client.reconnect()?;
            }
        }
    }
    Ok(report)
}
