//! Ground: a Redis and nodes of one binary. Each is a process of its own and starts with empty
//! stores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::metrics::Scrape;
use crate::contender::Persistence;
use crate::cpu::Cpu;
use crate::http::{Client, get};
use crate::process::Process;
use crate::redis_server::RedisServer;
use crate::running::free_address;

const READY_WAIT: Duration = Duration::from_secs(30);
/// Time between two samples of a node's memory.
const MEMORY_EVERY: Duration = Duration::from_millis(20);

/// A housecount process.
#[derive(Debug)]
pub struct Node {
    process: Process,
    /// Address of its listener.
    pub address: SocketAddr,
    log: PathBuf,
}

/// Processes of one scene. A drop ends them, the nodes before Redis.
#[derive(Debug)]
pub struct Ground {
    /// Nodes on the same log.
    pub nodes: Vec<Node>,
    redis: Option<RedisServer>,
    dir: PathBuf,
}

impl Ground {
    /// Starts Redis and `count` nodes, and waits until they are ready.
    ///
    /// # Errors
    /// Returns an error if a process did not start or a node did not become ready.
    pub fn start(
        binary: &Path,
        dir: PathBuf,
        logs: &Path,
        count: usize,
        set: &[&str],
    ) -> anyhow::Result<Ground> {
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let redis = RedisServer::start(
            free_address()?,
            Persistence::None,
            &dir.join("redis"),
            &logs.join("beside-redis.log"),
        )?;
        let url = redis.url();
        let mut ground = Ground { nodes: Vec::new(), redis: Some(redis), dir };
        for number in 0..count {
            let address = free_address()?;
            let mut command = Command::new(binary);
            command.args(["serve", "--listen", &address.to_string(), "--log", &url, "--data"]);
            command.arg(ground.dir.join(format!("node-{number}")));
            // These limits are off because the probe's viewers beat more often than players, and
            // 10,000 stages open at once.
            command.args([
                "--set",
                "limits.session_beats=0",
                "--set",
                "limits.new_stages_per_minute=0",
            ]);
            command.args(["--set", "log_format=json"]);
            command.args(set.iter().flat_map(|set| ["--set", set]));
            let log = logs.join(format!("beside-node-{number}.log"));
            let process = Process::start("housecount", command, log.clone())?;
            ground.nodes.push(Node { process, address, log });
        }
        for node in &mut ground.nodes {
            let address = node.address;
            let is_ready = || {
                let answer =
                    Client::connect(address).and_then(|mut client| client.send(&get("/readyz")));
                matches!(answer, Ok((200, _)))
            };
            node.process.wait_until(READY_WAIT, is_ready)?;
        }
        Ok(ground)
    }

    /// Returns the first node.
    ///
    /// # Errors
    /// Returns an error if no node runs.
    pub fn node(&self) -> anyhow::Result<&Node> {
        self.nodes.first().context("no node runs")
    }

    /// Returns the Redis behind the nodes.
    ///
    /// # Errors
    /// Returns an error if Redis does not run.
    pub fn redis(&self) -> anyhow::Result<&RedisServer> {
        self.redis.as_ref().context("no Redis")
    }

    /// Returns the CPU time of all processes until now.
    ///
    /// # Errors
    /// Returns an error if a process has ended.
    pub fn used(&self) -> anyhow::Result<Used> {
        let nodes: anyhow::Result<Vec<Cpu>> =
            self.nodes.iter().map(|n| Cpu::of(n.process.pid())).collect();
        let own = Cpu::of(std::process::id())?;
        Ok(Used {
            nodes: nodes?,
            redis: self.redis()?.cpu()?,
            own,
            machine_s: machine_s()?,
            at: Instant::now(),
        })
    }

