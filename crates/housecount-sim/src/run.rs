//! One seed, from its first beat to its last check.

use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_core::fold::Rules;
use housecount_core::limits::CLOCK_AHEAD_MS_MAX;
use housecount_core::mutants::{self, Mutant};
use housecount_core::time::UnixMs;
use housecount_engine::Settings;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::active_faults::{COLD_SLOW_MS_MAX, advance};
use crate::archive_check;
use crate::checks::{self, CheckStats};
use crate::digest::RunHash;
use crate::nodes::{Nodes, settings};
use crate::operator;
use crate::oracle::proof::Proven;
use crate::plan::{Fault, FaultKind, SimPlan};
use crate::player::SimAudience;
use crate::standstill::Standstill;
use crate::streams::SimStreams;
use crate::world::World;
use crate::world::cold::SimCold;

/// Time allowed beyond a ttl after the last fault, before everything must be right. It covers a
/// start, the network, and slow clocks.
const SETTLE_MS: u64 = 10_000;
/// Time until a node that was cut off, and that receives no beats, has noted its return. Before
/// that it holds time back for up to a minute (`SETTLE_MS_MAX` of the follower).
const NOTED_MS_MAX: u64 = 65_000;
/// Time that viewers keep watching after everything is right again.
const AFTER_MS: u64 = 120_000;
/// Interval between two reads of the ledger.
const READ_MS: u64 = 8 * 60_000;
/// Interval of log maintenance, plus the time by which nodes may be ahead of the log's clock.
const TEND_MS: u64 = 10_000 + CLOCK_AHEAD_MS_MAX;
/// Longest time of a commit without faults, for leases and turns.
const COMMIT_MS: u64 = 60_000;
/// Longest time of the archive without faults: the lease of a killed node, a slot, and turns.
const ARCHIVE_MS: u64 = 7 * 60_000;
/// Longest time of deliveries without faults, for the lease of a killed node and failed tries.
const DELIVER_MS: u64 = 5 * 60_000;

/// Result of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedOutcome {
    /// Seed of the run.
    pub seed: u64,
    /// Checksum of the trace, which describes all that happened in words.
    pub hash: u64,
    /// Hash over events, answers and stored bytes, without words.
    pub run_hash: RunHash,
    /// First violation of an invariant.
    pub violation: Option<String>,
    /// Figures of the checks.
    pub figures: CheckStats,
    /// Duration of the run, in the simulation's time.
    pub lasted_ms: u64,
    /// Number of events that nodes accepted.
    pub events: u64,
}

/// Runs a seed, with a known bug if one is given.
///
/// # Errors
/// Returns the I/O error if the runtime can't be built or the settings are refused.
pub fn run(seed: u64, mutant: Option<Mutant>, is_shown: bool) -> std::io::Result<SeedOutcome> {
    run_plan(SimPlan::of(seed), mutant, is_shown)
}

/// Runs a plan that was made by hand.
///
/// # Errors
/// Returns the I/O error if the runtime can't be built or the settings are refused.
pub fn run_plan(
    plan: SimPlan,
    mutant: Option<Mutant>,
    is_shown: bool,
) -> std::io::Result<SeedOutcome> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    mutants::switch(mutant);
    let outcome = runtime.block_on(async {
        let seed = plan.seed;
        housecount_backend::sim::begin(seed);
        let settings = settings(&plan);
        let world = World::new(plan, settings.rules.ttl_ms, is_shown);
        let mut figures = CheckStats::default();
        if let Err(why) = simulate(&world, settings, &mut figures).await {
            world.violated(why);
        }
        let events = world.truth.lock().events().len() as u64;
        let (hash, run_hash) = (world.hash(), world.run_hash());
        let (violation, lasted_ms) = (world.violation(), world.now_ms());
        Ok(SeedOutcome { seed, hash, run_hash, violation, figures, lasted_ms, events })
    });
    drop(runtime);
    mutants::switch(None);
    housecount_backend::sim::end();
    outcome
}

