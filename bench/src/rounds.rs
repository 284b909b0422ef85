//! Rounds, each of which measures every contender.
//!
//! Every other round reverses the order, so that no contender always comes first. A drift (heat, a
//! neighbour) then affects all of them. With `--by-turns` all contenders run at once and their
//! loads alternate, so that a drift within minutes affects all alike, too.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Plan;
use crate::contender::{Contender, Load};
use crate::load::{self, Ground, Outcome};
use crate::machine::Machine;
use crate::results::{Results, figure};
use crate::running::{self, Place, Running};

/// Runs all rounds. A failure is recorded, and the other loads continue.
pub fn run(plan: &Plan, place: &Place, machine: Machine) -> Results {
    let results = Results {
        machine,
        command: plan.command.clone(),
        rounds: plan.rounds,
        seconds: plan.sizes.measured.as_secs(),
        rows: Vec::new(),
        skipped: Vec::new(),
        failures: Vec::new(),
    };
    let steps: usize = plan.contenders.iter().map(|c| c.loads.len()).sum();
    let mut turns =
        Turns { plan, place, results, progress: progress(steps as u64 * u64::from(plan.rounds)) };
    if plan.by_turns {
        turns.all_at_once();
    } else {
        turns.one_after_another();
    }
    turns.progress.finish_and_clear();
    let place_of = |name: &str| plan.contenders.iter().position(|c| c.name == name);
    let load_of = |name: &str, load: &str| {
        let contender = plan.contenders.iter().find(|c| c.name == name);
        contender.and_then(|c| c.loads.iter().position(|l| l.to_string() == load))
    };
    let mut results = turns.results;
    results.rows.sort_by_key(|row| (place_of(&row.contender), load_of(&row.contender, &row.load)));
    results
}

fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template(
        "{bar:30} {pos}/{len}  {elapsed} gone, {eta} to go  {wide_msg}",
    ) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}

struct Turns<'a> {
    plan: &'a Plan,
    place: &'a Place,
    results: Results,
    progress: ProgressBar,
}

impl<'a> Turns<'a> {
    /// Returns the contenders that can run, in the order of a round. The others are recorded as
    /// skipped.
    fn order(&mut self, round: u32) -> Vec<&'a Contender> {
        let plan = self.plan;
        let mut order: Vec<&Contender> = plan.contenders.iter().collect();
        if round.is_multiple_of(2) {
            order.reverse();
        }
        order.retain(|contender| match running::missing(plan, contender) {
            Some(why) => {
                self.skip_all(contender, &why);
                false
            }
            None => true,
        });
        order
    }

    fn one_after_another(&mut self) {
        for round in 1..=self.plan.rounds {
            for contender in self.order(round) {
                let mut running = None;
                for load in &contender.loads {
                    self.take(contender, *load, round, &mut running);
                }
            }
        }
    }

    fn all_at_once(&mut self) {
        let mut loads: Vec<Load> = Vec::new();
        for load in self.plan.contenders.iter().flat_map(|contender| &contender.loads) {
            if !loads.contains(load) {
                loads.push(*load);
            }
        }
        let mut running: BTreeMap<&str, Option<Running>> = BTreeMap::new();
        for round in 1..=self.plan.rounds {
            let order = self.order(round);
            for load in &loads {
                for contender in order.iter().filter(|contender| contender.loads.contains(load)) {
                    self.take(contender, *load, round, running.entry(contender.name).or_default());
                }
            }
        }
    }

    /// Runs one load on a contender, and records the outcome.
    fn take(
        &mut self,
        contender: &Contender,
        load: Load,
        round: u32,
        running: &mut Option<Running>,
    ) {
        self.say(&format!("round {round}: {}, {load}", contender.name));
        let outcome = self.one(contender, load, round, running);
        self.progress.inc(1);
        match outcome {
            Ok(Outcome::Figures(figures)) => {
                let errors = figures.get(figure::ERRORS).copied().unwrap_or_default();
                self.results.add(contender.name, contender.what, &load.to_string(), round, figures);
                if errors > 0.0 {
                    self.fail(
                        contender,
                        load,
                        round,
                        &format!("{errors} answers were not a success"),
                    );
                    *running = None;
                }
            }
            Ok(Outcome::Skipped(why)) => self.skip(&format!("{}, {load}: {why}", contender.name)),
            Err(error) => {
                self.fail(contender, load, round, &format!("{error:#}"));
                // A restart protects the next load from the effects of this failure.
                *running = None;
            }
        }
    }

    /// Runs one load. The contender keeps running from load to load, unless a load needs a fresh
    /// one.
    fn one(
        &self,
        contender: &Contender,
        load: Load,
        round: u32,
        slot: &mut Option<Running>,
    ) -> anyhow::Result<Outcome> {
        if load.wants_fresh() {
            *slot = None;
        }
        let is_new = slot.is_none();
        let running = match slot {
            Some(running) => running,
            None => slot.insert(Running::start(self.plan, self.place, contender, round)?),
        };
        let ground =
            Ground { running, setup: contender.setup, sizes: &self.plan.sizes, place: self.place };
        if is_new && !load.wants_fresh() {
            load::introduce(ground)?;
        }
        load::run(load, ground)
    }

    fn fail(&mut self, contender: &Contender, load: Load, round: u32, why: &str) {
        let failure = format!("round {round}, {}, {load}: {why}", contender.name);
        self.progress.suspend(|| eprintln!("bench: {failure}"));
        self.results.failures.push(failure);
    }

    fn skip_all(&mut self, contender: &Contender, why: &str) {
        self.progress.inc(contender.loads.len() as u64);
        self.skip(&format!("{}: {why}", contender.name));
    }

    fn skip(&mut self, note: &str) {
        if !self.results.skipped.iter().any(|known| known == note) {
            self.progress.suspend(|| eprintln!("bench: skipped {note}"));
            self.results.skipped.push(note.to_string());
        }
    }

    fn say(&self, what: &str) {
        if self.progress.is_hidden() {
            eprintln!("{what}");
        } else {
            self.progress.set_message(what.to_string());
        }
    }
}
