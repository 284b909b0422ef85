//! Nodes over one cold tier, driven second by second, and counts that all of them see alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::cold::Cold;
use housecount_backend::tasks::PeriodicTask;
use housecount_core::fold::Count;
use housecount_core::time::UnixMs;
use housecount_events::chain::EventChain;
use housecount_events::evaluator::Evaluator;
use housecount_events::event::{AudienceChange, AudienceEvent};
use housecount_events::sample::SampleBuffer;
use housecount_events::settings::EventRules;
use housecount_events::state::AudienceState;
use housecount_events::writer::EventWriter;
use housecount_metrics::Metrics;
use housecount_test_support::cold::FaultyCold;
use parking_lot::Mutex;

pub const START: UnixMs = UnixMs(1_790_000_000_000);

/// Rules whose limits lie between the times at which two nodes sample.
pub fn rules() -> EventRules {
    EventRules {
        thresholds: vec![10, 20],
        hysteresis_percent: 10,
        drop_percent: 50,
        drop_within_ms: 5_500,
        drop_viewers_min: 4,
    }
}

/// A node that writes events when it has the lease.
pub struct EventNode {
    pub writer: EventWriter,
    buffer: Arc<Mutex<SampleBuffer>>,
    clock: Arc<SharedClock>,
    /// Time of its samples within each second.
    offset_ms: u64,
}

impl EventNode {
    pub fn new(cold: Arc<dyn Cold>, name: String, offset_ms: u64) -> EventNode {
        let (buffer, clock) =
            (Arc::<Mutex<SampleBuffer>>::default(), Arc::<SharedClock>::default());
        clock.observe(mono_ms(), START);
        let metrics = Arc::<Metrics>::default();
        let writer = EventWriter::new(cold, clock.clone(), metrics, name, rules(), buffer.clone());
        EventNode { writer, buffer, clock, offset_ms }
    }

    pub fn sample(&self, second: u64, counts: &BTreeMap<&'static str, u64>) {
        let at = START.plus(second * 1_000 + self.offset_ms);
        self.clock.advance_to(at);
        push(&mut self.buffer.lock(), at, counts);
    }

    pub fn sample_loss(&self, second: u64) {
        let now = START.plus(second * 1_000 + self.offset_ms);
        self.clock.advance_to(now);
        self.buffer.lock().push_loss(now, false);
    }

    /// Runs the task once. Its failures are repeated by the next tick.
    pub async fn tick(&mut self) {
        let _ = self.writer.tick().await;
    }
}

fn push(buffer: &mut SampleBuffer, at: UnixMs, counts: &BTreeMap<&'static str, u64>) {
    let count = |viewers: u64| Count { viewers, sessions: viewers };
    let present = counts.iter().filter(|(_, viewers)| **viewers > 0);
    let all: Vec<(Arc<str>, Count)> =
        present.map(|(stage, viewers)| ((*stage).into(), count(*viewers))).collect();
    buffer.push(at, all, count(counts.values().sum()), None);
}

/// Events of all seconds, found by one node that sees them all.
pub fn expected(seconds: &[BTreeMap<&'static str, u64>]) -> Vec<String> {
    let mut buffer = SampleBuffer::default();
    for (second, counts) in (0..).zip(seconds) {
        push(&mut buffer, START.plus(second * 1_000), counts);
    }
    let history = buffer.history();
    let mut evaluator = Evaluator::new(rules(), history.base, history.base_at);
    let mut state = AudienceState::default();
    let samples = history.samples.iter();
    let events = samples.flat_map(|sample| evaluator.evaluate(&mut state, sample));
    events.map(|event| line(&event)).collect()
}

/// An event with its second.
pub fn line(event: &AudienceEvent) -> String {
    let second = event.at.since(START) / 1_000;
    let change = match &event.change {
        AudienceChange::Drop { stage, peak, peak_at } => {
            format!("drop of {stage} from {peak} at {}", peak_at.since(START) / 1_000)
        }
        other => format!("{other:?}"),
    };
    format!("{} {second} {change} {:?}", event.seq, event.count.map(|count| count.viewers))
}

/// All stored events.
pub async fn stored(cold: &Arc<FaultyCold>) -> Vec<AudienceEvent> {
    cold.away.store(false, Ordering::SeqCst);
    cold.fails_in.store(-1, Ordering::SeqCst);
    let chain = EventChain::new(cold.clone());
    let mut events: Vec<AudienceEvent> = Vec::new();
    loop {
        let after = events.last().map_or(0, |last| last.seq);
        let page = chain.read(after, 7, UnixMs::ZERO, |_| true).await.unwrap();
        events.extend(page.events);
        if page.reached == page.last {
            return events;
        }
    }
}
