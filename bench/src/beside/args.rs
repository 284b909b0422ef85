//! Command line of `bench/beside`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};

const EXAMPLES: &str = "\
Examples:
  bench/beside                                            the build of this checkout, 100,000 viewers; at most 8 min
  bench/beside --before /tmp/old --after /tmp/new         two builds, alternating; twice as long
  bench/beside --after target/dist/housecount --rows 1,2,7
  bench/beside --viewers 1000000 --rows 3,4 --before /tmp/old --after /tmp/new > beside.md
  bench/beside --viewers 20000 --seconds 1                a smoke test; its figures are noise

Rows:
  0  quiet                                    6  FLUSHALL of Redis under load
  1  pages of a stage's viewers               7  /v1/stages, /v1/live of all stages, a snapshot
  2  watch and history; an open overview      8  joins at 200,000/s
  3  commits of the ledger                    9  connects, one after the other
  4  memory of the node                      10  subscribers that are gone
  5  idle polls of Redis                     11  1 and 8 nodes at 3,333 beats/s";

/// Measure a heartbeat each 50 ms beside reads, commits, joins and connects.
///
/// Starts its own Redis and nodes on 127.0.0.1 and ends them. Prints progress to stderr and
/// Markdown tables to stdout.
#[derive(Clone, Debug, clap::Args)]
#[command(
    override_usage = "bench/beside [--before FILE] [--after FILE] [OPTIONS]",
    after_help = EXAMPLES
)]
pub struct BesideArgs {
    /// The housecount binary to compare with.
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
    /// The housecount binary to judge [default: built from this checkout].
    #[arg(long, value_name = "FILE")]
    pub after: Option<PathBuf>,
    /// Viewers on the node.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    pub viewers: u32,
    /// Rows to measure [default: all].
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..=11))]
    pub rows: Vec<u8>,
    /// Length of a phase.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// Rounds; tables show medians of figures, and the heartbeats of all rounds together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// Minutes for each binary and round. Scenes that would begin later are left out [default: 8,
    /// above 100,000 viewers 25].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub minutes: Option<u64>,
}

/// A binary to measure.
#[derive(Clone, Debug)]
pub struct Build {
    /// `before` or `after`.
    pub name: &'static str,
    /// The binary.
    pub path: PathBuf,
}

/// Sizes and choices of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One or two.
    pub builds: Vec<Build>,
    /// Viewers on the node.
    pub viewers: usize,
    /// Rows to measure.
    pub rows: Vec<u8>,
    /// Length of a phase.
    pub phase: Duration,
    /// Number of repetitions.
    pub rounds: u32,
    /// Time limit of the run.
    pub limit: Duration,
    /// Folder of the servers' data and output.
    pub target: PathBuf,
}

impl BesideArgs {
    /// Checks the binaries and fills in the defaults.
    ///
    /// # Errors
    /// Returns an error if a binary does not exist, or if no binary was named.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let named = [("before", &self.before), ("after", &self.after)];
        let mut builds = Vec::new();
        for (name, path) in named {
            let Some(path) = path else { continue };
            let path = path
                .canonicalize()
                .with_context(|| format!("--{name} {}: not a file", path.display()))?;
            ensure!(path.is_file(), "--{name} {}: not a file", path.display());
            builds.push(Build { name, path });
        }
        ensure!(
            !builds.is_empty(),
            "no binary: name one with --after FILE, or run it by bench/beside"
        );
        let minutes = self.minutes.unwrap_or(if self.viewers > 100_000 { 25 } else { 8 });
        let runs = builds.len() as u64 * u64::from(self.rounds);
        Ok(Plan {
            builds,
            viewers: usize::try_from(self.viewers)?,
            rows: if self.rows.is_empty() { (0..=11).collect() } else { self.rows.clone() },
            phase: Duration::from_secs(self.seconds),
            rounds: self.rounds,
            limit: Duration::from_secs(60 * minutes * runs),
            target: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        })
    }
}

impl Plan {
    /// Returns whether the run measures any of these rows.
    pub fn has(&self, rows: &[u8]) -> bool {
        rows.iter().any(|row| self.rows.contains(row))
    }
}
