//! The evaluator against examples, and against an oracle that looks at all samples each time.

use proptest::prelude::*;

use super::*;
use crate::event::{BudgetExcess, EventType};
use crate::sample::SampleBuffer;
use crate::state::OpenStage;

fn rules() -> EventRules {
    EventRules {
        thresholds: vec![10, 20],
        hysteresis_percent: 10,
        drop_percent: 50,
        drop_within_ms: 5_000,
        drop_viewers_min: 4,
    }
}

/// A step of a run: time since the step before, and counts; `None` for incomplete ones.
type Step = (u64, Option<Vec<(&'static str, u64)>>);

const START_MS: u64 = 1_790_000_000_000;

fn buffer_of(steps: &[Step]) -> SampleBuffer {
    let (mut buffer, mut at) = (SampleBuffer::default(), UnixMs(START_MS));
    for (after_ms, counts) in steps {
        at = at.plus(*after_ms);
        match counts {
            Some(counts) => {
                let count = |viewers| Count { viewers, sessions: 2 * viewers };
                let counts: Vec<_> = counts
                    .iter()
                    .map(|(stage, viewers)| ((*stage).into(), count(*viewers)))
                    .collect();
                let total = counts.iter().map(|(_, count): &(Arc<str>, Count)| count.viewers).sum();
                buffer.push(at, counts, count(total), None);
            }
            None => buffer.push_loss(at, false),
        }
    }
    buffer
}

/// Evaluates all samples of a buffer after the state's time, as a node does that takes over.
fn take_over(buffer: &SampleBuffer, state: &mut AudienceState) -> Vec<AudienceEvent> {
    let history = buffer.history();
    let mut evaluator = Evaluator::new(rules(), history.base, history.base_at);
    let mut events = Vec::new();
    for sample in &history.samples {
        if sample.at <= state.to {
            evaluator.observe(sample);
        } else {
            events.extend(evaluator.evaluate(state, sample));
        }
    }
    events.extend(buffer.loss().into_iter().flat_map(|loss| evaluate_loss(state, loss)));
    events
}

/// An event as a line: seconds since the start, type, stage, viewers, and what else it has.
fn line(event: &AudienceEvent) -> String {
    let at = event.at.since(UnixMs(START_MS)) as f64 / 1_000.0;
    let rest = match &event.change {
        AudienceChange::Threshold { threshold, is_up, .. } => {
            format!(" {threshold} {}", if *is_up { "up" } else { "down" })
        }
        AudienceChange::Drop { peak, peak_at, .. } => {
            format!(" from {peak} at {}", peak_at.since(UnixMs(START_MS)) as f64 / 1_000.0)
        }
        _ => String::new(),
    };
    let viewers = event.count.map_or("-".to_string(), |count| count.viewers.to_string());
    let stage = event.stage().map_or("*", |stage| stage);
    format!("{at} {} {stage} {viewers}{rest}", event.kind().name())
}

fn lines(steps: &[Step]) -> Vec<String> {
    take_over(&buffer_of(steps), &mut AudienceState::default()).iter().map(line).collect()
}

fn one(viewers: u64) -> Step {
    (1_000, Some(if viewers == 0 { vec![] } else { vec![("a", viewers)] }))
}

#[test]
fn stages_open_cross_thresholds_and_empty() {
    let steps: Vec<Step> = [0, 3, 9, 10, 9, 25, 19, 18, 17, 9, 8, 0].into_iter().map(one).collect();
    assert_eq!(
        lines(&steps),
        [
            "2 stage.opened a 3",
            "4 stage.threshold a 10 10 up",
            "6 stage.threshold a 25 20 up",
            "9 stage.threshold a 17 20 down",
            "10 stage.drop a 9 from 25 at 6",
            "11 stage.threshold a 8 10 down",
            "12 stage.drop a 0 from 9 at 10",
            "12 stage.emptied a 0",
        ]
    );
}

#[test]
fn a_drop_is_one_event_and_needs_its_time() {
    // Half within five seconds; then again from the new level.
    assert_eq!(
        lines(&[one(8), one(8), one(4), one(4), one(3), one(2), one(2)]),
        ["1 stage.opened a 8", "3 stage.drop a 4 from 8 at 2", "6 stage.drop a 2 from 4 at 4"]
    );
    // A fall in six seconds is too slow, and an audience of three is too small.
    assert_eq!(
        lines(&[one(8), one(7), one(7), one(6), one(6), one(5), one(5), one(4)]),
        ["1 stage.opened a 8"]
    );
    assert_eq!(lines(&[one(3), one(1)]), ["1 stage.opened a 3"]);
    // A stage that opens again has no peaks from before.
    assert_eq!(lines(&[one(8), one(0), one(1)]).last().unwrap(), "3 stage.opened a 1");
}

#[test]
fn a_span_without_complete_counts_is_one_pair() {
    let lost = || (3_000, None);
    assert_eq!(
        lines(&[one(3), lost(), lost(), one(12), lost(), one(12), lost(), lost()]),
        [
            "1 stage.opened a 3",
            "1 count.incomplete * -",
            "8 count.complete * 12",
            "8 stage.threshold a 12 10 up",
            "12 count.incomplete * -",
        ]
    );
    assert_eq!(lines(&[lost(), lost(), one(3)]), ["7 stage.opened a 3"], "there was no count");
}

#[test]
fn event_gap_ms_max_is_the_longest_step() {
    let late = |after_ms| lines(&[one(3), (after_ms, Some(vec![("b", 1)]))]);
    assert_eq!(late(EVENT_GAP_MS_MAX)[1..], ["6 stage.emptied a 0", "6 stage.opened b 1"]);
    assert_eq!(
        late(EVENT_GAP_MS_MAX + 1)[1..],
        [
            "1 count.incomplete * -",
            "6.001 count.complete * 1",
            "6.001 stage.emptied a 0",
            "6.001 stage.opened b 1"
        ]
    );
}

#[test]
fn an_exceeded_budget_is_an_event_once_a_day() {
    let excess = BudgetExcess { month_micro_usd: 2, limit_micro_usd: 1 };
    let (mut state, mut at) = (AudienceState::default(), UnixMs(START_MS));
    let mut evaluator = Evaluator::new(rules(), StageCounts::new(), UnixMs::ZERO);
    let mut hours = Vec::new();
    for hour in 0..49 {
        at = at.plus(3_600_000);
        let budget = (hour > 2).then_some(excess);
        let sample = CountSample { at, changes: Vec::new(), total: Count::default(), budget };
        let events = evaluator.evaluate(&mut state, &sample);
        let kinds = events.iter().map(AudienceEvent::kind);
        hours.extend(kinds.filter(|kind| *kind == EventType::BudgetExceeded).map(|_| hour));
    }
    assert_eq!(hours, [3, 27]);
}

/// The rules word for word, over all complete samples so far.
mod oracle {
    use super::*;

    type Counts = BTreeMap<&'static str, u64>;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct StageRecord {
        is_open: bool,
        since: u64,
        above: BTreeSet<u64>,
    }

    pub(super) fn events(steps: &[Step]) -> Vec<String> {
        let rules = rules();
        let (mut lines, mut at) = (Vec::new(), 0);
        let mut past: Vec<(u64, Counts)> = Vec::new();
        let mut stages: BTreeMap<&'static str, StageRecord> = BTreeMap::new();
        let (mut is_complete, mut last_sample) = (true, 0);
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        for (after_ms, counts) in steps {
            at += after_ms;
            let Some(counts) = counts else {
                if past.is_empty() {
                    continue;
                }
                if is_complete && at - last_sample > EVENT_GAP_MS_MAX {
                    lines.push(format!("{} count.incomplete * -", seconds(last_sample)));
                    is_complete = false;
                }
                continue;
            };
            let counts: Counts = counts.iter().copied().filter(|(_, n)| *n > 0).collect();
            if !past.is_empty() && is_complete && at - last_sample > EVENT_GAP_MS_MAX {
                lines.push(format!("{} count.incomplete * -", seconds(last_sample)));
                is_complete = false;
            }
            if !is_complete {
                let total: u64 = counts.values().sum();
                lines.push(format!("{} count.complete * {total}", seconds(at)));
                is_complete = true;
            }
            for stage in ["a", "b", "c"] {
                let viewers = counts.get(stage).copied().unwrap_or(0);
                let known = stages.entry(stage).or_default();
                let mut add = |kind: &str, rest: String| {
                    lines.push(format!("{} stage.{kind} {stage} {viewers}{rest}", seconds(at)));
                };
                let was_open = known.is_open;
                if viewers > 0 && !known.is_open {
                    add("opened", String::new());
                    (known.is_open, known.since) = (true, at);
                }
                if !known.is_open {
                    continue;
                }
                for threshold in [10, 20] {
                    if viewers >= threshold && known.above.insert(threshold) {
                        add("threshold", format!(" {threshold} up"));
                    }
                }
                let from = known.since.max(at.saturating_sub(rules.drop_within_ms));
                let before = past.iter().filter(|(then, _)| *then >= from && was_open);
                let before =
                    before.map(|(then, counts)| (counts.get(stage).copied().unwrap_or(0), *then));
                if let Some((peak, peak_at)) = before.max()
                    && peak >= rules.drop_viewers_min
                    && viewers * 100 <= peak * (100 - rules.drop_percent)
                {
                    add("drop", format!(" from {peak} at {}", seconds(peak_at)));
                    known.since = at;
                }
                for threshold in [20, 10] {
                    if viewers * 100 < threshold * 90 && known.above.remove(&threshold) {
                        add("threshold", format!(" {threshold} down"));
                    }
                }
                if viewers == 0 {
                    add("emptied", String::new());
                    *known = StageRecord::default();
                }
            }
            past.push((at, counts));
            last_sample = at;
        }
        lines
    }
}

fn step() -> impl Strategy<Value = Step> {
    let viewers = prop_oneof![Just(0u64), 1u64..6, 5u64..30];
    let counts = (viewers.clone(), viewers.clone(), viewers).prop_map(|(a, b, c)| {
        Some(vec![("a", a), ("b", b), ("c", c)].into_iter().filter(|(_, n)| *n > 0).collect())
    });
    let after_ms = prop_oneof![8 => Just(1_000u64), 1 => 900u64..1_100, 1 => 2_000u64..8_000];
    (after_ms, prop_oneof![9 => counts, 1 => Just(None)])
}

proptest! {
    #[test]
    fn it_finds_what_an_oracle_finds(steps in prop::collection::vec(step(), 1..80)) {
        prop_assert_eq!(lines(&steps), oracle::events(&steps));
    }

    /// Wherever a node takes over, in whatever part of a sample's events, all events together are
    /// those of one node that evaluates all samples.
    #[test]
    fn nothing_is_missed_or_found_twice_when_a_node_takes_over(
        steps in prop::collection::vec(step(), 1..40),
        kept in prop::collection::vec(0usize..200, 0..6),
    ) {
        let buffer = buffer_of(&steps);
        let all = take_over(&buffer, &mut AudienceState::default());
        let (mut stored, mut state) = (Vec::new(), AudienceState::default());
        for kept in kept.into_iter().chain([usize::MAX]) {
            let found = take_over(&buffer, &mut state.clone());
            let kept: Vec<AudienceEvent> = found.into_iter().take(kept).collect();
            for event in kept {
                state.apply(&event);
                // As a batch that ends within a sample says it.
                state.to = state.to.max(sample_before(&buffer, &event));
                stored.push(event);
            }
        }
        prop_assert_eq!(stored, all);
    }
}

/// Time up to which all samples are evaluated once an event is stored, but perhaps not the next.
fn sample_before(buffer: &SampleBuffer, event: &AudienceEvent) -> UnixMs {
    match event.change {
        AudienceChange::CountIncomplete { .. } => event.at,
        _ if buffer.is_empty() => UnixMs::ZERO,
        _ => event.at.minus(1),
    }
}

#[test]
fn the_state_has_what_the_events_say() {
    let mut state = AudienceState::default();
    take_over(&buffer_of(&[one(12), one(5)]), &mut state);
    let open = OpenStage { since: UnixMs(START_MS + 2_000), viewers: 5, above: vec![] };
    assert_eq!(state.open, [("a".into(), open)].into());
    assert_eq!((state.to, state.next), (UnixMs(START_MS + 2_000), 5));
}
