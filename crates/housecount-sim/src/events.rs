//! Events and webhooks of the nodes. No event is missed or stored twice. Each is delivered in the
//! order of its stage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use housecount_backend::cold::Cold;
use housecount_backend::rng;
use housecount_core::keys::Key;
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{EngineRunner, EngineState};
use housecount_events::chain::EventChain;
use housecount_events::event::{AudienceChange, AudienceEvent};
use housecount_events::service::EventService;
use housecount_events::settings::{EventRules, EventSettings};
use housecount_events::state::AudienceState;
use housecount_events::webhooks::progress::WebhookProgress;
use housecount_events::webhooks::sender::{SendOutcome, WebhookMessage, WebhookSender};
use housecount_events::webhooks::target::{Webhook, WebhookSpec};
use parking_lot::Mutex;

use crate::active_faults::advance;
use crate::plan::FaultKind;
use crate::world::World;
use crate::world::log::START_TIME;

/// Time around a change, or around a span without complete counts, in which nodes may differ.
const APART_MS: u64 = 15_000;
/// Time of a run until a node writes events.
const BEGIN_MS: u64 = 60_000;

/// Observed counts and received deliveries of a run.
#[derive(Debug, Default)]
pub struct EventRecord {
    observed: Mutex<Vec<Observation>>,
    /// Number of the first event that the webhook gets, as it has stored it at the beginning.
    first: Mutex<Option<u64>>,
    /// Stage and number of each delivery, in the order in which the receiver has taken them.
    received: Mutex<Vec<(Option<String>, u64)>>,
}

/// Complete counts of a node.
#[derive(Clone, Debug)]
struct Observation {
    at: UnixMs,
    run: usize,
    /// Viewers, by number of the stage.
    viewers: Vec<u64>,
}

fn rules() -> EventRules {
    EventRules {
        thresholds: vec![3, 6, 12],
        hysteresis_percent: 20,
        drop_percent: 50,
        drop_within_ms: 30_000,
        drop_viewers_min: 4,
    }
}

fn webhook() -> Result<Webhook, String> {
    Webhook::new(&WebhookSpec {
        url: "https://receiver.example/".to_string(),
        secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_string()],
        ..WebhookSpec::default()
    })
}

/// Adds events to a node, if the plan has them.
pub fn add_to(world: &Arc<World>, record: &Arc<EventRecord>, runner: &mut EngineRunner) {
    if !world.plan.has_events {
        return;
    }
    match webhook() {
        Ok(webhook) => {
            let settings = EventSettings { rules: rules(), webhooks: vec![Arc::new(webhook)] };
            let receiver = SimReceiver { record: record.clone() };
            let service =
                EventService::start(&settings, vec![Arc::new(receiver)], Arc::new(|| None), runner);
            if service.is_none() {
                world.violated("there is no cold tier for events".to_string());
            }
        }
        Err(error) => world.violated(error),
    }
}

/// A receiver that fails now and then, before or after it has taken an event.
#[derive(Debug)]
struct SimReceiver {
    record: Arc<EventRecord>,
}

#[async_trait]
impl WebhookSender for SimReceiver {
    async fn send(&self, message: &WebhookMessage) -> SendOutcome {
        advance(rng::random_range(1..500)).await;
        let failed = |why: &str| SendOutcome::Failed { why: why.to_string(), retry_after_ms: None };
        let draw = rng::random_range(0..20);
        if draw == 0 {
            return failed("it answers 503");
        }
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap_or_default();
        let stage = body["data"]["stage"].as_str().map(ToString::to_string);
        let Some(seq) = body["data"]["seq"].as_u64() else { return failed("no event") };
        self.record.received.lock().push((stage, seq));
        advance(rng::random_range(1..500)).await;
        if draw == 1 { failed("no answer within 15 s") } else { SendOutcome::Accepted }
    }
}

