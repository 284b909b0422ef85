//! Builds a node, starts its tasks, and stops them in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admission::AdmissionControl;
use crate::archive::ArchiveProgress;
use crate::archive::task::ArchiveTask;
use crate::auth::Auth;
use crate::bootstrap::bootstrap;
use crate::clock::SharedClock;
use crate::cold::sweep::Sweep;
use crate::cold::{Cold, ColdTarget, WatchedCold};
use crate::config::Settings;
use crate::cost::CostTracker;
use crate::cost::sampler::CostSampler;
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::folder::make_private;
use crate::follower::Follower;
use crate::follower::maintenance::LogMaintenance;
use crate::http::{self, BoundListener};
use crate::hub::Hub;
use crate::hub::publish::PublishCounts;
use crate::ingest::{Appenders, Ingest, OwnAppends};
use crate::ledger::commit::LedgerCommitter;
use crate::ledger::{Proofs, Scans};
use crate::live::Live;
use crate::live::refresh::LiveRefresh;
use crate::log::{Log, LogTarget, LogUsage, WatchedLog};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::node::Readiness;
use crate::rng;
use crate::snapshots::service::SnapshotService;
use crate::stages::StageStore;
use crate::tasks::run_every;
use crate::workers::Workers;
use crate::workers::wake_coalescing::WakeCoalescer;

/// Time limit for the tasks to end once they are asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A node that can run until it is stopped.
#[derive(Debug)]
pub struct App {
    /// State that requests and `--demo` use.
    pub node: Arc<Node>,
    log: Arc<dyn Log>,
    workers: Workers,
    committers: Appenders,
    stop: watch::Sender<bool>,
    stop_committing: watch::Sender<bool>,
    follower: Follower,
    commit: Option<LedgerCommitter>,
    archive: Option<ArchiveTask>,
    archived: Option<Arc<ArchiveProgress>>,
}

impl App {
    /// Opens the stores and builds the node; no task runs yet.
    ///
    /// # Errors
    /// Returns the `StoreError` of a store that can't be opened, such as a folder in use. Returns
    /// `Unsupported` for keys that can't be loaded.
    pub async fn build(settings: Settings) -> StoreResult<App> {
        keep_data_private(&settings)?;
        let log = settings.log.open(&settings.redis_prefix).await?;
        let cold: Option<Arc<dyn Cold>> = match &settings.cold {
            Some(target) => Some(Arc::new(WatchedCold::new(target.open().await?))),
            None => None,
        };
        let app = App::with_stores(settings, log, cold);
        let loaded = app.node.auth.load();
        loaded.map_err(|e| StoreError::new(ErrorKind::Unsupported, e))?;
        Ok(app)
    }