/// A simulation in progress.
struct Simulation {
    world: Arc<World>,
    nodes: Arc<Nodes>,
    /// An observer's access to the ledger, which faults do not affect.
    cold: Arc<dyn Cold>,
    rules: Rules,
    /// Time and rows of the last read of the ledger.
    read: (u64, Proven),
    /// Checks of the nodes while the log takes no writes.
    standstill: Standstill,
    streams: Arc<SimStreams>,
}

async fn simulate(
    world: &Arc<World>,
    settings: Settings,
    figures: &mut CheckStats,
) -> Result<(), String> {
    let rules = settings.rules;
    let nodes = Arc::new(Nodes::new(world.clone(), settings).map_err(|e| e.to_string())?);
    let cold: Arc<dyn Cold> = Arc::new(SimCold::observing(world.clone()));
    let streams = Arc::new(SimStreams::new(&world.plan));
    let mut simulation = Simulation {
        world: world.clone(),
        nodes: nodes.clone(),
        cold,
        rules,
        read: (0, Proven::new()),
        standstill: Standstill::default(),
        streams: streams.clone(),
    };
    // A slow call that began before the last fault ended may still be in progress, and a starting
    // node waits for it.
    let is_slow = world.plan.faults.iter().any(|fault| fault.kind == FaultKind::ColdSlow);
    // After the log's clock was set, nodes that were cut off may differ in time. They learn it with
    // the first beat that one accepts, or from its note of its return.
    let is_set = world.plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::LogClock(_)));
    let apart_ms = if is_set { NOTED_MS_MAX } else { 0 };
    let under_way_ms = if is_slow { COLD_SLOW_MS_MAX } else { 0 } + apart_ms;
    let converged_ms = world.plan.faults_end_ms + rules.ttl_ms + SETTLE_MS + under_way_ms;
    let ends_ms = converged_ms + AFTER_MS;

    let mut tasks = JoinSet::new();
    (0..world.plan.nodes).for_each(|node| nodes.start(node));
    for fault in world.plan.faults.clone() {
        tasks.spawn(run_fault(world.clone(), nodes.clone(), fault));
    }
    let audience = SimAudience::new(world.clone(), nodes.clone(), streams, ends_ms);
    for viewer in 0..world.plan.viewers {
        tasks.spawn(audience.clone().live(viewer));
    }
    tasks.spawn(operator::operate(world.clone(), nodes.clone(), ends_ms));
    simulation.look_until(converged_ms, figures).await?;
    simulation.is_whole()?;
    simulation.look_until(ends_ms, figures).await?;
    while tasks.join_next().await.is_some() {}
    simulation.end(figures).await
}

/// Begins and ends a fault.
async fn run_fault(world: Arc<World>, nodes: Arc<Nodes>, fault: Fault) {
    let Fault { from_ms, to_ms, kind } = fault;
    advance(from_ms.saturating_sub(world.now_ms())).await;
    world.happened(&format!("{kind:?} begins"));
    let lasts = world.trouble.lock().change(kind, true, world.now_ms());
    if !lasts {
        apply_fault(&world, &nodes, kind).await;
    }
    advance(to_ms.saturating_sub(world.now_ms())).await;
    if lasts {
        world.happened(&format!("{kind:?} ends"));
        world.trouble.lock().change(kind, false, world.now_ms());
    }
    match kind {
        FaultKind::NodeKilled(node) | FaultKind::NodeStopped(node) => nodes.start(node),
        FaultKind::AllKilled | FaultKind::HotLost => {
            (0..world.plan.nodes).for_each(|node| nodes.start(node))
        }
        _ => {}
    }
}

