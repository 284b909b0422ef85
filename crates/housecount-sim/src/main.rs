//! Runs seeds, and prints which one failed and how to replay it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use housecount_backend::clock::mono_ms;
use housecount_core::mutants::Mutant;
use housecount_sim::digest::RunHash;
use housecount_sim::plan::{SimPlan, clock};
use housecount_sim::run::{SeedOutcome, run};
use housecount_sim::soak::{SoakSample, soak};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Simulate faults: housecount's own code over a simulated clock, log and cold tier, checked
/// against an oracle.
///
/// A seed decides everything, so a run can be replayed. A bug report needs only the number of the
/// failing seed.
#[derive(Parser)]
#[command(name = "housecount-sim", after_help = EXAMPLES)]
struct Args {
    /// Number of seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// First seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Seed to run alone; prints its plan
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print all events and the nodes' log lines
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Run each seed twice, and check that both runs are equal to the last message
    #[arg(long)]
    twice: bool,
    /// Print only a hash per seed and one over all; it covers events, answers and stored bytes
    #[arg(long, conflicts_with_all = ["seed", "twice", "days"])]
    hashes: bool,
    /// Continue after a seed has failed
    #[arg(long)]
    keep_going: bool,
    /// Switch on a known bug, which the checks must find
    #[arg(long, value_enum)]
    mutant: Option<Bug>,
    /// Number of days to simulate without faults; prints what a node keeps
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["seeds", "from", "mutant", "twice"])]
    days: Option<u64>,
    /// Number of viewers in these days
    #[arg(long, requires = "days", default_value_t = 40)]
    viewers: usize,
    /// Number of seeds to run at once [default: number of cores]
    #[arg(long)]
    threads: Option<usize>,
}

const EXAMPLES: &str = "Examples:
  housecount-sim                          1,000 seeds
  housecount-sim --seeds 10000 --twice    10,000 seeds, each twice
  housecount-sim --seeds 250 --hashes     a hash per seed: the same before and after a rename
  housecount-sim --seed 42 --trace        one seed, with all its events
  housecount-sim --mutant leave-all       test that the checks find a known bug
  housecount-sim --days 7                 a week without faults: what a node keeps";

/// A known bug.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bug {
    /// Credits the silence after a last beat
    CreditSilence,
    /// Trims the log before the ledger has it
    TrimEarly,
    /// Commits without late events
    SkipLate,
    /// Acknowledges a beat before the log has it
    AckEarly,
    /// Applies a leave without regard to other sessions
    LeaveAll,
    /// Advances time, and calls counts complete, while the log refuses writes
    AdvanceUnwritten,
    /// Applies a configuration change to committed windows
    IgnoreFence,
    /// Leaves a viewer's streams beyond the limit as they are
    KeepExcess,
    /// Evaluates events only from when a node begins to write them
    SkipSamples,
}

impl Bug {
    fn mutant(self) -> Mutant {
        match self {
            Bug::CreditSilence => Mutant::CreditSilence,
            Bug::TrimEarly => Mutant::TrimEarly,
            Bug::SkipLate => Mutant::SkipLate,
            Bug::AckEarly => Mutant::AckEarly,
            Bug::LeaveAll => Mutant::LeaveAll,
            Bug::AdvanceUnwritten => Mutant::AdvanceUnwritten,
            Bug::IgnoreFence => Mutant::IgnoreFence,
            Bug::KeepExcess => Mutant::KeepExcess,
            Bug::SkipSamples => Mutant::SkipSamples,
        }
    }

