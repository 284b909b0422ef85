//! Events of a node: all tasks together, and what the API reads.

use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_backend::rng;
use housecount_backend::tasks::run_every;
use housecount_engine::internals::EngineRunner;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::chain::EventChain;
use crate::sample::SampleBuffer;
use crate::sampler::{BudgetProbe, CountSampler};
use crate::settings::EventSettings;
use crate::webhooks::progress::WebhookProgress;
use crate::webhooks::sender::WebhookSender;
use crate::webhooks::target::Webhook;
use crate::webhooks::task::WebhookTask;
use crate::writer::EventWriter;

/// Stored events and webhooks, for callers of the API.
#[derive(Debug)]
pub struct EventService {
    /// Webhooks of this node's settings.
    pub webhooks: Vec<Arc<Webhook>>,
    /// The stored events, metered for reads of API callers.
    pub chain: EventChain,
    reads: Arc<dyn Cold>,
}

impl EventService {
    /// Adds the tasks of events to an engine. `senders` has one for each webhook. Returns `None`
    /// for an engine without a cold tier.
    #[must_use]
    pub fn start(
        settings: &EventSettings,
        senders: Vec<Arc<dyn WebhookSender>>,
        budget: BudgetProbe,
        engine: &mut EngineRunner,
    ) -> Option<Arc<EventService>> {
        let state = engine.state.clone();
        let (cold, reads) = state.cold.clone().zip(state.reads.clone())?;
        let buffer: Arc<Mutex<SampleBuffer>> = Arc::default();
        let node = format!("{:08x}", rng::random::<u32>());
        let (clock, metrics) = (state.clock.clone(), state.metrics.clone());
        let (hub, buffer_of_sampler) = (state.hub.clone(), buffer.clone());
        let sampler = CountSampler { hub, clock: clock.clone(), budget, buffer: buffer_of_sampler };
        let rules = settings.rules.clone();
        let writer =
            EventWriter::new(cold.clone(), clock.clone(), metrics.clone(), node, rules, buffer);
        let tasks = settings.webhooks.iter().zip(senders).map(|(webhook, sender)| WebhookTask {
            webhook: webhook.clone(),
            sender,
            cold: cold.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            role: writer.role(),
        });
        let tasks: Vec<WebhookTask> = tasks.collect();
        engine.add_task(Box::new(|stop| Box::pin(run_every(sampler, stop))));
        engine.add_task(Box::new(|stop| Box::pin(run(writer, tasks, stop))));
        let chain = EventChain::new(reads.clone());
        Some(Arc::new(EventService { webhooks: settings.webhooks.clone(), chain, reads }))
    }

    /// Reads the progress of a webhook; `None` if it has none yet.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a damaged item.
    pub async fn progress(&self, webhook: &Webhook) -> StoreResult<Option<WebhookProgress>> {
        WebhookProgress::load(&*self.reads, &webhook.name).await
    }
}

/// Runs the writer and the deliveries until `stop`. The writer keeps its lease until all deliveries
/// have stored their progress.
async fn run(writer: EventWriter, webhooks: Vec<WebhookTask>, stop: watch::Receiver<bool>) {
    let mut deliveries = JoinSet::new();
    for webhook in webhooks {
        deliveries.spawn(webhook.run(stop.clone()));
    }
    let (stop_writing, stopped) = watch::channel(false);
    let end = async move {
        let mut stop = stop;
        // An error means that the sender is gone, which is a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
        while deliveries.join_next().await.is_some() {}
        let _ = stop_writing.send(true);
    };
    tokio::join!(run_every(writer, stopped), end);
}
