//! Compares proof with an oracle that applies the rule literally, over all pairs of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::event::{EventKind, EventRef, SessionLabels};
use crate::fold::*;
use crate::labels::ViewerLabels;
use crate::span::{Span, normalize};
use crate::time::UnixMs;

const TTL_MS: u64 = 120;
const RULES: Rules = Rules { ttl_ms: TTL_MS, leave_grace_ms: 3 };
const ALWAYS: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };
const VIEWERS: [&str; 2] = ["ann", "bob"];
const STAGES: [&str; 2] = ["s/1", "s/2"];
const SESSIONS: [&str; 3] = ["", "tab-1", "tab-2"];

type TestEvent = EventRef<'static>;

fn oracle(events: &[TestEvent], stage: &str, viewer: &str) -> Vec<Span> {
    let here: Vec<&TestEvent> =
        events.iter().filter(|e| e.ids.stage == stage && e.ids.viewer == viewer).collect();
    let mut spans = Vec::new();
    for beat in here.iter().filter(|e| e.kind == EventKind::Beat) {
        for later in &here {
            let is_of_session = later.ids.session == beat.ids.session
                || (later.kind == EventKind::Leave && later.ids.session.is_empty());
            if is_of_session && later.at >= beat.at && later.at.since(beat.at) <= TTL_MS {
                spans.push(Span::new(beat.at, later.at));
            }
        }
    }
    normalize(&mut spans);
    spans
}

fn proof_of(events: &[TestEvent]) -> Fold {
    let mut proof = Fold::new(RULES, 1, true);
    events.iter().for_each(|event| assert_ne!(proof.apply(event), ApplyOutcome::Uncredited));
    proof
}

fn events() -> impl Strategy<Value = Vec<TestEvent>> {
    let event = (1u64..1_500, 0..6usize, 0..2usize, 0..2usize, 0..3usize).prop_map(
        |(at, kind, stage, viewer, session)| EventRef {
            labels: SessionLabels::NONE,
            at: UnixMs(at),
            kind: match kind {
                0 => EventKind::Leave,
                1 => EventKind::Displace,
                _ => EventKind::Beat,
            },
            ids: Ids { stage: STAGES[stage], viewer: VIEWERS[viewer], session: SESSIONS[session] },
        },
    );
    proptest::collection::vec(event, 1..80)
}

fn check(proof: &Fold, events: &[TestEvent], within: Span) {
    for stage in STAGES {
        for viewer in VIEWERS {
            let mut expected = oracle(events, stage, viewer);
            expected = expected.into_iter().filter_map(|span| span.clip(within)).collect();
            assert_eq!(proof.proven(stage, viewer, within), expected, "{viewer} on {stage}");
        }
    }
}

proptest! {
    #[test]
    fn is_the_rule_whatever_the_order((sent, shuffled) in events().prop_flat_map(|sent| {
        let twice: Vec<TestEvent> = sent.iter().chain(&sent).copied().collect();
        (Just(sent), Just(twice).prop_shuffle())
    })) {
        check(&proof_of(&sent), &sent, ALWAYS);
        check(&proof_of(&shuffled), &sent, ALWAYS);
        check(&proof_of(&sent), &sent, Span::new(UnixMs(400), UnixMs(900)));
    }

    /// Rewritten from any time on, another node proves the same from then on, with any later
    /// events.
    #[test]
    fn repeated_events_prove_the_same(sent in events(), from in 0u64..1_500, later in events()) {
        let proof = proof_of(&sent);
        let repeated: Vec<TestEvent> = proof.checkpoint_events(0, 0..usize::MAX, UnixMs(from)).map(|e| events_of(&e.event())).collect();
        let mut again = proof_of(&repeated);
        let later: Vec<TestEvent> = later.into_iter().filter(|e| e.at.0 >= from).collect();
        later.iter().for_each(|event| assert_ne!(again.apply(event), ApplyOutcome::Uncredited));
        let all: Vec<TestEvent> = sent.iter().chain(&later).copied().collect();
        check(&again, &all, Span::new(UnixMs(from), UnixMs::MAX));
    }

    /// Pruning data that no acceptable event can reach changes nothing.
    #[test]
    fn what_is_forgotten_could_not_matter(sent in events(), floor in 0u64..1_500, later in events()) {
        let mut proof = proof_of(&sent);
        let floor = UnixMs(floor);
        proof.refuse_before(0, floor);
        proof.prune(0, 0..proof.places(), floor.minus(TTL_MS));
        let later: Vec<TestEvent> = later.into_iter().filter(|event| {
            let taken = event.at >= floor;
            assert_eq!(proof.apply(event) != ApplyOutcome::Uncredited, taken);
            taken
        }).collect();
        let all: Vec<TestEvent> = sent.iter().chain(&later).copied().collect();
        check(&proof, &all, Span::new(floor, UnixMs::MAX));
    }
}

