//! The task that delivers events to one webhook, while this node is the one that writes events.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::{SharedClock, mono_ms, wall_clock};
use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_backend::rng;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::time::UnixMs;
use housecount_metrics::{DeliveryLabel, Metrics, WebhookLabel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::progress::WebhookProgress;
use super::queue::{DeliveryQueue, FailureEffect, LaneStage};
use super::sender::{SendOutcome, WebhookMessage, WebhookSender};
use super::target::Webhook;
use crate::chain::EventChain;
use crate::role::WriterRole;

/// Least time between two writes of the progress. After a crash, events of that time are delivered
/// again.
const STORE_EVERY_MS: u64 = 10_000;
/// Wait after a failed call of the cold tier.
const RETRY: Duration = Duration::from_secs(5);
/// Longest wait between two looks at what there is to do.
const LOOK: Duration = Duration::from_secs(1);
/// Time that a stopping node leaves to deliveries under way.
const STOP_WAIT: Duration = Duration::from_millis(500);

/// Task that delivers events to one webhook.
#[derive(Debug)]
pub struct WebhookTask {
    /// The webhook.
    pub webhook: Arc<Webhook>,
    /// How it is called.
    pub sender: Arc<dyn WebhookSender>,
    /// The cold tier.
    pub cold: Arc<dyn Cold>,
    /// The log's clock.
    pub clock: Arc<SharedClock>,
    /// Metrics of the node.
    pub metrics: Arc<Metrics>,
    /// Whether this node writes events, and how far.
    pub role: watch::Receiver<WriterRole>,
}

/// Deliveries of a node from the time at which it begins to write events.
struct Session {
    queue: DeliveryQueue,
    progress: WebhookProgress,
    running: JoinSet<(LaneStage, SendOutcome)>,
    /// Whether the stored progress is older than this one, and when it was stored.
    is_dirty: bool,
    stored_ms: u64,
}

/// Reason why a session goes on.
enum Wakeup {
    Delivery(LaneStage, SendOutcome),
    Other,
    Stop,
}

impl WebhookTask {
    /// Delivers until `stop`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut is_failing = false;
        loop {
            let session = async {
                self.until_writer().await;
                self.load().await
            };
            let loaded = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                loaded = session => loaded,
            };
            let outcome = match loaded {
                Ok(mut session) => {
                    let outcome = self.deliver(&mut session, &mut stop).await;
                    self.show(None);
                    outcome
                }
                Err(error) => Err(error),
            };
            let webhook = &*self.webhook.name;
            match outcome {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(webhook, %error, "webhook's progress unavailable; will retry");
                }
                Err(_) => {}
            }
            let wait = if is_failing { RETRY } else { Duration::ZERO };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits until this node writes events, and its lease has not ended.
    async fn until_writer(&mut self) {
        loop {
            let role = self.role.wait_for(WriterRole::is_writer).await.map(|role| *role).ok();
            let Some(role) = role else {
                // The writer is gone, so the node stops.
                return pending().await;
            };
            if self.now() < role.until {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Loads the progress. A new webhook gets the events from now on.
    async fn load(&self) -> StoreResult<Session> {
        let cold = &*self.cold;
        let progress = match WebhookProgress::load(cold, &self.webhook.name).await? {
            Some(progress) => progress,
            None => {
                let read_to = self.role.borrow().last;
                let progress = WebhookProgress { read_to, ..WebhookProgress::default() };
                progress.store(cold, &self.webhook.name).await?;
                progress
            }
        };
        Ok(Session {
            queue: DeliveryQueue::resume(progress.read_to, progress.waiting.clone()),
            progress,
            running: JoinSet::new(),
            is_dirty: false,
            stored_ms: mono_ms(),
        })
    }

    /// Delivers until this node no longer writes events, or stops.
    async fn deliver(
        &mut self,
        session: &mut Session,
        stop: &mut watch::Receiver<bool>,
    ) -> StoreResult<()> {
        loop {
            let role = *self.role.borrow_and_update();
            let is_writer = role.is_writer() && self.now() < role.until;
            if is_writer {
                self.read_on(session, role.last).await?;
                self.begin(session);
            } else if session.running.is_empty() {
                return self.store(session).await;
            }
            self.show(Some(session));
            let now_ms = mono_ms();
            let store_in =
                session.is_dirty.then(|| STORE_EVERY_MS.saturating_sub(now_ms - session.stored_ms));
            if store_in == Some(0) {
                self.store(session).await?;
                continue;
            }
            let due_in = session.queue.next_due_ms().filter(|_| is_writer);
            let due_in = due_in.map(|due_ms| due_ms.saturating_sub(now_ms));
            // A lease that is not renewed ends by itself.
            let ends_in = is_writer.then(|| role.until.since(self.now()));
            let waits = [store_in, due_in, ends_in].into_iter().flatten();
            let wait_ms = waits.fold(LOOK.as_millis() as u64, u64::min);
            let wakeup = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Wakeup::Stop,
                Some(ended) = session.running.join_next() => match ended {
                    Ok((stage, outcome)) => Wakeup::Delivery(stage, outcome),
                    Err(_) => Wakeup::Other,
                },
                _ = self.role.changed() => Wakeup::Other,
                () = tokio::time::sleep(Duration::from_millis(wait_ms.max(1))) => Wakeup::Other,
            };
            match wakeup {
                Wakeup::Delivery(stage, outcome) => self.complete(session, &stage, outcome),
                Wakeup::Other => {}
                Wakeup::Stop => {
                    self.finish(session).await;
                    return self.store(session).await;
                }
            }
        }
    }

    fn now(&self) -> UnixMs {
        self.clock.now().unwrap_or_default()
    }

    /// Adds stored events to the queue, as far as it has room.
    async fn read_on(&self, session: &mut Session, last: u64) -> StoreResult<()> {
        let chain = EventChain::new(self.cold.clone());
        let queue = &mut session.queue;
        while queue.read_to() < last && queue.has_room() {
            let from = queue.read_to();
            let page = chain.read(from, PAGE_ROWS_MAX, UnixMs::ZERO, |_| true).await?;
            for event in page.events {
                if !queue.has_room() {
                    break;
                }
                let is_wanted = self.webhook.wants(&event);
                queue.add(event, is_wanted);
            }
            if queue.read_to() == from {
                break;
            }
            session.is_dirty = true;
        }
        Ok(())
    }

    fn begin(&self, session: &mut Session) {
        while let Some(event) = session.queue.begin(mono_ms()) {
            let (webhook, sender) = (self.webhook.clone(), self.sender.clone());
            session.running.spawn(async move {
                let message = WebhookMessage::new(&webhook, &event, wall_clock().0 / 1_000);
                (event.stage().cloned(), sender.send(&message).await)
            });
        }
    }

    fn complete(&self, session: &mut Session, stage: &LaneStage, outcome: SendOutcome) {
        let (webhook, now) = (&*self.webhook.name, self.now());
        session.is_dirty = true;
        let counted = match outcome {
            SendOutcome::Accepted => {
                session.queue.accept(stage);
                if let Some(failed_ms) = session.progress.accept(now) {
                    tracing::info!(webhook, failed_ms, "webhook accepts events again");
                }
                "accepted"
            }
            SendOutcome::Failed { why, retry_after_ms } => {
                if session.progress.fail(now, &why) {
                    let url = self.webhook.shown_url();
                    tracing::warn!(webhook, url, error = why, "webhook failed; will retry");
                }
                let draw = rng::random_range(0.0..1.0);
                match session.queue.fail(stage, mono_ms(), now, draw, retry_after_ms) {
                    FailureEffect::Waits => "failed",
                    FailureEffect::GivenUp => {
                        session.progress.given_up += 1;
                        let given_up = session.progress.given_up;
                        tracing::warn!(webhook, given_up, "event of a day ago given up");
                        "given_up"
                    }
                }
            }
        };
        let label = DeliveryLabel { webhook: self.webhook.name.clone(), outcome: counted };
        self.metrics.webhook_deliveries.get_or_create(&label).inc();
    }

    /// Waits a moment for deliveries under way, and abandons the others. They are repeated.
    async fn finish(&self, session: &mut Session) {
        let ended = async {
            while let Some(ended) = session.running.join_next().await {
                if let Ok((stage, outcome)) = ended {
                    self.complete(session, &stage, outcome);
                }
            }
        };
        if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
            session.running.abort_all();
        }
    }

    /// Stores the progress, unless it is stored already.
    async fn store(&self, session: &mut Session) -> StoreResult<()> {
        if !session.is_dirty {
            return Ok(());
        }
        let progress = &mut session.progress;
        (progress.waiting, progress.read_to) = session.queue.waiting();
        progress.oldest_at = session.queue.oldest_at().unwrap_or_default();
        // If another node has come further, it delivers, and its progress stays.
        progress.store(&*self.cold, &self.webhook.name).await?;
        (session.is_dirty, session.stored_ms) = (false, mono_ms());
        Ok(())
    }

    /// Updates the metrics. A node that does not deliver shows zeros.
    fn show(&self, session: Option<&Session>) {
        let label = WebhookLabel { webhook: self.webhook.name.clone() };
        let (pending, oldest_at, is_failing) = session.map_or((0, None, false), |session| {
            let is_failing = session.progress.failing_since != UnixMs::ZERO;
            (session.queue.pending(), session.queue.oldest_at(), is_failing)
        });
        let count = i64::try_from(pending).unwrap_or(i64::MAX);
        self.metrics.webhook_pending.get_or_create(&label).set(count);
        let oldest_s = oldest_at.unwrap_or_default().0 as f64 / 1_000.0;
        self.metrics.webhook_oldest.get_or_create(&label).set(oldest_s);
        self.metrics.webhook_failing.get_or_create(&label).set(i64::from(is_failing));
    }
}