/// Applies a momentary fault.
async fn apply_fault(world: &World, nodes: &Nodes, kind: FaultKind) {
    let all: Vec<usize> = (0..world.plan.nodes).collect();
    match kind {
        FaultKind::NodeKilled(node) => nodes.kill(&[node]),
        FaultKind::NodeStopped(node) => nodes.stop(node).await,
        FaultKind::AllKilled => nodes.kill(&all),
        FaultKind::NodeClock(_, step_ms) => housecount_backend::sim::step_wall(step_ms),
        FaultKind::LogClock(ahead_ms) => world.log.lock().ahead_ms = ahead_ms,
        FaultKind::LogEmptied => empty(world, nodes),
        FaultKind::LogFailedOver => {
            let since_ms = world.log.lock().fail_over(world.now_ms());
            world.truth.lock().log_lost(since_ms, &nodes.rebuilt_partitions(), world.now_ms());
        }
        FaultKind::HotLost => {
            nodes.kill(&all);
            empty(world, nodes);
        }
        _ => {}
    }
}

fn empty(world: &World, nodes: &Nodes) {
    world.log.lock().empty();
    world.truth.lock().log_lost(0, &nodes.rebuilt_partitions(), world.now_ms());
}

impl Simulation {
    fn running(
        &self,
    ) -> impl Iterator<Item = (Arc<housecount_engine::internals::EngineState>, usize)> {
        (0..self.world.plan.nodes).filter_map(|number| self.nodes.get(number))
    }

    /// Runs the checks repeatedly until `until_ms` or until the first violation.
    async fn look_until(&mut self, until_ms: u64, figures: &mut CheckStats) -> Result<(), String> {
        while self.world.now_ms() < until_ms {
            advance(housecount_backend::rng::random_range(800..4_000)).await;
            for (node, run) in self.running() {
                checks::counts(&self.world, &node, run, self.rules, figures);
                self.nodes.events.observe(&self.world, &node, run);
            }
            self.nodes.events.find_first(&self.world)?;
            for number in 0..self.world.plan.nodes {
                if let Some((node, run)) = self.nodes.get(number) {
                    self.standstill.look(&self.world, number, &node, run);
                    self.streams.look(&self.world, &node, run);
                }
            }
            if self.world.now_ms() >= self.read.0 + READ_MS {
                self.read().await?;
            }
            if let Some(violation) = self.world.violation() {
                return Err(violation);
            }
        }
        Ok(())
    }

    /// Checks that committed rows stay, and that every committed row is proven.
    async fn read(&mut self) -> Result<(), String> {
        let rows = checks::ledger(&self.cold).await?;
        self.world.digest(|hasher, now_ms| hasher.ledger(now_ms, &rows));
        checks::is_within("committed but missing later", &self.read.1, &rows)?;
        checks::is_within(
            "credited but not proven",
            &rows,
            &self.world.truth.lock().most(self.rules.ttl_ms),
        )?;
        self.read = (self.world.now_ms(), rows);
        Ok(())
    }

    /// Checks that all nodes run and have complete counts.
    fn is_whole(&self) -> Result<(), String> {
        let mut running = 0;
        for (node, run) in self.running() {
            running += 1;
            if !node.hub.totals().status.complete {
                return Err(format!(
                    "run {run} has incomplete counts one ttl after the end of all faults: {:?}, waits for {:?}",
                    node.hub.totals().status,
                    node.readiness.not_ready_reason()
                ));
            }
        }
        if running < self.world.plan.nodes {
            Err(format!("only {running} nodes run"))
        } else {
            Ok(())
        }
    }