/// Returns an event whose ids are `'static`.
fn events_of(event: &EventRef<'_>) -> TestEvent {
    let of = |known: &[&'static str], id: &str| *known.iter().find(|k| **k == id).unwrap();
    EventRef {
        labels: SessionLabels::NONE,
        at: event.at,
        kind: event.kind,
        ids: Ids {
            stage: of(&STAGES, event.ids.stage),
            viewer: of(&VIEWERS, event.ids.viewer),
            session: of(&SESSIONS, event.ids.session),
        },
    }
}

#[test]
fn what_was_carried_goes_on_with_any_session() {
    let beat = |at, session| EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "s/1", viewer: "ann", session },
    };
    let mut proof = Fold::new(RULES, 1, true);
    proof.restore_open_span(
        "s/1",
        "ann",
        &ViewerLabels::default(),
        Span::new(UnixMs(1_000), UnixMs(1_060)),
    );
    assert_eq!(proof.proven("s/1", "ann", ALWAYS), [Span::new(UnixMs(1_000), UnixMs(1_060))]);
    proof.apply(&beat(1_060 + TTL_MS + 1, "tab-1"));
    assert_eq!(
        proof.proven("s/1", "ann", ALWAYS),
        [Span::new(UnixMs(1_000), UnixMs(1_060))],
        "a beat later than a ttl proves nothing"
    );
    proof.apply(&beat(1_100, "tab-2"));
    assert_eq!(proof.proven("s/1", "ann", ALWAYS), [Span::new(UnixMs(1_000), UnixMs(1_100))]);
    proof.apply(&beat(1_200, "tab-2"));
    assert_eq!(proof.proven("s/1", "ann", ALWAYS), [Span::new(UnixMs(1_000), UnixMs(1_200))]);
}

#[test]
fn a_beat_before_the_ledger_was_read_extends_it_too() {
    let beat = |at, session| EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "s/1", viewer: "ann", session },
    };
    let mut proof = Fold::new(RULES, 1, true);
    proof.apply(&beat(1_100, "tab-1"));
    proof.apply(&beat(1_200, "tab-1"));
    proof.restore_open_span(
        "s/1",
        "ann",
        &ViewerLabels::default(),
        Span::new(UnixMs(1_000), UnixMs(1_060)),
    );
    assert_eq!(proof.proven("s/1", "ann", ALWAYS), [Span::new(UnixMs(1_000), UnixMs(1_200))]);
}

#[test]
fn a_walk_visits_each_viewer_and_prunes() {
    let beat = |at, viewer| EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "s/1", viewer, session: "" },
    };
    let mut proof = proof_of(&[beat(10, "ann"), beat(50, "ann"), beat(10, "bob")]);
    let mut seen = BTreeSet::new();
    proof.for_each_proven(0, ALWAYS, |proven| {
        seen.insert((proven.viewer.to_string(), proven.spans.to_vec()));
    });
    assert_eq!(
        seen,
        BTreeSet::from([("ann".to_string(), vec![Span::new(UnixMs(10), UnixMs(50))])])
    );
    assert_eq!(proof.len(), 2);
    // No session is online any more.
    proof.advance(UnixMs(1_000));
    proof.prune(0, 0..proof.places(), UnixMs(11));
    assert_eq!((proof.len(), proof.is_empty()), (1, false));
    proof.prune(0, 0..proof.places(), UnixMs(51));
    proof.advance(UnixMs(10_000_000));
    assert!(proof.is_empty() && proof.stages_after(None, usize::MAX).views.is_empty());
}
