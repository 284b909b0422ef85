//! Builds an engine, starts its tasks, and stops them in order.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::SharedClock;
use housecount_backend::cold::{CachedCold, Cold};
use housecount_backend::error::{StoreError, StoreResult};
use housecount_backend::log::{Log, LogUsage};
use housecount_backend::rng;
use housecount_backend::tasks::run_every;
use housecount_metrics::Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::archive::ArchiveProgress;
use crate::archive::task::ArchiveTask;
use crate::cold::sweep::Sweep;
use crate::engine::bootstrap::bootstrap;
use crate::engine::{EngineState, Readiness, Settings};
use crate::follower::Follower;
use crate::follower::maintenance::LogMaintenance;
use crate::hub::Hub;
use crate::hub::publish::PublishCounts;
use crate::ingest::{Appenders, Ingest, OwnAppends};
use crate::ledger::commit::LedgerCommitter;
use crate::ledger::{Proofs, Scans};
use crate::live::Live;
use crate::live::refresh::LiveRefresh;
use crate::log::WatchedLog;
use crate::snapshots::SnapshotSpacing;
use crate::snapshots::service::SnapshotService;
use crate::stages::StageStore;
use housecount_backend::workers::Workers;
use housecount_backend::workers::wake_coalescing::WakeCoalescer;