    /// Builds a node over open stores. Keys are not loaded, so requests that need a key are refused
    /// until `auth` has loaded them.
    #[must_use]
    pub fn with_stores(settings: Settings, log: Arc<dyn Log>, cold: Option<Arc<dyn Cold>>) -> App {
        let mut metrics = Metrics::default();
        if let Some(cold) = &cold {
            metrics.register_units("cold_consumed_units", cold.meter().counters());
        }
        if let LogUsage::Units(meter) = log.consumed() {
            metrics.register_units("log_consumed_units", meter.counters());
        }
        let metrics = Arc::new(metrics);
        let clock = Arc::new(SharedClock::default());
        let hub = Arc::new(Hub::new(settings.rules, log.partitions(), cold.is_some()));
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
        let costs = Arc::new(CostTracker::new(
            &settings,
            cold.clone(),
            log.clone(),
            hub.clone(),
            clock.clone(),
        ));
        let name = format!("{:08x}", rng::random::<u32>());
        let snapshots = cold.as_ref().map(|cold| {
            let (hub, clock, metrics) = (hub.clone(), clock.clone(), metrics.clone());
            let stretch = costs.stretch();
            Arc::new(SnapshotService::new(
                hub,
                cold.clone(),
                clock,
                metrics,
                name.clone(),
                settings.snapshots(),
                stretch,
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
        let edge = Arc::new(AdmissionControl::new(
            &settings.edge,
            settings.interval_ms,
            settings.rules.leave_grace_ms,
        ));
        let readiness = Readiness::new(follower.progress(), log.partitions());
        let scans = Scans::new();
        let live = Arc::new(Live::new(hub.clone()));
        let auth = Auth::new(&settings.auth);
        let reads = cold.clone().map(Cold::metered_as_reads);
        let node = Node {
            settings,
            auth,
            clock,
            hub,
            live,
            admission: edge,
            ingest,
            cold,
            reads,
            proofs,
            stages,
            snapshots,
            scans,
            costs,
            readiness,
            metrics,
        };
        App {
            node: Arc::new(node),
            log,
            workers,
            committers,
            stop,
            stop_committing,
            follower,
            commit,
            archive,
            archived,
        }
    }

    /// Serves on `bound` until `shutdown`, then stops in order. New requests are refused, open ones
    /// finish, accepted events are appended, tasks end, and stores close. Without `bound`, requests
    /// come only from this process. A drop of the future is a crash.
    ///
    /// # Errors
    /// Returns the first permanent error of the start-up.
    pub async fn run(
        self,
        bound: Option<BoundListener>,
        shutdown: impl Future<Output = ()>,
    ) -> StoreResult<()> {
        let App { node, log, workers, mut committers, stop, stop_committing, .. } = self;
        let mut alive = BackgroundTasks {
            follower: self.follower,
            commit: self.commit,
            archive: self.archive,
            archived: self.archived,
        };
        let mut tasks = JoinSet::new();
        let (failed, mut failure) = tokio::sync::mpsc::channel::<StoreError>(1);
        tasks.spawn({
            let (node, log, stop) = (node.clone(), log.clone(), stop.subscribe());
            async move { run_background(&node, log, &mut alive, stop, failed).await }
        });
        tasks.spawn({
            let (node, stop) = (node.clone(), stop.subscribe());
            async move { node.auth.reload_loop(stop).await }
        });
        let (stop_serving, serving) = watch::channel(false);
        let server = tokio::spawn({
            let node = node.clone();
            async move {
                match bound {
                    Some(bound) => http::serve(bound, node, workers, serving).await,
                    None => workers,
                }
            }
        });

        let outcome = tokio::select! {
            biased;
            () = shutdown => Ok(()),
            Some(error) = failure.recv() => Err(error),
        };
        tracing::info!("stopping");
        node.readiness.stop();
        if outcome.is_ok() {
            // Load balancers that check /readyz choose another node before the port is closed.
            tokio::time::sleep(Duration::from_millis(node.settings.drain_ms)).await;
        }
        node.live.end();
        let _ = stop_serving.send(true);
        let _ = stop_committing.send(true);
        let workers = server.await;
        node.ingest.close();
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

/// Makes the folder `data` private, if it contains stores.
fn keep_data_private(settings: &Settings) -> StoreResult<()> {
    let is_log_in =
        matches!(&settings.log, LogTarget::File(folder) if folder.starts_with(&settings.data));
    let is_cold_in = match &settings.cold {
        Some(ColdTarget::Embedded(folder)) => folder.starts_with(&settings.data),
        _ => false,
    };
    if !is_log_in && !is_cold_in {
        return Ok(());
    }
    make_private(&settings.data, &["log/log.sqlite", "cold/items.sqlite"]).map_err(|e| {
        let text = format!("opening the folder {}", settings.data.display());
        StoreError::caused(ErrorKind::Unavailable, text, e)
    })
}

/// State of the node's background tasks.
struct BackgroundTasks {
    follower: Follower,
    commit: Option<LedgerCommitter>,
    archive: Option<ArchiveTask>,
    archived: Option<Arc<ArchiveProgress>>,
}

/// Bootstraps the node, then runs all background tasks.
async fn run_background(
    node: &Arc<Node>,
    log: Arc<dyn Log>,
    alive: &mut BackgroundTasks,
    mut stop: watch::Receiver<bool>,
    failed: tokio::sync::mpsc::Sender<StoreError>,
) {
    let cold = node.cold.as_ref();
    let follower = &mut alive.follower;
    let started = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return,
        started = bootstrap(
            follower, &node.hub, cold, node.proofs.as_deref(), &node.settings, &node.readiness,
        ) => started,
    };
    if let Err(error) = started {
        let _ = failed.send(error).await;
        return;
    }
    let mut tasks = JoinSet::new();
    if let Some(snapshots) = node.snapshots.clone() {
        let stop = stop.clone();
        tasks.spawn(async move { snapshots.run(stop).await });
    }
    let tend = LogMaintenance {
        log: log.clone(),
        clock: node.clock.clone(),
        hub: node.hub.clone(),
        proofs: node.proofs.clone(),
        archived: alive.archived.clone(),
        pruned_at: None,
        kept_ms: node.settings.log_kept_ms(),
        rules: node.settings.rules,
        interval_ms: node.settings.interval_ms,
    };
    tasks.spawn(run_every(tend, stop.clone()));
    tasks.spawn(run_every(CostSampler::new(node.costs.clone()), stop.clone()));
    if let Some(archive) = alive.archive.take() {
        tasks.spawn(run_every(archive, stop.clone()));
    }
    if let Some(commit) = alive.commit.take() {
        tasks.spawn(run_every(commit, stop.clone()));
    }
    tasks.spawn(run_every(LiveRefresh::new(node.live.clone(), node.metrics.clone()), stop.clone()));
    if let Some(cold) = cold {
        tasks.spawn(run_every(Sweep::new(cold.clone(), node.hub.clone()), stop.clone()));
    }
    if node.settings.publish_counts {
        tasks.spawn(run_every(PublishCounts::new(log, node.hub.clone()), stop.clone()));
    }
    follower.run(stop).await;
    while tasks.join_next().await.is_some() {}
}
