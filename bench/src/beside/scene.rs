//! Scene: one binary on its ground, and phases in which something runs beside the probe.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::Plan;
use super::crowd::{Bodies, Crowd, CrowdReport};
use super::ground::{Ground, Spent};
use super::outcomes::{Goal, Outcomes, Phase, Place};
use super::probe::Probe;
use crate::viewers;

/// Time between two heartbeats of the probe.
pub const BEAT_EVERY: Duration = Duration::from_millis(50);
/// Time between two heartbeats in phases that last less than a second.
pub const BEAT_OFTEN: Duration = Duration::from_millis(10);
/// Pause in which one phase's work ends before the next phase begins.
const SETTLE: Duration = Duration::from_millis(500);
/// Seconds between two heartbeats of a viewer, unless a scene sets its own.
pub const INTERVAL_S: usize = 30;

/// One binary on its ground, with the plan and the outcomes.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Sizes and choices.
    pub plan: &'a Plan,
    /// Processes of the binary.
    pub ground: Ground,
    /// Everything measured so far.
    pub outcomes: &'a mut Outcomes,
    /// Index of the binary.
    pub build: usize,
}

/// Inputs from which a scene starts its nodes.
#[derive(Debug)]
pub struct Start<'a> {
    /// Sizes and choices.
    pub plan: &'a Plan,
    /// Index of the binary.
    pub build: usize,
    /// Folder for the servers' data.
    pub dir: &'a Path,
    /// Folder for the servers' output.
    pub logs: &'a Path,
}

impl Start<'_> {
    /// Starts `count` nodes on one log.
    ///
    /// # Errors
    /// Returns an error if a process did not start.
    pub fn nodes(&self, count: usize, set: &[&str]) -> anyhow::Result<Ground> {
        let build = self.plan.builds.get(self.build);
        let binary = build.map(|build| build.path.as_path()).unwrap_or(Path::new("housecount"));
        Ground::start(binary, self.dir.join("scene"), self.logs, count, set)
    }
}

impl Scene<'_> {
    /// Returns the place of a figure in this row.
    pub fn place(&self, row: u8) -> Place {
        Place { build: self.build, row }
    }

    /// Adds a figure if its row is wanted and it has a value.
    pub fn figure(&mut self, row: u8, what: &str, value: Option<f64>, digits: usize, goal: Goal) {
        if let Some(value) = value.filter(|_| self.plan.has(&[row])) {
            self.outcomes.figure(self.place(row), what, value, digits, goal);
        }
    }

    /// Sends one heartbeat of each viewer, and then keeps the crowd at `rate` heartbeats per
    /// second.
    ///
    /// # Errors
    /// Returns an error if the node refuses a heartbeat.
    pub fn gather(&self, stages: usize, rate: usize) -> anyhow::Result<Crowd> {
        let bodies = self.fill(stages, rate)?;
        Ok(Crowd::start(self.ground.node()?.address, &bodies, rate, false))
    }

    /// Sends one heartbeat of each viewer, and returns the crowd's requests.
    ///
    /// # Errors
    /// Returns an error if the node refuses a heartbeat.
    pub fn fill(&self, stages: usize, rate: usize) -> anyhow::Result<Arc<Bodies>> {
        let bodies = Bodies::paced(0..self.plan.viewers, stages, rate);
        bodies.fill(self.ground.node()?.address)?;
        Ok(bodies)
    }

    /// Runs some work beside the probe. Returns the work's result, the probe's measurements and the
    /// CPU spent.
    ///
    /// # Errors
    /// Returns the work's error, or an error if a node has ended.
    pub fn phase<T>(
        &mut self,
        beside: &str,
        every: Duration,
        work: impl FnOnce(&Ground) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Phase, Spent)> {
        eprintln!("     {beside}");
        let node = self.ground.node()?;
        let before = node.metrics()?;
        let used = self.ground.used()?;
        let heartbeats = Probe::heartbeats(node.address, &viewers::stage(0, 1), every);
        let workers = Probe::workers(node.address);
        let done = work(&self.ground);
        let (heartbeats, workers) = (heartbeats.finish()?, workers.finish()?);
        let spent = self.ground.spent_since(&used)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let others = 100.0 * spent.others_s / spent.took_s.max(0.001) / cores;
        let holds = node.metrics()?.holds_since(&before);
        std::thread::sleep(SETTLE);
        Ok((done?, Phase { heartbeats, workers, others, holds }, spent))
    }

    /// Runs [`Scene::phase`] and adds the probe's heartbeats as a line of a row.
    ///
    /// # Errors
    /// Returns an error as [`Scene::phase`] does.
    pub fn beside<T>(
        &mut self,
        row: u8,
        beside: &str,
        every: Duration,
        goal: Goal,
        work: impl FnOnce(&Ground) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (done, phase, _) = self.phase(beside, every, work)?;
        self.outcomes.beats(self.place(row), beside, &phase, goal);
        Ok(done)
    }

    /// Stops the crowd, and records calls that failed.
    ///
    /// # Errors
    /// Returns an error if the crowd could not connect to the node.
    pub fn end(&mut self, crowd: Crowd, scene: &str) -> anyhow::Result<CrowdReport> {
        let report = crowd.finish()?;
        if report.errors + report.skipped > 0 {
            let name = self.plan.builds.get(self.build).map_or("", |build| build.name);
            let CrowdReport { calls, errors, skipped } = report;
            self.outcomes.failures.push(format!(
                "{name}, {scene}: of the crowd's calls {calls} were answered, {errors} refused, {skipped} left out, 5 s behind"
            ));
        }
        Ok(report)
    }
}

/// Returns the heartbeats per second of this many viewers.
pub fn rate(viewers: usize, interval_s: usize) -> usize {
    (viewers / interval_s).max(1)
}