impl EventRecord {
    /// Records the counts of a node, if they are complete.
    pub fn observe(&self, world: &World, node: &EngineState, run: usize) {
        if !world.plan.has_events {
            return;
        }
        let counts = (0..world.plan.stages).map(|n| node.hub.count(&format!("stage-{n}")));
        let counts: Vec<_> = counts.collect();
        let Some(status) = counts.iter().map(|count| count.status).reduce(|a, b| a.worse(b)) else {
            return;
        };
        if status.complete {
            let viewers = counts.iter().map(|count| count.value.viewers).collect();
            self.observed.lock().push(Observation { at: status.as_of, run, viewers });
        }
    }

    /// Finds the first event that the webhook gets: those from when it was there. Its progress is
    /// stored again only 10 s later, and a run begins without faults. So the progress that is seen
    /// first is the one of its beginning.
    pub fn find_first(&self, world: &World) -> Result<(), String> {
        let mut first = self.first.lock();
        if !world.plan.has_events || first.is_some() {
            return Ok(());
        }
        let key = Key::WebhookProgress { name: webhook()?.name };
        let Some(item) = world.cold.lock().get(&key).cloned() else { return Ok(()) };
        let progress = WebhookProgress::from_item(&item)?;
        if progress.delivered > 0 || !progress.waiting.is_empty() {
            return Err(format!("the webhook's first progress is {progress:?}"));
        }
        *first = Some(progress.read_to + 1);
        Ok(())
    }

    /// Whether the receiver has all stored events from the webhook's first one on.
    pub async fn has_received_all(&self, cold: &Arc<dyn Cold>) -> Result<bool, String> {
        let stored = stored(cold).await?;
        let first = (*self.first.lock()).ok_or("the webhook has stored no progress")?;
        let received: BTreeSet<u64> = self.received.lock().iter().map(|(_, seq)| *seq).collect();
        let mut due = stored.iter().map(|event| event.seq).filter(|seq| *seq >= first);
        Ok(due.all(|seq| received.contains(&seq)))
    }

