//! Description of the machine and the programs of a run.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine, and the versions of the programs used.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Date of the run, UTC.
    pub date: String,
    /// Number of cores.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// The kernel's version.
    pub kernel: String,
    /// Load average over the minute before the run.
    pub load_before: f64,
    /// Names and versions of the programs.
    pub versions: Vec<String>,
}

impl Machine {
    /// Collects the description. Missing values become "unknown", 0, or are left out.
    ///
    /// `packages` is the folder in which npm has installed the packages of the usual way.
    pub fn look(packages: &Path) -> Machine {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let versions = [
            first_line("rustc", "--version"),
            first_line("redis-server", "--version").map(|text| shorten(&text)),
            first_line("node", "--version").map(|text| format!("node {text}")),
            first_line("wrk", "--version").map(|text| shorten(&text)),
        ];
        Machine {
            date: first_line("date", "-u +%F").unwrap_or_else(|| "unknown".to_string()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.map_or("unknown", |(_, name)| name).to_string(),
            kernel: first_line("uname", "-r").unwrap_or_else(|| "unknown".to_string()),
            load_before: loads
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
            versions: versions
                .into_iter()
                .chain(["express", "fastify", "ioredis"].map(|name| package(packages, name)))
                .flatten()
                .collect(),
        }
    }

    /// Returns a reason why this run's figures may be noise, if there is one.
    pub fn warning(&self) -> Option<String> {
        (self.load_before > 0.5).then(|| {
            format!(
                "the machine is busy (load average {:.2}): its figures will be noise",
                self.load_before
            )
        })
    }
}

/// Returns the name and version of an installed npm package.
fn package(packages: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(packages.join(name).join("package.json")).ok()?;
    let package: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(format!("{name} {}", package.get("version")?.as_str()?))
}

/// Returns the first line that a program prints to stdout, or to stderr if stdout is empty.
fn first_line(program: &str, arguments: &str) -> Option<String> {
    let out = Command::new(program).args(arguments.split(' ')).output().ok()?;
    let text = if out.stdout.is_empty() { out.stderr } else { out.stdout };
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_string())
}

/// Cuts a version line after the version. Examples are "Redis server v=7.0.15 sha=..." and "wrk
/// debian/4.1.0 [epoll] Copyright ...".
fn shorten(text: &str) -> String {
    let wanted = |word: &&str| !word.starts_with(['[', '(']) && !word.contains("sha=");
    text.split(' ').take_while(wanted).collect::<Vec<_>>().join(" ")
}
