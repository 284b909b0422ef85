//! Command line of `bench/run`, and the plan that follows from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use crate::beside::BesideArgs;
use crate::contender::{self, Contender};

const EXAMPLES: &str = "\
Examples:
  bench/run                                    everything; over an hour; rewrites docs/PERFORMANCE.md
  bench/run --quick                            a smoke test of about two minutes; its figures are noise
  bench/run --only floor,redis --rounds 3      some contenders; see --list
  bench/run --only floor,redis,fastify-usual --seconds 5
  bench/run --by-turns                         the ratios to the floor, on a machine that isn't steady; a quarter of an hour
  bench/run --only redis --housecount /tmp/before --floor /tmp/floor --report /tmp/before.md
                                               without building: to compare two builds";

/// Measure housecount against the floor and against the usual way.
///
/// Runs with options of their own (--quick, --by-turns, --only, --rounds, --seconds, --housecount,
/// --floor) report to bench/target/PERFORMANCE.md. The published figures therefore always come from
/// one whole run of the build of this checkout.
#[derive(Debug, Parser)]
#[command(name = "bench/run", bin_name = "bench/run", version = None, after_help = EXAMPLES)]
pub struct Args {
    /// Short rounds and few contenders, to see that everything works.
    #[arg(long)]
    pub quick: bool,
    /// Run all contenders at once and alternate their loads, one second each. The ratios stay true
    /// though the machine's speed changes. Batches and memory, which have no floor, are left out.
    /// Without --only, run the contenders that are compared with a floor.
    #[arg(long, conflicts_with = "quick")]
    pub by_turns: bool,
    /// Run only these contenders.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// List the contenders and their loads, and exit.
    #[arg(long)]
    pub list: bool,
    /// Rounds, in each of which every contender is measured [default: 5, or 1 with --quick, or 20
    /// with --by-turns].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Seconds for which each load is measured [default: 10, or 2 with --quick, or 1 with
    /// --by-turns].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: Option<u64>,
    /// Different stages that the viewers are on.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub stages: u32,
    /// housecount binary to measure, instead of building one.
    #[arg(long, value_name = "FILE")]
    pub housecount: Option<PathBuf>,
    /// Floor binary to measure (`floor PORT`), instead of building one.
    #[arg(long, value_name = "FILE")]
    pub floor: Option<PathBuf>,
    /// File of the report [default: docs/PERFORMANCE.md, or bench/target/PERFORMANCE.md for a run
    /// with options of its own].
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Parts of the harness that run as processes of their own.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Other parts of the harness in this binary.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Measure heartbeats beside reads, commits and joins (bench/beside).
    #[command(hide = true)]
    Beside(BesideArgs),
    /// Run a WebSocket server that echoes, with one runtime per core.
    #[command(hide = true)]
    Echo {
        /// Port on 127.0.0.1.
        port: u16,
    },
}

/// Sizes and durations of the loads.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Time for which a load is measured.
    pub measured: Duration,
    /// Time for which a load runs before the measurement.
    pub warm_up: Duration,
    /// Viewers of all loads except the memory load.
    pub viewers: usize,
    /// Stages that the viewers are on.
    pub stages: usize,
    /// WebSockets that send beats.
    pub sockets: usize,
    /// Idle HTTP connections.
    pub idle_http: usize,
    /// Idle WebSockets.
    pub idle_ws: usize,
    /// Viewers whose memory is measured, as the counts at the start and at the end.
    pub crowd: (usize, usize),
}

/// Default contenders of `--by-turns`.
const BY_TURNS: [&str; 7] =
    ["floor", "redis", "redis-ack-memory", "redis-hs256", "redis-eddsa", "ws-echo", "ws"];

impl Sizes {
    fn new(is_quick: bool, by_turns: bool, seconds: Option<u64>, stages: u32) -> Sizes {
        let default_s = if by_turns {
            1
        } else if is_quick {
            2
        } else {
            10
        };
        let sizes = Sizes {
            measured: Duration::from_secs(seconds.unwrap_or(default_s)),
            // Alternating loads need no warm-up, because the round before has warmed each
            // contender.
            warm_up: Duration::from_secs(if by_turns { 0 } else { 2 }),
            viewers: 100_000,
            stages: usize::try_from(stages).unwrap_or(1),
            sockets: 1_000,
            idle_http: 10_000,
            idle_ws: 5_000,
            crowd: (10_000, 1_000_000),
        };
        if !is_quick {
            return sizes;
        }
        let warm_up = Duration::from_secs(1);
        Sizes {
            warm_up,
            sockets: 200,
            idle_http: 1_000,
            idle_ws: 500,
            crowd: (10_000, 100_000),
            ..sizes
        }
    }
}

/// Plan of a run, made from the command line.
#[derive(Debug)]
pub struct Plan {
    /// Contenders in the order of the first round. Every other round reverses it.
    pub contenders: Vec<Contender>,
    /// Whether all contenders run at once and their loads alternate.
    pub by_turns: bool,
    /// Number of rounds.
    pub rounds: u32,
    /// Sizes and durations of the loads.
    pub sizes: Sizes,
    /// The housecount binary to measure.
    pub housecount: PathBuf,
    /// The floor binary to compare with.
    pub floor: PathBuf,
    /// Folder of the harness's output: results and logs.
    pub target: PathBuf,
    /// File of the report.
    pub report: PathBuf,
    /// Command that repeats this run.
    pub command: String,
}

impl Args {
    /// Checks the contenders' names and fills in the defaults.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let bench = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let root = bench.parent().context("bench/ is not in a repository")?.to_path_buf();
        let has_own_sizes = self.rounds.is_some() || self.seconds.is_some();
        let has_own_builds = self.housecount.is_some() || self.floor.is_some();
        let is_partial =
            self.quick || self.by_turns || !self.only.is_empty() || has_own_sizes || has_own_builds;
        let target = bench.join("target");
        let report = if is_partial {
            target.join("PERFORMANCE.md")
        } else {
            root.join("docs/PERFORMANCE.md")
        };
        let built =
            root.join(std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from));
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Ok(Plan {
            contenders: self.contenders()?,
            by_turns: self.by_turns,
            rounds: self.rounds.unwrap_or(if self.quick {
                1
            } else if self.by_turns {
                20
            } else {
                5
            }),
            sizes: Sizes::new(self.quick, self.by_turns, self.seconds, self.stages),
            housecount: self.housecount.clone().unwrap_or_else(|| built.join("release/housecount")),
            floor: self.floor.clone().unwrap_or_else(|| built.join("release/examples/floor")),
            report: self.report.clone().unwrap_or(report),
            target,
            command: format!("bench/run {}", arguments.join(" ")).trim_end().to_string(),
        })
    }

    fn contenders(&self) -> anyhow::Result<Vec<Contender>> {
        let mut all = contender::all();
        if self.by_turns {
            all.iter_mut().for_each(|contender| contender.loads.retain(|load| load.takes_turns()));
            all.retain(|contender| !contender.loads.is_empty());
        }
        for name in &self.only {
            let names: Vec<&str> = all.iter().map(|c| c.name).collect();
            ensure!(
                names.contains(&name.as_str()),
                "--only {name}: not one of {}",
                names.join(", ")
            );
        }
        let is_wanted = |c: &Contender| match self.only.as_slice() {
            [] if self.by_turns => BY_TURNS.contains(&c.name),
            [] => !self.quick || c.is_quick,
            only => only.iter().any(|name| name == c.name),
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }
}