    /// Checks all stored events after all viewers have left. Returns their number.
    ///
    /// # Errors
    /// Returns the first violation.
    pub async fn in_the_end(&self, world: &World, cold: &Arc<dyn Cold>) -> Result<u64, String> {
        let events = stored(cold).await?;
        let state = follow(&events)?;
        if !state.open.is_empty() || !state.is_complete {
            return Err(format!("after all viewers have left, events leave {state:?}"));
        }
        self.deliveries_in_order(&events)?;
        // Times of nodes on a clock that was set differ.
        let is_set =
            world.plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::LogClock(_)));
        if !is_set {
            self.agree(world, &events)?;
        }
        Ok(events.len() as u64)
    }

    /// Checks that each stage's events arrived in their order, apart from repetitions.
    fn deliveries_in_order(&self, events: &[AudienceEvent]) -> Result<(), String> {
        let mut last: BTreeMap<Option<String>, u64> = BTreeMap::new();
        let mut of_stage: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
        for event in events {
            let stage = event.stage().map(ToString::to_string);
            of_stage.entry(stage).or_default().push(event.seq);
        }
        for (stage, seq) in self.received.lock().iter() {
            let before = last.get(stage).copied();
            if before.is_some_and(|before| *seq <= before) {
                continue;
            }
            let all = of_stage.get(stage).map_or(&[][..], Vec::as_slice);
            let next = all.iter().find(|next| before.is_some_and(|before| **next > before));
            if next.is_some_and(|next| next != seq) {
                return Err(format!("{stage:?}: event {seq} arrived before {next:?}"));
            }
            last.insert(stage.clone(), *seq);
        }
        Ok(())
    }

    /// Checks that the events say what every node counted, where nothing changed around.
    fn agree(&self, world: &World, events: &[AudienceEvent]) -> Result<(), String> {
        let mut observed = self.observed.lock().clone();
        observed.sort_by_key(|seen| seen.at);
        let spans = incomplete_spans(events);
        for number in 0..world.plan.stages {
            let stage = format!("stage-{number}");
            let of_stage = |event: &&AudienceEvent| event.stage().is_some_and(|of| **of == *stage);
            let changes: Vec<&AudienceEvent> = events.iter().filter(of_stage).collect();
            let (mut state, mut applied) = (AudienceState::default(), 0);
            for seen in &observed {
                let near = |at: UnixMs| at.0.abs_diff(seen.at.0) <= APART_MS;
                let viewers = seen.viewers[number];
                while let Some(event) = changes.get(applied).filter(|event| event.at <= seen.at) {
                    state.apply(event);
                    applied += 1;
                }
                let is_unsettled = seen.at.since(START_TIME) < BEGIN_MS
                    || changes.iter().any(|event| near(event.at))
                    || spans.iter().any(|(from, to)| {
                        from.minus(APART_MS) <= seen.at && seen.at <= to.plus(APART_MS)
                    });
                if is_unsettled {
                    continue;
                }
                let from = observed.partition_point(|other| other.at < seen.at.minus(APART_MS));
                let around = observed[from..].iter().take_while(|other| near(other.at));
                let counts: Vec<u64> = around.map(|other| other.viewers[number]).collect();
                let (least, most) = (counts.iter().min(), counts.iter().max());
                let (least, most) = least.zip(most).unwrap_or((&viewers, &viewers));
                let open = state.open.get(&*stage);
                let is_wrong =
                    if *least > 0 { open.is_none() } else { *most == 0 && open.is_some() };
                let above = |threshold| open.is_some_and(|open| open.above.contains(threshold));
                let rules = rules();
                let is_crossed = rules.thresholds.iter().any(|threshold| {
                    *least >= *threshold && !above(threshold)
                        || rules.is_below(*threshold, *most) && above(threshold)
                });
                if is_wrong || is_crossed {
                    return Err(format!(
                        "run {} counted {viewers} on {stage} as of {}, but events say {open:?}",
                        seen.run, seen.at
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Reads all stored events, and checks that their numbers have no gap.
async fn stored(cold: &Arc<dyn Cold>) -> Result<Vec<AudienceEvent>, String> {
    let chain = EventChain::new(cold.clone());
    let mut events: Vec<AudienceEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |last| last.seq);
        let page = chain.read(after, PAGE_ROWS_MAX, UnixMs::ZERO, |_| true).await;
        let page = page.map_err(|e| e.to_string())?;
        for event in page.events {
            let next = events.last().map_or(1, |last| last.seq + 1);
            if event.seq != next {
                return Err(format!("event {} follows event {}", event.seq, next - 1));
            }
            events.push(event);
        }
        if page.reached >= page.last {
            return Ok(events);
        }
    }
}

/// Checks that each event changes the state that the events before it leave.
fn follow(events: &[AudienceEvent]) -> Result<AudienceState, String> {
    let mut state = AudienceState::default();
    for event in events {
        let open = event.stage().and_then(|stage| state.open.get(stage));
        let is_above = |threshold| open.is_some_and(|open| open.above.contains(threshold));
        let is_change = match &event.change {
            AudienceChange::Opened(_) => open.is_none(),
            AudienceChange::Emptied(_) | AudienceChange::Drop { .. } => open.is_some(),
            AudienceChange::Threshold { threshold, is_up, .. } => {
                open.is_some() && is_above(threshold) != *is_up
            }
            AudienceChange::CountIncomplete { .. } => state.is_complete,
            AudienceChange::CountComplete => !state.is_complete,
            AudienceChange::BudgetExceeded(_) => true,
        };
        if !is_change {
            return Err(format!("{event:?} changes nothing"));
        }
        state.apply(event);
    }
    Ok(state)
}

/// Spans without complete counts, as the events say.
fn incomplete_spans(events: &[AudienceEvent]) -> Vec<(UnixMs, UnixMs)> {
    let mut spans = Vec::new();
    let mut from = None;
    for event in events {
        match event.change {
            AudienceChange::CountIncomplete { .. } => from = Some(event.at),
            AudienceChange::CountComplete => spans.extend(from.take().map(|from| (from, event.at))),
            _ => {}
        }
    }
    spans.extend(from.map(|from| (from, UnixMs::MAX)));
    spans
}
