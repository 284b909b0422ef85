//! Probe: requests due at fixed times, each measured from its due time.
//!
//! Blocking threads share the due times. A stalled server delays all of them, and each sample
//! contains the whole delay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;

use crate::http::{Client, get, post};

/// Number of threads of one probe, and so of its connections and viewers.
const THREADS: u32 = 16;
/// Time for which a stopped probe waits for heartbeats that were due.
const BEHIND_MAX: Duration = Duration::from_secs(20);
/// Time between two liveness checks of the workers.
const HEALTH_EVERY: Duration = Duration::from_millis(20);

/// One request of a probe.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Due time, Unix ms.
    pub due_ms: f64,
    /// Time from due to answered, ms.
    pub took_ms: f64,
    /// Time from due to sent if the connection was free, ms. This is the harness's own delay.
    pub own_ms: Option<f64>,
    /// Whether the answer was a success.
    pub is_ok: bool,
}

/// Requests of one probe.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// Returns a quantile of the time from due to answered, ms.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        rank(self.0.iter().map(|s| s.took_ms).collect(), quantile)
    }

    /// Returns a quantile of the harness's own delay, ms.
    pub fn own(&self, quantile: f64) -> Option<f64> {
        rank(self.0.iter().filter_map(|s| s.own_ms).collect(), quantile)
    }

    /// Returns the number of requests that failed.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|s| !s.is_ok).count()
    }

    /// Returns the samples for which `is_wanted` holds.
    pub fn filter(&self, is_wanted: impl Fn(&Sample) -> bool) -> Samples {
        Samples(self.0.iter().copied().filter(|s| is_wanted(s)).collect())
    }
}

/// Returns the value at a quantile, by the nearest rank.
pub fn rank(mut values: Vec<f64>, quantile: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values
        .get(((quantile * values.len() as f64).ceil() as usize).saturating_sub(1).min(last))
        .copied()
}

/// Returns the milliseconds since the epoch.
pub fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// A running probe.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<Vec<Sample>>>>,
}

impl Probe {
    /// Starts heartbeats of known viewers on the crowd's first stage.
    pub fn heartbeats(address: SocketAddr, stage: &str, every: Duration) -> Probe {
        let request = |thread| {
            post("/v1/heartbeat", &format!(r#"{{"stage":"{stage}","viewer":"probe-{thread}"}}"#))
        };
        Probe::start(address, every, THREADS, request)
    }

    /// Starts liveness checks. They take no lock, so they wait only for a free worker.
    pub fn workers(address: SocketAddr) -> Probe {
        Probe::start(address, HEALTH_EVERY, THREADS / 2, |_| get("/healthz"))
    }

    fn start(
        address: SocketAddr,
        every: Duration,
        count: u32,
        request: impl Fn(u32) -> Vec<u8>,
    ) -> Probe {
        let stop = Arc::new(AtomicBool::new(false));
        let (start, start_ms) = (Instant::now(), unix_ms());
        let threads = (0..count).map(|thread| {
            let (stop, request) = (stop.clone(), request(thread));
            let beat =
                Turns { address, start, start_ms, first: every * thread, period: every * count };
            std::thread::spawn(move || beat.run(&request, &stop))
        });
        Probe { threads: threads.collect(), stop }
    }

    /// Stops the probe once all requests that were due are answered.
    ///
    /// # Errors
    /// Returns an error if a thread could not connect to the node.
    pub fn finish(self) -> anyhow::Result<Samples> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            all.extend(
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the probe failed")))?,
            );
        }
        Ok(Samples(all))
    }
}

/// Due times of one thread.
struct Turns {
    address: SocketAddr,
    start: Instant,
    start_ms: f64,
    first: Duration,
    period: Duration,
}

impl Turns {
    fn run(self, request: &[u8], stop: &AtomicBool) -> anyhow::Result<Vec<Sample>> {
        let mut client = Client::connect(self.address)?;
        let mut samples = Vec::new();
        let mut due = self.first;
        let mut stopped_at = None;
        loop {
            let is_free = self.start.elapsed() < due;
            while self.start.elapsed() < due && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(
                    (due - self.start.elapsed().min(due)).min(Duration::from_millis(50)),
                );
            }
            if stop.load(Ordering::Relaxed)
                && due > *stopped_at.get_or_insert_with(|| self.start.elapsed())
            {
                return Ok(samples);
            }
            let own = self.start.elapsed().saturating_sub(due);
            // A probe stops waiting for a node that is this far behind. The remaining requests
            // count as failed, with the wait until now.
            let is_over = stopped_at.is_some_and(|at| self.start.elapsed() > at + BEHIND_MAX);
            let answer =
                if is_over { Err(anyhow!("too far behind")) } else { client.send(request) };
            let took = self.start.elapsed().saturating_sub(due);
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            samples.push(Sample {
                due_ms: self.start_ms + ms(due),
                took_ms: ms(took),
                own_ms: is_free.then(|| ms(own)),
                is_ok: matches!(answer, Ok((200, _))),
            });
            if answer.is_err() && !is_over {
                client.reconnect()?;
            }
            due += self.period;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(rank(values.clone(), 0.5), Some(50.0));
        assert_eq!(rank(values.clone(), 0.99), Some(99.0));
        assert_eq!(rank(values, 1.0), Some(100.0));
        assert_eq!(rank(Vec::new(), 0.5), None);
    }
}
