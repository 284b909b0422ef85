//! The task that writes events, on the one node that holds the lease.
//!
//! Each second it evaluates the samples since the last one, and stores their events. Nothing else
//! is evaluated until they are stored. So an outage of the cold tier needs no queue of its own:
//! samples wait in the buffer. A node without the lease looks at it now and then, and forgets the
//! samples that the holder has evaluated.
//!
//! A node whose own samples have a gap leaves the lease to others for a while, since theirs may be
//! without one. Only if no other node takes it, the gap becomes a span without counts. So do the
//! gaps that followed meanwhile: a time of many gaps delays events by one such while, not by many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::clock::SharedClock;
use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_core::limits::{EVENT_STATE_EVENTS_MAX, EVENT_STATE_MS_MAX};
use housecount_core::mutants::{Mutant, is_on};
use housecount_core::time::UnixMs;
use housecount_metrics::{KindLabel, Metrics};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::batch::EventBatch;
use crate::chain::{AppendOutcome, EventChain, LoadedState};
use crate::evaluator::{Evaluator, evaluate_loss, is_loss};
use crate::event::AudienceEvent;
use crate::lease::{self, LEASE_MS, LeaseProgress, RENEW_MS};
use crate::role::WriterRole;
use crate::sample::SampleBuffer;
use crate::settings::EventRules;
use crate::state::AudienceState;

/// Interval of a tick.
const PERIOD: Duration = Duration::from_secs(1);
/// Interval at which a node without the lease looks at it.
const LOOK_MS: u64 = 20_000;
/// Wait after a failed look.
const RETRY_MS: u64 = 2_000;
/// Time for which a free lease is left to nodes whose samples have no gap. They look at it within
/// that time, and have another try.
const LEFT_MS: u64 = 2 * LOOK_MS + 5_000;

/// Task that writes events.
#[derive(Debug)]
pub struct EventWriter {
    cold: Arc<dyn Cold>,
    chain: EventChain,
    clock: Arc<SharedClock>,
    metrics: Arc<Metrics>,
    node: String,
    rules: EventRules,
    buffer: Arc<Mutex<SampleBuffer>>,
    role: watch::Sender<WriterRole>,
    writing: Option<Writing>,
    /// Time at which a node without the lease looks at it.
    look_at: UnixMs,
    /// A free lease that this node leaves to others.
    seen_free: Option<FreeLease>,
}

/// A lease that no node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FreeLease {
    /// Its end.
    until: UnixMs,
    /// When this node has first seen that it is free.
    seen_at: UnixMs,
}

/// State of the node that has the lease.
#[derive(Debug)]
struct Writing {
    until: UnixMs,
    renew_at: UnixMs,
    /// Whether no other node has taken the lease although this node's samples have a gap. It holds
    /// for all gaps up to the time at which this node took the lease.
    may_lose_counts: bool,
    acquired_at: UnixMs,
    evaluator: Evaluator,
    /// State after all events that were found.
    state: AudienceState,
    /// Events that were found and are not stored yet.
    pending: VecDeque<EventBatch>,
    stored: LeaseProgress,
    /// Number of the next event, and time, of the stored state.
    state_next: u64,
    state_at: UnixMs,
}

impl EventWriter {
    /// Creates the task. `node` is for operators who look at the lease.
    #[must_use]
    pub fn new(
        cold: Arc<dyn Cold>,
        clock: Arc<SharedClock>,
        metrics: Arc<Metrics>,
        node: String,
        rules: EventRules,
        buffer: Arc<Mutex<SampleBuffer>>,
    ) -> EventWriter {
        EventWriter {
            chain: EventChain::new(cold.clone()),
            cold,
            clock,
            metrics,
            node,
            rules,
            buffer,
            role: watch::Sender::default(),
            writing: None,
            look_at: UnixMs::ZERO,
            seen_free: None,
        }
    }

