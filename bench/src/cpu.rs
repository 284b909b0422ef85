//! CPU time of a process to the nanosecond, and its resident memory, from `/proc`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Length of a tick in `/proc/PID/stat` (USER_HZ, the same on every Linux that Rust supports).
const TICK_NS: u64 = 10_000_000;
/// Change below which memory counts as settled. Until then it is read again.
const STILL_BYTES: u64 = 64 * 1024;

/// CPU time of a process at a moment.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// User and system time of each live thread, as the scheduler accounts it.
    threads: BTreeMap<u32, u64>,
    /// Time of the process with all threads that have ended, in ticks.
    ticks_ns: u64,
    /// Time of its ended children, in ticks. Redis has such a child when it rewrites its file.
    children_ns: u64,
}

impl Cpu {
    /// Reads the CPU time of a process.
    pub fn of(pid: u32) -> anyhow::Result<Cpu> {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| {
            format!("process {pid} is gone: it must have failed under load; see its log")
        })?;
        let mut found = BTreeMap::new();
        for thread in threads {
            let thread = thread.context("listing threads")?;
            let tid = thread.file_name().to_string_lossy().parse().context("a thread's id")?;
            // A thread may end while the threads are listed.
            if let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) {
                let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
                found.insert(tid, ns.context("/proc/PID/task/TID/schedstat: not a number")?);
            }
        }
        let (ticks_ns, children_ns) = ticks_ns(pid)?;
        Ok(Cpu { threads: found, ticks_ns, children_ns })
    }

    /// Returns the nanoseconds used since `before`. The value is exact to the nanosecond, or to
    /// ticks of 10 ms if a thread has ended.
    pub fn ns_since(&self, before: &Cpu) -> u64 {
        self.own_ns_since(before) + self.children_ns.saturating_sub(before.children_ns)
    }

    fn own_ns_since(&self, before: &Cpu) -> u64 {
        let by_ticks = self.ticks_ns.saturating_sub(before.ticks_ns);
        let have_all = before.threads.keys().all(|tid| self.threads.contains_key(tid));
        if !have_all || self.threads.is_empty() {
            return by_ticks;
        }
        let of = |tid| before.threads.get(tid).copied().unwrap_or_default();
        let by_threads: u64 = self.threads.iter().map(|(tid, ns)| ns.saturating_sub(of(tid))).sum();
        // A thread that began and ended in between counts in the ticks only.
        if by_ticks > by_threads + by_threads / 50 + 4 * TICK_NS { by_ticks } else { by_threads }
    }
}

/// Reads the time of the process, and of its ended children.
fn ticks_ns(pid: u32) -> anyhow::Result<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone; see its log"))?;
    // The name may contain spaces and brackets, so fields are counted from behind it. Fields 14 to
    // 17 are utime, stime, cutime and cstime.
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<u64> =
        behind.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    match fields.as_slice() {
        [user, system, children_user, children_system] => {
            Ok(((user + system) * TICK_NS, (children_user + children_system) * TICK_NS))
        }
        _ => bail!("/proc/{pid}/stat has no CPU time"),
    }
}

/// Returns the resident bytes once they have settled.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut last = resident_now(pid)?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = resident_now(pid)?;
        if now.abs_diff(last) < STILL_BYTES || Instant::now() > until {
            return Ok(now);
        }
        last = now;
    }
}

fn resident_now(pid: u32) -> anyhow::Result<u64> {
    // `smaps_rollup` counts pages. The figure in `status` may be some dozen pages per core behind.
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("reading the memory of process {pid}: is it still there?"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("smaps_rollup has no Rss")? * 1024)
}
