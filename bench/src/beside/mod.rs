//! `bench/beside`: heartbeats beside reads, commits, joins and connects, of one binary or of two
//! alternating ones.
//!
//! Each scene starts a Redis and nodes of one binary, sends its viewers' first beats, and measures
//! its rows. Scenes of two binaries alternate, so that a change of the machine's speed affects
//! both.

mod args;
mod connects;
mod crowd;
mod ground;
mod joins;
mod ledger;
mod lists;
mod metrics;
mod nodes;
mod outcomes;
mod probe;
mod readers;
mod scene;
mod stages;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

pub use self::args::BesideArgs;
use self::outcomes::Outcomes;
use self::scene::{Scene, Start};
use crate::machine::Machine;
use crate::{process, terminal};

/// A scene's name, rows, settings, and work.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    rows: &'static [u8],
    set: &'static [&'static str],
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    /// Work on one node.
    Node(fn(Scene<'_>) -> anyhow::Result<()>),
    /// Work on nodes that it starts itself.
    Nodes(fn(&Start<'_>, &mut Outcomes) -> anyhow::Result<()>),
}

const KINDS: [Kind; 6] = [
    Kind { name: "one stage", rows: &lists::ROWS, set: &[], work: Work::Node(lists::run) },
    Kind { name: "10,000 stages", rows: &stages::ROWS, set: &[], work: Work::Node(stages::run) },
    Kind { name: "joins", rows: &joins::ROWS, set: &[], work: Work::Node(joins::run) },
    Kind { name: "connects", rows: &connects::ROWS, set: &[], work: Work::Node(connects::run) },
    Kind { name: "1 and 8 nodes", rows: &nodes::ROWS, set: &[], work: Work::Nodes(nodes::run) },
    Kind {
        name: "ledger",
        rows: &ledger::ROWS,
        set: &ledger::SETTINGS,
        work: Work::Node(ledger::run),
    },
];

/// Runs all scenes and prints the tables.
///
/// # Errors
/// Returns an error if the options can't be used. A scene that fails is listed in the tables
/// instead.
pub fn run(args: &BesideArgs) -> anyhow::Result<ExitCode> {
    let plan = args.plan()?;
    let dir = plan.target.join(format!("beside-{}", std::process::id()));
    let logs = plan.target.join("logs");
    for dir in [&dir, &logs] {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    process::end_all_on_signal(&dir)?;
    let machine = Machine::look(&plan.target.join("usual/node_modules"));
    if let Some(warning) = machine.warning() {
        eprintln!("beside: {warning}");
    }
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let command = format!("bench/beside {}", arguments.join(" ")).trim_end().to_string();
    let began = Instant::now();
    let mut outcomes = Outcomes::new(plan.builds.iter().map(|build| build.name).collect());
    for round in 0..plan.rounds {
        for (number, kind) in KINDS.iter().enumerate() {
            if !plan.has(kind.rows) {
                continue;
            }
            // Every other scene begins with the other binary.
            let is_turned = (number + usize::try_from(round)?) % 2 == 1;
            let mut order: Vec<usize> = (0..plan.builds.len()).collect();
            if is_turned {
                order.reverse();
            }
            for build in order {
                let name = plan.builds.get(build).map_or("", |build| build.name);
                let what = format!("{name}, {}", kind.name);
                if began.elapsed() > plan.limit {
                    outcomes.failures.push(format!("{what}: not run, the time was up (--minutes)"));
                    continue;
                }
                eprintln!("{:>4} s {what}", began.elapsed().as_secs());
                let start = Start { plan: &plan, build, dir: &dir, logs: &logs };
                if let Err(error) = measure(*kind, &start, &mut outcomes) {
                    eprintln!("beside: {what}: {error:#}");
                    outcomes.failures.push(format!("{what}: {error:#}"));
                }
                // Written after each scene, so that the results stay if the run is stopped.
                let so_far = plan.target.join("beside.md");
                std::fs::write(&so_far, outcomes.markdown(&machine, &command))
                    .with_context(|| format!("writing {}", so_far.display()))?;
            }
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
    eprintln!("{:>4} s done", began.elapsed().as_secs());
    terminal::say(&outcomes.markdown(&machine, &command));
    Ok(if outcomes.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(kind: Kind, start: &Start<'_>, outcomes: &mut Outcomes) -> anyhow::Result<()> {
    match kind.work {
        Work::Nodes(work) => work(start, outcomes),
        Work::Node(work) => {
            let ground = start.nodes(1, kind.set)?;
            work(Scene { plan: start.plan, ground, outcomes, build: start.build })
        }
    }
}
