//! The queue of a webhook: order of a stage, waits, giving up, and continuing elsewhere.

use proptest::prelude::*;

use super::*;
use crate::event::AudienceChange;

const AT: UnixMs = UnixMs(1_790_000_000_000);

fn lane(stage: &str) -> LaneStage {
    (!stage.is_empty()).then(|| stage.into())
}

fn event(seq: u64, stage: &str) -> AudienceEvent {
    let change = match lane(stage) {
        Some(stage) => AudienceChange::Opened(stage),
        None => AudienceChange::CountComplete,
    };
    AudienceEvent { seq, at: AT, change, count: None }
}

fn queue(stages: &[&str]) -> DeliveryQueue {
    let mut queue = DeliveryQueue::default();
    (1..).zip(stages).for_each(|(seq, stage)| queue.add(event(seq, stage), true));
    queue
}

fn begin(queue: &mut DeliveryQueue, now_ms: u64) -> Vec<u64> {
    std::iter::from_fn(|| queue.begin(now_ms).map(|event| event.seq)).collect()
}

fn fail(queue: &mut DeliveryQueue, stage: &str, now_ms: u64) -> FailureEffect {
    queue.fail(&lane(stage), now_ms, AT.plus(now_ms), 1.0, None)
}

#[test]
fn a_stages_next_event_waits_for_the_one_before() {
    let mut queue = queue(&["a", "a", "b", ""]);
    assert_eq!(begin(&mut queue, 0), [1, 3, 4]);
    queue.accept(&lane("b"));
    assert_eq!(begin(&mut queue, 0), [0; 0]);
    queue.accept(&lane("a"));
    assert_eq!(begin(&mut queue, 0), [2]);
    assert_eq!(queue.waiting(), ([2, 4].into(), 4));
}