    fn flag(self) -> String {
        self.to_possible_value()
            .map_or(String::new(), |value| format!(" --mutant {}", value.get_name()))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.trace {
        // The simulation's own lines carry its time. The machine's time would only differ between
        // runs.
        tracing_subscriber::fmt()
            .without_time()
            .with_writer(std::io::stderr)
            .with_max_level(tracing::Level::INFO)
            .init();
    }
    if let Some(days) = args.days {
        return pass_days(args.seed.unwrap_or(0), days, args.viewers);
    }
    let all = SeedSweep::new(&args).run();
    if all.failed.is_empty() && all.trouble.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Simulates days without faults, and prints what is kept at the end of each.
fn pass_days(seed: u64, days: u64, viewers: usize) -> ExitCode {
    say(
        "day    events   sessions remembered  stages  log records  cold items      bytes  resident MB",
    );
    let passed = soak(seed, days, viewers, |kept| {
        let SoakSample { day, events, sessions, stages, records, items: (items, bytes) } = kept;
        let resident =
            resident_bytes().map_or("-".to_string(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
        say(&format!(
            "{day:>3} {events:>9} {sessions:>21} {stages:>7} {records:>12} {items:>11} {bytes:>10} {resident:>12}"
        ));
    });
    match passed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("simulation failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Resident memory of this process, where the system reports it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix("kB")?
        .trim();
    kib.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A run of many seeds on all cores.
struct SeedSweep<'a> {
    args: &'a Args,
    first: u64,
    end: u64,
    next: AtomicU64,
    stop: AtomicBool,
    sum: Mutex<SweepTotals>,
    bar: ProgressBar,
}

/// Totals of a sweep.
#[derive(Debug, Default)]
struct SweepTotals {
    seeds: u64,
    lasted_ms: u64,
    events: u64,
    counts: u64,
    complete: u64,
    exact: u64,
    rows: u64,
    rows_exact: u64,
    watch_ms: u64,
    archived: u64,
    faults: u64,
    with_losses: u64,
    failed: BTreeSet<u64>,
    hashes: BTreeMap<u64, RunHash>,
    trouble: Option<String>,
}

impl SweepTotals {
    fn add(&mut self, outcome: &SeedOutcome) {
        let figures = outcome.figures;
        self.seeds += 1;
        self.hashes.insert(outcome.seed, outcome.run_hash);
        self.lasted_ms += outcome.lasted_ms;
        self.events += outcome.events;
        self.counts += figures.counts;
        self.complete += figures.complete;
        self.exact += figures.exact;
        self.rows += figures.rows;
        self.rows_exact += figures.rows_exact;
        self.watch_ms += figures.watch_ms;
        self.archived += figures.archived;
        self.faults += SimPlan::of(outcome.seed).faults.len() as u64;
        self.with_losses += u64::from(figures.losses > 0);
    }
}

impl<'a> SeedSweep<'a> {
    fn new(args: &'a Args) -> SeedSweep<'a> {
        let (first, end) = match args.seed {
            Some(seed) => (seed, seed.saturating_add(1)),
            None => (args.from, args.from.saturating_add(args.seeds)),
        };
        let is_seen = std::io::stderr().is_terminal() && args.seed.is_none();
        let target =
            if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(end - first), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} seeds  {per_sec}  {eta} left")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
        SeedSweep { args, first, end, next, stop, sum: Mutex::default(), bar }
    }

    fn run(self) -> SweepTotals {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.args.threads.unwrap_or(cores).clamp(1, 1024);
        let started_ms = mono_ms();
        std::thread::scope(|scope| {
            (0..threads).for_each(|_| {
                scope.spawn(|| self.work());
            });
        });
        self.bar.finish_and_clear();
        let sum = self.sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.args.hashes {
            print_hashes(&sum.hashes);
        } else {
            report(&sum, self.args, mono_ms() - started_ms);
        }
        sum
    }

    fn work(&self) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end || self.stop.load(Ordering::Relaxed) {
                return;
            }
            if self.args.seed.is_some() {
                say(&SimPlan::of(seed).to_string());
            }
            self.one(seed);
            self.bar.inc(1);
        }
    }

    fn one(&self, seed: u64) {
        let mutant = self.args.mutant.map(Bug::mutant);
        let outcome = run(seed, mutant, self.args.trace);
        let again = self.args.twice.then(|| run(seed, mutant, self.args.trace));
        let mut sum = self.sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let why = match (outcome, again) {
            (Err(error), _) | (_, Some(Err(error))) => {
                sum.trouble = Some(error.to_string());
                Some(error.to_string())
            }
            (Ok(outcome), again) => {
                sum.add(&outcome);
                let differs = again.is_some_and(|again| again.is_ok_and(|again| again != outcome));
                outcome.violation.or(differs.then(|| "the second run differs".to_string()))
            }
        };
        let Some(why) = why else { return };
        sum.failed.insert(seed);
        let flag = self.args.mutant.map(Bug::flag).unwrap_or_default();
        self.bar.suspend(|| {
            say(&format!("seed {seed} failed {why}"));
            say(&format!(
                "  replay: cargo run --release -p housecount-sim -- --seed {seed} --trace{flag}"
            ));
            if self.args.mutant.is_some() {
                say(&format!("  found after {} seeds", seed - self.first + 1));
            }
        });
        if !self.args.keep_going {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Prints a line. A reader that has closed the pipe is not a failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{}", line.trim_end());
}

/// Prints one line per seed in the order of seeds, and one over all, for `diff`.
fn print_hashes(hashes: &BTreeMap<u64, RunHash>) {
    hashes.iter().for_each(|(seed, hash)| say(&format!("{seed} {hash}")));
    let combined = RunHash::combined(hashes.iter().map(|(seed, hash)| (*seed, *hash)));
    say(&format!("{} seeds {combined}", hashes.len()));
}

fn report(sum: &SweepTotals, args: &Args, took_ms: u64) {
    let percent = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
    say(&format!(
        "{} seeds, {} failed; {:.1} s, and {} simulated",
        sum.seeds,
        sum.failed.len(),
        took_ms as f64 / 1000.0,
        clock(sum.lasted_ms)
    ));
    say(&format!(
        "{} faults, {} events; {} counts checked, {:.1} % of them reported complete, {:.1} % of these with only one \
         right answer",
        sum.faults,
        sum.events,
        sum.counts,
        percent(sum.complete, sum.counts),
        percent(sum.exact, sum.complete)
    ));
    say(&format!(
        "{} rows of watch time, {:.0} h in all, {:.1} % of them with only one right answer; {} seeds drew a \
         documented double fault that lost something",
        sum.rows,
        sum.watch_ms as f64 / 3_600_000.0,
        percent(sum.rows_exact, sum.rows),
        sum.with_losses
    ));
    say(&format!("{} heartbeats and leaves required in an archive", sum.archived));
    if args.twice {
        say("each seed ran twice");
    }
}
