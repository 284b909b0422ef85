//! Opens the stores and runs a node: its engine, its server and its cost.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::cold::Cold;
use housecount_backend::cold::WatchedCold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::Log;
use housecount_cost::CostTracker;
use housecount_engine::internals::EngineRunner;
use housecount_events::event::BudgetExcess;
use housecount_events::sampler::BudgetProbe;
use housecount_events::service::EventService;
use housecount_events::settings::EventSettings;
use housecount_events::webhooks::sender::{HttpSender, WebhookSender};
use housecount_server::http::{self, BoundListener};
use housecount_server::node::Node;
use housecount_stores::cold::ColdTarget;
use housecount_stores::folder::make_private;
use housecount_stores::log::LogTarget;

use crate::config::NodeSettings;

/// A node that can run until it is stopped.
#[derive(Debug)]
pub struct App {
    /// State that requests and `--demo` use.
    pub node: Arc<Node>,
    runner: EngineRunner,
}

impl App {
    /// Opens the stores and builds the node; no task runs yet.
    ///
    /// # Errors
    /// Returns the `StoreError` of a store that can't be opened, such as a folder in use. Returns
    /// `Unsupported` for keys that can't be loaded.
    pub async fn build(settings: NodeSettings) -> StoreResult<App> {
        keep_data_private(&settings)?;
        let log = settings.log.open(&settings.redis_prefix).await?;
        let cold: Option<Arc<dyn Cold>> = match &settings.cold {
            Some(target) => Some(Arc::new(WatchedCold::new(target.open().await?))),
            None => None,
        };
        let app = App::with_stores(settings, log, cold)?;
        let loaded = app.node.auth.load();
        loaded.map_err(|e| StoreError::new(ErrorKind::Unsupported, e))?;
        Ok(app)
    }

    /// Builds a node over open stores. Keys are not loaded, so requests that need a key are refused
    /// until `auth` has loaded them.
    ///
    /// # Errors
    /// Returns `Unsupported` if webhooks can't be called, because the system has no certificates.
    pub fn with_stores(
        settings: NodeSettings,
        log: Arc<dyn Log>,
        cold: Option<Arc<dyn Cold>>,
    ) -> StoreResult<App> {
        let mut runner = EngineRunner::new(settings.engine, log, cold);
        let costs = CostTracker::start(&settings.cost, &mut runner);
        let events = match &settings.events {
            Some(events) => start_events(events, &costs, &mut runner)?,
            None => None,
        };
        let node = Arc::new(Node::new(settings.server, runner.state.clone(), costs, events));
        Ok(App { node, runner })
    }

    /// Serves on `bound` until `shutdown`, then stops in order, as [`EngineRunner::run`] does.
    ///
    /// # Errors
    /// Returns the first permanent error of the start-up.
    pub async fn run(
        self,
        bound: BoundListener,
        shutdown: impl Future<Output = ()>,
    ) -> StoreResult<()> {
        let App { node, runner } = self;
        let drain = Duration::from_millis(node.settings.drain_ms);
        let serve = async move |workers, stop: tokio::sync::watch::Receiver<bool>| {
            let reload = tokio::spawn({
                let (node, stop) = (node.clone(), stop.clone());
                async move {
                    let looks = node.public_counts.refresh_loop(&node.engine.stages, stop.clone());
                    tokio::join!(node.auth.reload_loop(stop), looks);
                }
            });
            let workers = http::serve(bound, node, workers, stop).await;
            let _ = reload.await;
            workers
        };
        runner.run(drain, serve, shutdown).await
    }
}

/// Adds the tasks of events to an engine.
fn start_events(
    settings: &EventSettings,
    costs: &Arc<CostTracker>,
    runner: &mut EngineRunner,
) -> StoreResult<Option<Arc<EventService>>> {
    let senders = settings.webhooks.iter().map(|webhook| {
        let sender = HttpSender::new(webhook);
        let sender = sender.map_err(|e| StoreError::new(ErrorKind::Unsupported, e))?;
        Ok(Arc::new(sender) as Arc<dyn WebhookSender>)
    });
    let senders = senders.collect::<StoreResult<_>>()?;
    Ok(EventService::start(settings, senders, budget_probe(costs.clone()), runner))
}

/// Returns a probe of the cost guard.
fn budget_probe(costs: Arc<CostTracker>) -> BudgetProbe {
    Arc::new(move || {
        let limit = costs.limit?.month;
        let month = costs.exceeded_month()?;
        Some(BudgetExcess { month_micro_usd: month.0, limit_micro_usd: limit.0 })
    })
}

/// Makes the folder `data` private, if it contains stores.
fn keep_data_private(settings: &NodeSettings) -> StoreResult<()> {
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