/// Time limit for the tasks to end once they are asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A task that runs beside the engine's own, from the start of counting until the watch turns true.
pub type ExtraTask = Box<
    dyn FnOnce(watch::Receiver<bool>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync,
>;

/// An engine that can run until it is stopped.
pub struct EngineRunner {
    /// State that callers and tasks share.
    pub state: Arc<EngineState>,
    workers: Workers,
    committers: Appenders,
    stop: watch::Sender<bool>,
    stop_committing: watch::Sender<bool>,
    tasks: BackgroundTasks,
}

impl EngineRunner {
    /// Builds an engine over open stores; no task runs yet.
    #[must_use]
    pub fn new(settings: Settings, log: Arc<dyn Log>, cold: Option<Arc<dyn Cold>>) -> EngineRunner {
        let mut metrics = Metrics::default();
        if let Some(cold) = &cold {
            metrics.register_units("cold_consumed_units", cold.meter().counters());
        }
        if let LogUsage::Units(meter) = log.consumed() {
            metrics.register_units("log_consumed_units", meter.counters());
        }
        let metrics = Arc::new(metrics);
        let clock = Arc::new(SharedClock::default());
        let hub = Hub::new(settings.rules, log.partitions(), cold.is_some());
        let hub = Arc::new(hub.with_labels(&settings.label_keys));
        let log: Arc<dyn Log> = Arc::new(WatchedLog::new(log, hub.writes().clone()));
        let (stop, _) = watch::channel(false);
        let (stop_committing, stop_seen) = watch::channel(false);
        let acknowledged = Arc::new(OwnAppends::new(log.partitions()));
        let wake_coalescer =
            WakeCoalescer::new(log.partitions(), Duration::from_millis(settings.linger_ms));
        let workers = Workers::start(settings.workers, wake_coalescer);
        let (ingest, committers) = Ingest::start(
            log.clone(),
            hub.clone(),
            clock.clone(),
            metrics.clone(),
            &acknowledged,
            &settings.ingest(),
            &workers,
            &stop_seen,
        );
        let proofs = cold.as_ref().map(|_| {
            Arc::new(Proofs::new(hub.fold(), settings.lateness_max_ms, settings.window_ms))
        });
        let follower = Follower::new(
            log.clone(),
            hub.clone(),
            clock.clone(),
            metrics.clone(),
            acknowledged,
            proofs.clone(),
            settings.follower(),
        );
        let snapshot_spacing = Arc::new(SnapshotSpacing::default());
        let name = format!("{:08x}", rng::random::<u32>());
        let snapshots = cold.as_ref().map(|cold| {
            let (hub, clock, metrics) = (hub.clone(), clock.clone(), metrics.clone());
            Arc::new(SnapshotService::new(
                hub,
                cold.clone(),
                clock,
                metrics,
                name.clone(),
                settings.snapshots(),
                snapshot_spacing.clone(),
            ))
        });
        let commit = cold.as_ref().zip(proofs.as_ref()).map(|(cold, proofs)| {
            let (hub, proofs, metrics) = (hub.clone(), proofs.clone(), metrics.clone());
            LedgerCommitter::new(
                log.clone(),
                cold.clone(),
                hub,
                proofs,
                metrics,
                name.clone(),
                settings.commit(),
            )
        });
        let archived = settings.archive.map(|_| Arc::new(ArchiveProgress::new(log.partitions())));
        let archive = cold.as_ref().zip(settings.archive.zip(archived.clone())).map(
            |(cold, (kept, archived))| {
                let (hub, metrics) = (hub.clone(), metrics.clone());
                ArchiveTask::new(
                    log.clone(),
                    cold.clone(),
                    hub,
                    metrics,
                    archived,
                    name,
                    kept,
                    settings.archive_params(kept),
                )
            },
        );
        let stages = StageStore::new(cold.clone(), settings.stages_auto, settings.window_ms);
        let readiness = Readiness::new(follower.progress(), log.partitions());
        let scans = Scans::new();
        let live = Arc::new(Live::new(hub.clone(), settings.live_events_per_second));
        let reads = cold.clone().map(CachedCold::of_reads);
        let hash_key = rng::random::<[u8; 32]>();
        let state = EngineState {
            settings,
            clock,
            hub,
            live,
            ingest,
            log,
            cold,
            reads,
            proofs,
            stages,
            snapshots,
            snapshot_spacing,
            beat_floor: Arc::default(),
            scans,
            readiness,
            metrics,
            hash_key,
        };
        let tasks = BackgroundTasks { follower, commit, archive, archived, extra: Vec::new() };
        EngineRunner { state: Arc::new(state), workers, committers, stop, stop_committing, tasks }
    }

    /// Adds a task to those that run beside the engine.
    pub fn add_task(&mut self, task: ExtraTask) {
        self.tasks.extra.push(task);
    }

    /// Runs without a server until `shutdown`: requests come only from this process.
    ///
    /// # Errors
    /// Returns the errors of [`run`](Self::run).
    pub async fn run_alone(self, shutdown: impl Future<Output = ()>) -> StoreResult<()> {
        self.run(Duration::ZERO, |workers, _| ready(workers), shutdown).await
    }

    /// Runs until `shutdown`, and serves with `serve` until its watch turns true.
    ///
    /// It stops in order. The engine is not ready for `drain`. Then new requests are refused, open
    /// ones finish, accepted events are appended, tasks end, and stores close. A drop of the future
    /// is a crash.
    ///
    /// # Errors
    /// Returns the first permanent error of the start-up.
    pub async fn run<F>(
        self,
        drain: Duration,
        serve: impl FnOnce(Workers, watch::Receiver<bool>) -> F + Send + 'static,
        shutdown: impl Future<Output = ()>,
    ) -> StoreResult<()>
    where
        F: Future<Output = Workers> + Send + 'static,
    {
        let EngineRunner {
            state,
            workers,
            mut committers,
            stop,
            stop_committing,
            tasks: mut alive,
        } = self;
        let mut tasks = JoinSet::new();
        let (failed, mut failure) = tokio::sync::mpsc::channel::<StoreError>(1);
        tasks.spawn({
            let (state, stop) = (state.clone(), stop.subscribe());
            async move { run_background(&state, &mut alive, stop, failed).await }
        });
        let (stop_serving, serving) = watch::channel(false);
        let server = tokio::spawn(serve(workers, serving));

        let outcome = tokio::select! {
            biased;
            () = shutdown => Ok(()),
            Some(error) = failure.recv() => Err(error),
        };
        tracing::info!("stopping");
        state.readiness.stop();
        if outcome.is_ok() {
            // Load balancers that check /readyz choose another node before the port is closed.
            tokio::time::sleep(drain).await;
        }
        state.live.end();
        let _ = stop_serving.send(true);
        let _ = stop_committing.send(true);
        let workers = server.await;
        state.ingest.close();
        while committers.join_next().await.is_some() {}
        if let Ok(workers) = workers {
            workers.stop().await;
        }
        let _ = stop.send(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
            tracing::warn!("some background tasks did not stop in time");
        }
        tracing::info!("stopped");
        outcome
    }
}

impl std::fmt::Debug for EngineRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineRunner").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The engine's background tasks, before they run.
struct BackgroundTasks {
    follower: Follower,
    commit: Option<LedgerCommitter>,
    archive: Option<ArchiveTask>,
    archived: Option<Arc<ArchiveProgress>>,
    extra: Vec<ExtraTask>,
}

/// Bootstraps the engine, then runs all background tasks.
async fn run_background(
    state: &EngineState,
    alive: &mut BackgroundTasks,
    mut stop: watch::Receiver<bool>,
    failed: tokio::sync::mpsc::Sender<StoreError>,
) {
    let (log, cold) = (&state.log, state.cold.as_ref());
    let follower = &mut alive.follower;
    let started = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return,
        started = bootstrap(
            follower, &state.hub, cold, state.proofs.as_deref(), &state.settings, &state.readiness,
        ) => started,
    };
    if let Err(error) = started {
        let _ = failed.send(error).await;
        return;
    }
    let mut tasks = JoinSet::new();
    if let Some(snapshots) = state.snapshots.clone() {
        let stop = stop.clone();
        tasks.spawn(async move { snapshots.run(stop).await });
    }
    let tend = LogMaintenance {
        log: log.clone(),
        clock: state.clock.clone(),
        hub: state.hub.clone(),
        proofs: state.proofs.clone(),
        archived: alive.archived.clone(),
        pruned_at: None,
        kept_ms: state.settings.log_kept_ms(),
        rules: state.settings.rules,
        interval_ms: state.settings.interval_ms,
    };
    tasks.spawn(run_every(tend, stop.clone()));
    for extra in std::mem::take(&mut alive.extra) {
        tasks.spawn(extra(stop.clone()));
    }
    if let Some(archive) = alive.archive.take() {
        tasks.spawn(run_every(archive, stop.clone()));
    }
    if let Some(commit) = alive.commit.take() {
        tasks.spawn(run_every(commit, stop.clone()));
    }
    tasks.spawn(run_every(
        LiveRefresh::new(state.live.clone(), state.metrics.clone()),
        stop.clone(),
    ));
    if let Some(cold) = cold {
        tasks.spawn(run_every(Sweep::new(cold.clone(), state.hub.clone()), stop.clone()));
    }
    if state.settings.publish_counts {
        tasks.spawn(run_every(PublishCounts::new(log.clone(), state.hub.clone()), stop.clone()));
    }
    follower.run(stop).await;
    while tasks.join_next().await.is_some() {}
}