#[test]
fn webhook_deliveries_max_run_at_once() {
    let stages: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let mut queue = queue(&stages.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(begin(&mut queue, 0).len(), WEBHOOK_DELIVERIES_MAX);
    assert_eq!(queue.next_due_ms(), None);
    queue.accept(&lane("0"));
    assert_eq!(begin(&mut queue, 0), [WEBHOOK_DELIVERIES_MAX as u64 + 1]);
}

#[test]
fn webhook_wait_ms_max_is_the_longest_wait() {
    let mut queue = queue(&["a"]);
    let (mut now_ms, mut waits) = (0, Vec::new());
    for _ in 0..13 {
        assert_eq!(begin(&mut queue, now_ms), [1]);
        assert_eq!(fail(&mut queue, "a", now_ms), FailureEffect::Waits);
        let due_ms = queue.next_due_ms().unwrap();
        assert_eq!(begin(&mut queue, due_ms - 1), [0; 0]);
        waits.push((due_ms - now_ms) / 1_000);
        now_ms = due_ms;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
    begin(&mut queue, now_ms);
    let asked = Some(u64::MAX);
    queue.fail(&lane("a"), now_ms, AT, 0.0, asked);
    assert_eq!(queue.next_due_ms(), Some(now_ms + WEBHOOK_WAIT_MS_MAX));
}

#[test]
fn a_failing_webhook_is_tried_by_one_delivery_at_a_time() {
    let mut queue = queue(&["a", "b", "c", "d"]);
    assert_eq!(begin(&mut queue, 0).len(), 4);
    for stage in ["a", "b", "c", "d"] {
        fail(&mut queue, stage, 0);
    }
    assert!(queue.is_failing());
    let due_ms = queue.next_due_ms().unwrap();
    assert_eq!(due_ms, 40_000, "it is the fourth failure in a row");
    assert_eq!(begin(&mut queue, due_ms), [1]);
    queue.accept(&lane("a"));
    assert!(!queue.is_failing());
    assert_eq!(begin(&mut queue, due_ms), [2, 3, 4]);
}

#[test]
fn one_failing_stage_does_not_hold_others() {
    let mut queue = queue(&["a", "b", "b", "b", "b", "b"]);
    for seq in 2..=6 {
        let now_ms = seq * 100_000;
        let begun = begin(&mut queue, now_ms);
        assert!(begun.contains(&seq), "{begun:?}");
        if begun.contains(&1) {
            fail(&mut queue, "a", now_ms);
        }
        queue.accept(&lane("b"));
    }
    assert_eq!(queue.waiting(), ([1].into(), 6));
}

#[test]
fn webhook_event_ms_max_is_the_age_of_the_last_try() {
    let mut queue = queue(&["a", "a"]);
    begin(&mut queue, 0);
    let young = AT.plus(WEBHOOK_EVENT_MS_MAX - 1);
    assert_eq!(queue.fail(&lane("a"), 0, young, 0.5, None), FailureEffect::Waits);
    let now_ms = queue.next_due_ms().unwrap();
    assert_eq!(begin(&mut queue, now_ms), [1]);
    let old = AT.plus(WEBHOOK_EVENT_MS_MAX);
    assert_eq!(queue.fail(&lane("a"), now_ms, old, 0.5, None), FailureEffect::GivenUp);
    assert_eq!((queue.pending(), queue.oldest_at()), (1, Some(AT)));
}

#[test]
fn webhook_pending_max_bounds_the_memory() {
    let mut queue = DeliveryQueue::default();
    for seq in 1..=WEBHOOK_PENDING_MAX as u64 {
        assert!(queue.has_room());
        queue.add(event(seq, "a"), true);
    }
    assert!(!queue.has_room());
    begin(&mut queue, 0);
    queue.accept(&lane("a"));
    assert!(queue.has_room());
}

#[test]
fn another_node_continues_with_what_waits() {
    let mut first = queue(&["a", "b", "a", "c"]);
    begin(&mut first, 0);
    first.accept(&lane("b"));
    let (waiting, read_to) = first.waiting();
    assert_eq!((waiting.clone(), read_to), ([1, 3, 4].into(), 4));
    let mut next = DeliveryQueue::resume(read_to, waiting.clone());
    assert_eq!((next.read_to(), next.pending()), (0, 3));
    next.add(event(1, "a"), false);
    assert_eq!(next.waiting(), (waiting, 4), "not all is read yet");
    for (seq, stage) in [(2, "b"), (3, "a"), (4, "c"), (5, "d"), (6, "e")] {
        next.add(event(seq, stage), seq != 6);
    }
    assert_eq!(next.waiting(), ([1, 3, 4, 5].into(), 6));
    assert_eq!(begin(&mut next, 0), [1, 4, 5]);
    let done = DeliveryQueue::resume(7, BTreeSet::new());
    assert_eq!((done.read_to(), done.waiting()), (7, (BTreeSet::new(), 7)));
}

proptest! {
    /// Whatever fails, and wherever another node continues: each stage's events are accepted in
    /// their order, and each at least once.
    #[test]
    fn each_event_is_delivered_in_the_order_of_its_stage(
        stages in prop::collection::vec(0usize..4, 1..30),
        faults in prop::collection::vec((any::<bool>(), 0u8..12), 0..60),
    ) {
        let names = ["", "a", "b", "c"];
        let all: Vec<AudienceEvent> =
            (1..).zip(&stages).map(|(seq, stage)| event(seq, names[*stage])).collect();
        let mut accepted: Vec<AudienceEvent> = Vec::new();
        let mut stored = (BTreeSet::new(), 0);
        let mut queue = DeliveryQueue::resume(0, BTreeSet::new());
        let mut faults = faults.into_iter();
        let mut now_ms = 0;
        loop {
            all.iter().for_each(|event| queue.add(event.clone(), true));
            let Some(event) = queue.begin(now_ms) else {
                match queue.next_due_ms() {
                    Some(due_ms) => now_ms = due_ms,
                    None => break,
                }
                continue;
            };
            let stage = event.stage().cloned();
            match faults.next() {
                Some((_, 0..4)) => { queue.fail(&stage, now_ms, AT, 0.3, None); }
                // The node dies, after the receiver has the event or before.
                Some((is_accepted, 4..6)) => {
                    accepted.extend(is_accepted.then_some(event));
                    let (waiting, read_to) = stored.clone();
                    queue = DeliveryQueue::resume(read_to, waiting);
                }
                fault => {
                    queue.accept(&stage);
                    accepted.push(event);
                    if fault.is_none_or(|(is_stored, _)| is_stored) {
                        stored = queue.waiting();
                    }
                }
            }
        }
        for name in names {
            let of_stage = |event: &&AudienceEvent| event.stage().cloned() == lane(name);
            let mut first_times: Vec<u64> = Vec::new();
            for event in accepted.iter().filter(of_stage) {
                if first_times.last().is_none_or(|last| event.seq > *last) {
                    first_times.push(event.seq);
                }
            }
            let expected: Vec<u64> = all.iter().filter(of_stage).map(|event| event.seq).collect();
            prop_assert_eq!(first_times, expected, "{:?}", name);
        }
    }
}