    /// Runs the last checks after all viewers have left. The ledger must then have all watch time,
    /// once.
    async fn end(&mut self, figures: &mut CheckStats) -> Result<(), String> {
        let settings = self.nodes.settings().clone();
        let last =
            self.world.truth.lock().events().iter().map(|event| event.at).max().unwrap_or_default();
        let target = last.plus(2 * settings.window_ms);
        // Where the log's clock is behind the last stamp, the clock has to reach the stamp first.
        let behind_ms = last.since(self.world.log.lock().clock(self.world.now_ms()));
        let within_ms = behind_ms + 5 * settings.window_ms + self.rules.ttl_ms + COMMIT_MS;
        self.commit_to(target, within_ms, figures).await?;
        self.look_until(self.world.now_ms() + 5_000, figures).await?;
        // Records that the ledger has and no node needs are trimmed, whatever happened before.
        let kept_ms = settings.log_kept_ms() + 2 * settings.window_ms + TEND_MS;
        let old = self.world.log.lock().records_before(self.world.committed_to().minus(kept_ms));
        if old > 0 {
            return Err(format!("the log still has {old} records that no node needs"));
        }
        for (node, run) in self.running() {
            let totals = node.hub.totals();
            if totals.value.0.viewers != 0 || !totals.status.complete {
                return Err(format!("run {run} counts {totals:?} after all viewers have left"));
            }
        }
        if let Some(form) = self.world.plan.archive {
            self.archive_to_the_end(figures).await?;
            figures.archived =
                archive_check::archive_in_the_end(&self.world, &self.cold, form).await?;
        }
        if self.world.plan.has_events {
            self.deliver_to_the_end(figures).await?;
            figures.stage_events = self.nodes.events.in_the_end(&self.world, &self.cold).await?;
        }
        figures.versions = operator::in_the_end(&self.world, &self.cold).await?;
        let rows =
            checks::ledger_in_the_end(&self.world, &self.cold, self.rules.ttl_ms, figures).await?;
        self.world.digest(|hasher, now_ms| hasher.ledger(now_ms, &rows));

        // A node that knows only the rest of the log continues to commit, and that changes nothing.
        let all: Vec<usize> = (0..self.world.plan.nodes).collect();
        self.nodes.kill(&all);
        self.nodes.start(0);
        let target = self.world.committed_to().plus(settings.window_ms);
        let behind_ms = target.since(self.world.log.lock().clock(self.world.now_ms()));
        let within_ms = behind_ms + 3 * settings.window_ms + self.rules.ttl_ms + COMMIT_MS;
        self.commit_to(target, within_ms, figures).await?;
        if checks::ledger(&self.cold).await? != rows {
            return Err("another commit changed the ledger".to_string());
        }
        Ok(())
    }

    /// Waits until the receiver has all events of stages and counts.
    async fn deliver_to_the_end(&mut self, figures: &mut CheckStats) -> Result<(), String> {
        let until_ms = self.world.now_ms() + DELIVER_MS;
        while !self.nodes.events.has_received_all(&self.cold).await? {
            if self.world.now_ms() > until_ms {
                return Err("events were not delivered in time".to_string());
            }
            self.look_until(self.world.now_ms() + 5_000, figures).await?;
        }
        Ok(())
    }

    /// Waits until all events of the log are in the archive.
    async fn archive_to_the_end(&mut self, figures: &mut CheckStats) -> Result<(), String> {
        let (last, clock) = {
            let log = self.world.log.lock();
            (log.last(), log.clock(self.world.now_ms()))
        };
        let until_ms = self.world.now_ms() + last.since(clock) + ARCHIVE_MS;
        loop {
            let reached =
                self.running().map(|(node, _)| node.metrics.archived.get()).fold(0.0, f64::max);
            // An item names the last archived record. A chunk covers one slot, which is over once
            // the chunk is there.
            if (reached * 1_000.0).round() as u64 >= last.0 {
                return Ok(());
            }
            if self.world.now_ms() > until_ms {
                return Err(format!("the archive has reached {reached} s only, not {last}"));
            }
            self.look_until(self.world.now_ms() + 5_000, figures).await?;
        }
    }

    async fn commit_to(
        &mut self,
        target: UnixMs,
        within_ms: u64,
        figures: &mut CheckStats,
    ) -> Result<(), String> {
        let until_ms = self.world.now_ms() + within_ms;
        while self.world.committed_to() < target {
            if self.world.now_ms() > until_ms {
                let edge = self.world.committed_to();
                return Err(format!("the ledger has reached {edge} only, not {target}"));
            }
            self.look_until(self.world.now_ms() + 5_000, figures).await?;
        }
        Ok(())
    }
}