    /// Returns the CPU time that was spent since `before`.
    ///
    /// # Errors
    /// Returns an error if a process has ended.
    pub fn spent_since(&self, before: &Used) -> anyhow::Result<Spent> {
        let now = self.used()?;
        let seconds = |now: &Cpu, before: &Cpu| now.ns_since(before) as f64 / 1e9;
        let nodes_s: f64 =
            now.nodes.iter().zip(&before.nodes).map(|(now, before)| seconds(now, before)).sum();
        let redis_s = seconds(&now.redis, &before.redis);
        let ours = nodes_s + redis_s + seconds(&now.own, &before.own);
        let others_s = (now.machine_s - before.machine_s - ours).max(0.0);
        Ok(Spent {
            nodes_s,
            redis_s,
            others_s,
            took_s: now.at.duration_since(before.at).as_secs_f64(),
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.nodes.clear();
        self.redis = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// CPU time of all processes until a moment.
#[derive(Debug)]
pub struct Used {
    nodes: Vec<Cpu>,
    redis: Cpu,
    own: Cpu,
    machine_s: f64,
    at: Instant,
}

/// CPU seconds spent in a period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// CPU seconds of all nodes.
    pub nodes_s: f64,
    /// CPU seconds of their Redis.
    pub redis_s: f64,
    /// CPU seconds of processes that are not part of the measurement.
    pub others_s: f64,
    /// Length of the period.
    pub took_s: f64,
}

/// Returns the CPU seconds in which the whole machine was not idle.
fn machine_s() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // The fields are user, nice, system, idle, iowait, irq, softirq, steal and two `guest` times,
    // which user time includes.
    let busy = ticks.iter().take(8).enumerate().filter(|(field, _)| ![3, 4].contains(field));
    Ok(busy.map(|(_, ticks)| ticks).sum::<f64>() / 100.0)
}

impl Node {
    /// Reads the node's metrics.
    ///
    /// # Errors
    /// Returns an error if the node does not answer.
    pub fn metrics(&self) -> anyhow::Result<Scrape> {
        Scrape::of(self.address)
    }

    /// Waits until `is_wanted` holds for a metric, and returns how long that took. Returns `None`
    /// after `wait`.
    ///
    /// # Errors
    /// Returns an error if the node does not answer.
    pub fn wait_for(
        &self,
        name: &str,
        wait: Duration,
        is_wanted: impl Fn(f64) -> bool,
    ) -> anyhow::Result<Option<Duration>> {
        let start = Instant::now();
        while start.elapsed() < wait {
            if self.metrics()?.value(name).is_some_and(&is_wanted) {
                return Ok(Some(start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(None)
    }

    /// Returns the resident bytes now.
    ///
    /// # Errors
    /// Returns an error if the node has ended.
    pub fn resident(&self) -> anyhow::Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns the largest number of resident bytes since the node started.
    ///
    /// # Errors
    /// Returns an error if the node has ended.
    pub fn resident_peak(&self) -> anyhow::Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> anyhow::Result<f64> {
        status(self.process.pid(), name)
    }

    /// Starts to sample the node's memory.
    pub fn watch_memory(&self) -> MemoryWatch {
        let (stop, pid) = (Arc::new(AtomicBool::new(false)), self.process.pid());
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let mut most: f64 = 0.0;
                while !stop.load(Ordering::Relaxed) {
                    most = most.max(status(pid, "VmRSS:").unwrap_or_default());
                    std::thread::sleep(MEMORY_EVERY);
                }
                most
            }
        });
        MemoryWatch { stop, thread }
    }

    /// Reads the commits of the ledger that ended at `from_ms` (Unix ms) or later, from the node's
    /// log.
    ///
    /// # Errors
    /// Returns an error if the log file can't be read.
    pub fn commits_since(&self, from_ms: f64) -> anyhow::Result<Vec<Commit>> {
        let text = std::fs::read_to_string(&self.log).context("reading a node's log")?;
        Ok(text
            .lines()
            .filter_map(Commit::parse)
            .filter(|commit| commit.end_ms >= from_ms)
            .collect())
    }
}

fn status(pid: u32, name: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone; see its log"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("/proc/{pid}/status has no {name}"))? * 1024.0)
}

/// A thread that samples a node's memory.
#[derive(Debug)]
pub struct MemoryWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

impl MemoryWatch {
    /// Stops the thread and returns the most resident bytes that it sampled.
    ///
    /// # Errors
    /// Returns an error if the thread failed.
    pub fn finish(self) -> anyhow::Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let most = self.thread.join();
        ensure!(most.is_ok(), "the watch over a node's memory failed");
        Ok(most.unwrap_or_default())
    }
}

/// A commit of the ledger, as a node logs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Commit {
    /// Unix ms at which the commit ended.
    pub end_ms: f64,
    /// Duration of the commit, ms.
    pub took_ms: f64,
}

impl Commit {
    fn parse(line: &str) -> Option<Commit> {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let fields = value.get("fields").unwrap_or(&value);
        if fields.get("message")?.as_str()? != "committed" {
            return None;
        }
        let took_ms = fields.get("took_ms")?.as_f64()?;
        Some(Commit { end_ms: rfc3339_ms(value.get("timestamp")?.as_str()?)?, took_ms })
    }
}

/// Parses a time in UTC, such as `2026-11-29T22:23:04.123456Z`, into Unix ms.
fn rfc3339_ms(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let date: Vec<i64> = date.split('-').filter_map(|part| part.parse().ok()).collect();
    let time: Vec<f64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let ([year, month, day], [hours, minutes, seconds]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    // Days since the epoch by the civil calendar. The year begins in March, so that a leap day is
    // its last day.
    let (year, month) = if *month > 2 { (*year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((days as f64 * 86_400.0 + hours * 3_600.0 + minutes * 60.0 + seconds) * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_read_from_the_log() {
        let line = r#"{"timestamp":"2026-11-29T22:23:04.125Z","level":"INFO","fields":{"message":"committed","took_ms":12}}"#;
        assert_eq!(
            Commit::parse(line),
            Some(Commit { end_ms: 1_795_990_984_125.0, took_ms: 12.0 })
        );
        let flat = r#"{"timestamp":"1970-01-01T00:00:01Z","message":"committed","took_ms":3}"#;
        assert_eq!(Commit::parse(flat), Some(Commit { end_ms: 1_000.0, took_ms: 3.0 }));
        assert_eq!(
            Commit::parse(r#"{"timestamp":"1970-01-01T00:00:01Z","message":"started"}"#),
            None
        );
    }
}