    /// Subscribes to the role of this node.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<WriterRole> {
        self.role.subscribe()
    }

    /// Takes the lease if it is free, and continues where the stored events end.
    async fn acquire(&mut self, now: UnixMs) -> StoreResult<()> {
        self.look_at = now.plus(RETRY_MS);
        let seen_free = self.seen_free.take();
        let lease = lease::read(&*self.cold).await?;
        let progress = lease.progress;
        if lease.until > now && lease.holder != self.node {
            self.look_at = now.plus(LOOK_MS).min(lease.until.plus(1));
            self.forget_samples(progress.to);
            return Ok(());
        }
        let covers = progress.to == UnixMs::ZERO || self.covers(progress.to, now);
        // It counts from when this node has first seen that the lease is free. It begins again
        // after an outage of the cold tier, in which other nodes could not take the lease.
        let known = seen_free.filter(|free| free.until == lease.until);
        let free = known.unwrap_or(FreeLease { until: lease.until, seen_at: now });
        if !covers && now < free.seen_at.plus(LEFT_MS) {
            self.seen_free = Some(free);
            return Ok(());
        }
        let until = now.plus(LEASE_MS);
        if !lease::replace(&*self.cold, &self.node, lease.until, until, progress).await? {
            return Ok(());
        }
        let LoadedState { mut state, stored_next, stored_to } = self.chain.load().await?;
        state.to = state.to.max(progress.to);
        if is_on(Mutant::SkipSamples) {
            state.to = now;
        }
        state.next = state.next.max(progress.next);
        let stored = LeaseProgress { to: state.to, next: state.next };
        let evaluator = self.evaluator(state.to);
        self.writing = Some(Writing {
            until,
            // The first time is stored at once. Until then, another node would begin with its own.
            renew_at: if stored.to == UnixMs::ZERO { now } else { now.plus(RENEW_MS) },
            may_lose_counts: !covers,
            acquired_at: now,
            evaluator,
            state,
            pending: VecDeque::new(),
            stored,
            state_next: stored_next,
            state_at: if stored_to == UnixMs::ZERO { now } else { stored_to },
        });
        tracing::info!(next_event = stored.next, "this node writes events");
        self.publish_role();
        Ok(())
    }

    /// Creates an evaluator that has seen this node's samples up to `to`.
    fn evaluator(&self, to: UnixMs) -> Evaluator {
        let history = self.buffer.lock().history();
        let mut evaluator = Evaluator::new(self.rules.clone(), history.base, history.base_at);
        let known = history.samples.iter().take_while(|sample| sample.at <= to);
        known.for_each(|sample| evaluator.observe(sample));
        evaluator
    }

    /// Whether this node's samples show all that followed `to`.
    fn covers(&self, to: UnixMs, now: UnixMs) -> bool {
        let rules = &self.rules;
        let before_ms = if rules.drop_percent > 0 { rules.drop_within_ms } else { 0 };
        self.buffer.lock().covers(to, before_ms, now)
    }

    fn publish_role(&self) {
        let role = self.writing.as_ref().map_or_else(WriterRole::default, |writing| WriterRole {
            until: writing.until,
            last: writing.stored.next.saturating_sub(1),
        });
        self.metrics.event_writer.set(i64::from(role.is_writer()));
        self.role.send_if_modified(|known| std::mem::replace(known, role) != role);
    }

    /// Ends the role. This node looks at the lease again soon.
    fn step_down(&mut self, now: UnixMs) {
        tracing::info!("this node no longer writes events");
        self.writing = None;
        self.look_at = now.plus(PERIOD.as_millis() as u64);
        self.publish_role();
    }

    fn forget_samples(&self, evaluated_to: UnixMs) {
        let needed_from = evaluated_to.minus(self.rules.drop_within_ms);
        self.buffer.lock().forget(needed_from.minus(1));
    }

    /// Evaluates samples until one has events.
    fn evaluate_some(&mut self) -> Evaluated {
        let Some(writing) = &mut self.writing else { return Evaluated::Nothing };
        let samples = self.buffer.lock().after(writing.state.to);
        let samples = match samples {
            Some(samples) => samples,
            None => {
                // Samples were dropped before they could be evaluated.
                self.metrics.event_samples_lost.inc();
                let to = writing.state.to;
                let evaluator = self.evaluator(to);
                let Some(writing) = &mut self.writing else { return Evaluated::Nothing };
                writing.evaluator = evaluator;
                self.buffer.lock().history().samples
            }
        };
        let Some(writing) = &mut self.writing else { return Evaluated::Nothing };
        for sample in &samples {
            if sample.at <= writing.state.to {
                continue;
            }
            if is_loss(&writing.state, sample.at) && !writing.may_lose_counts {
                return Evaluated::Gap;
            }
            let events = writing.evaluator.evaluate(&mut writing.state, sample);
            writing.may_lose_counts &= sample.at < writing.acquired_at;
            if !events.is_empty() {
                writing.pending = EventBatch::split(&events, writing.state.to).into();
                return Evaluated::Events;
            }
        }
        let loss = self.buffer.lock().loss();
        let Some(loss) = loss.filter(|loss| is_loss(&writing.state, loss.at)) else {
            return Evaluated::Nothing;
        };
        if !writing.may_lose_counts {
            return Evaluated::Gap;
        }
        let events = evaluate_loss(&mut writing.state, loss);
        writing.pending = EventBatch::split(&events, writing.state.to).into();
        Evaluated::Events
    }

    /// Stores the events that were found. Returns false if another node has written instead.
    async fn store_pending(&mut self) -> StoreResult<bool> {
        while let Some(writing) = &mut self.writing
            && let Some(batch) = writing.pending.front()
        {
            match self.chain.append(batch).await {
                Ok(AppendOutcome::Stored) => {
                    writing.stored = LeaseProgress { to: batch.to, next: batch.next() };
                    batch.events.iter().for_each(|event| count_event(&self.metrics, event));
                    writing.pending.pop_front();
                    self.publish_role();
                }
                Ok(AppendOutcome::TakenByOther) => return Ok(false),
                Err(error) => {
                    self.metrics.event_write_failures.inc();
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Evaluates and stores all that is there. Returns false if another node writes, or should.
    async fn catch_up(&mut self, now: UnixMs) -> StoreResult<bool> {
        loop {
            if !self.store_pending().await? {
                return Ok(false);
            }
            match self.evaluate_some() {
                Evaluated::Events => {}
                Evaluated::Nothing => break,
                Evaluated::Gap => {
                    self.note_evaluated();
                    tracing::info!("this node's counts have a gap; another may write events");
                    self.renew(now, now).await?;
                    return Ok(false);
                }
            }
        }
        self.note_evaluated();
        Ok(true)
    }

    /// Records that the events of all samples so far are stored.
    fn note_evaluated(&mut self) {
        if let Some(writing) = &mut self.writing {
            writing.stored.to = writing.state.to;
        }
    }

    /// Stores the state if there were many events since, or any and a day has passed.
    async fn store_state(&mut self, is_last: bool) -> StoreResult<()> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let state = &writing.state;
        let events = state.next.saturating_sub(writing.state_next);
        let is_old = state.to.since(writing.state_at) >= EVENT_STATE_MS_MAX;
        let is_due = events >= EVENT_STATE_EVENTS_MAX || events > 0 && (is_old || is_last);
        if !is_due || !writing.pending.is_empty() {
            return Ok(());
        }
        self.chain.store_state(state).await?;
        (writing.state_next, writing.state_at) = (state.next, state.to);
        Ok(())
    }

    /// Renews the lease until `until`. Returns false if another node has it.
    async fn renew(&mut self, now: UnixMs, until: UnixMs) -> StoreResult<bool> {
        let Some(writing) = &mut self.writing else { return Ok(true) };
        let progress = writing.stored;
        let is_ours =
            lease::replace(&*self.cold, &self.node, writing.until, until, progress).await?;
        if is_ours {
            (writing.until, writing.renew_at) = (until, now.plus(RENEW_MS));
            self.publish_role();
        }
        Ok(is_ours)
    }
}

/// Outcome of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evaluated {
    /// A sample had events, which are to be stored.
    Events,
    /// No sample has events.
    Nothing,
    /// The next sample would end the span of complete counts, and another node may have others.
    Gap,
}

fn count_event(metrics: &Metrics, event: &AudienceEvent) {
    metrics.stage_events.get_or_create(&KindLabel { kind: event.kind().name() }).inc();
}

#[async_trait]
impl PeriodicTask for EventWriter {
    const NAME: &'static str = "events";

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn tick(&mut self) -> StoreResult<Progress> {
        let Some(now) = self.clock.now() else { return Ok(Progress::Done) };
        if self.writing.is_none() {
            if now < self.look_at {
                return Ok(Progress::Done);
            }
            self.acquire(now).await?;
        }
        let mut is_writer = self.catch_up(now).await?;
        if let Some(writing) = self.writing.as_ref().filter(|_| is_writer) {
            self.forget_samples(writing.stored.to);
            // Without complete counts, the lease goes to the first node that has them.
            if !writing.state.is_complete {
                is_writer = now < writing.until;
            } else if now >= writing.renew_at {
                is_writer = self.renew(now, now.plus(LEASE_MS)).await?;
            }
        }
        if !is_writer {
            self.step_down(now);
            return Ok(Progress::Done);
        }
        self.store_state(false).await?;
        Ok(Progress::Done)
    }

    /// Stores what is left, and releases the lease, so that the next node need not wait.
    async fn on_shutdown(&mut self) -> StoreResult<()> {
        let Some(now) = self.clock.now() else { return Ok(()) };
        if self.writing.is_some() && self.catch_up(now).await? {
            self.store_state(true).await?;
            self.renew(now, now).await?;
        }
        Ok(())
    }
}
