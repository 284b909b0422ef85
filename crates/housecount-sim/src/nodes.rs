//! The nodes: production code with simulated stores, started, stopped and killed by the plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_cost::{CostSettings, CostTracker, read_prices};
use housecount_engine::Ack;
use housecount_engine::ArchiveSettings;
use housecount_engine::Settings;
use housecount_engine::internals::{EngineRunner, EngineState};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::events::{self, EventRecord};
use crate::oracle::LABEL_KEY;
use crate::plan::SimPlan;
use crate::world::World;
use crate::world::{cold, log};

/// Interval between two reads of the log. It is ten times production's, so that an hour passes in a
/// moment.
pub const POLL_MS: u64 = 500;

/// A running node.
#[derive(Debug)]
pub struct RunningNode {
    /// State that the node's requests and tasks share.
    pub node: Arc<EngineState>,
    /// Number of the node's run, as in [`crate::oracle`].
    pub run: usize,
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// The running nodes, by number.
#[derive(Debug)]
pub struct Nodes {
    world: Arc<World>,
    settings: Settings,
    cost: CostSettings,
    /// Observed counts and received deliveries.
    pub events: Arc<EventRecord>,
    running: Mutex<Vec<Option<RunningNode>>>,
}

/// Settings of the plan; all others are the defaults.
#[must_use]
pub fn settings(plan: &SimPlan) -> Settings {
    Settings {
        window_ms: plan.window_ms,
        snapshot_interval_ms: plan.snapshot_interval_ms,
        snapshot_retention_ms: 3_600_000,
        archive: plan.archive.map(|form| ArchiveSettings {
            form,
            flush_ms: 30_000,
            retention_ms: 90 * 24 * 3_600_000,
        }),
        ack: if plan.is_acknowledged_early { Ack::Memory } else { Ack::Log },
        poll_ms: POLL_MS,
        label_keys: plan.has_labels().then(|| LABEL_KEY.to_string()).into_iter().collect(),
        ..Settings::default()
    }
}

impl Nodes {
    /// A set of nodes of which none runs yet.
    ///
    /// # Errors
    /// Returns `InvalidData` if the prices that come with housecount can't be read.
    pub fn new(world: Arc<World>, settings: Settings) -> std::io::Result<Nodes> {
        let prices = read_prices(None)
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))?;
        let cost = CostSettings { prices, limit: None, machine: None };
        let running = (0..world.plan.nodes).map(|_| None).collect();
        let running = Mutex::new(running);
        Ok(Nodes { world, settings, cost, events: Arc::default(), running })
    }

    /// Settings of all nodes.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Starts a node, unless it already runs.
    pub fn start(&self, number: usize) {
        let mut running = self.running.lock();
        if running[number].is_some() {
            return;
        }
        let run = self.world.truth.lock().begin();
        self.world.happened(&format!("node {number} starts, run {run}"));
        let log = Arc::new(log::SimLog::new(self.world.clone(), number, run));
        let cold = Arc::new(cold::SimCold::new(self.world.clone(), number));
        let mut runner = EngineRunner::new(self.settings.clone(), log, Some(cold));
        CostTracker::start(&self.cost, &mut runner);
        events::add_to(&self.world, &self.events, &mut runner);
        let (node, (stop, stopped)) = (runner.state.clone(), oneshot::channel());
        let world = self.world.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                // The sender is dropped if the whole simulation ends first.
                let _ = stopped.await;
            };
            if let Err(error) = runner.run_alone(stopped).await {
                world.violated(format!("node {number} gave up: {error}"));
            }
        });
        running[number] = Some(RunningNode { node, run, task, stop: Some(stop) });
    }

    /// A running node, and its run's number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<(Arc<EngineState>, usize)> {
        self.running.lock()[number].as_ref().map(|running| (running.node.clone(), running.run))
    }

    /// Number of partitions that each run has rebuilt in the log, by the node's own counter.
    #[must_use]
    pub fn rebuilt_partitions(&self) -> BTreeMap<usize, u64> {
        let running = self.running.lock();
        running
            .iter()
            .flatten()
            .map(|running| (running.run, running.node.metrics.log_rebuilds.get()))
            .collect()
    }

    /// Kills those of these nodes that run, as `kill -9` does.
    pub fn kill(&self, numbers: &[usize]) {
        let rebuilt_partitions = self.rebuilt_partitions();
        let mut running = self.running.lock();
        let killed: Vec<RunningNode> =
            numbers.iter().filter_map(|number| running[*number].take()).collect();
        killed.iter().for_each(|running| running.task.abort());
        let runs: Vec<usize> = killed.iter().map(|running| running.run).collect();
        self.world.happened(&format!("runs {runs:?} are killed"));
        self.world.truth.lock().end_runs(&runs, &rebuilt_partitions, self.world.now_ms());
    }

    /// Stops a node as SIGTERM does, and waits until it has ended.
    pub async fn stop(&self, number: usize) {
        let Some(mut stopping) = self.running.lock()[number].take() else { return };
        self.world.happened(&format!("run {} begins to stop", stopping.run));
        if let Some(stop) = stopping.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut stopping.task).await;
        self.world.happened(&format!("run {} has stopped", stopping.run));
        let mut rebuilt_partitions = self.rebuilt_partitions();
        rebuilt_partitions.insert(stopping.run, stopping.node.metrics.log_rebuilds.get());
        self.world.truth.lock().end_runs(&[stopping.run], &rebuilt_partitions, self.world.now_ms());
    }
}
