//! A draft of changes equals the whole draft, byte by byte.

use proptest::prelude::*;

use crate::*;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::{Fold, Rules, Walk};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

const TTL_MS: u64 = 9_000;
const RULES: Rules = Rules { ttl_ms: TTL_MS, leave_grace_ms: 1_000 };
const WINDOW_MS: u64 = 5_000;
const LATENESS_MS: u64 = 20_000;
const KEPT_MS: u64 = LATENESS_MS + TTL_MS + WINDOW_MS;
const BASE: u64 = 1_000_000;
const LENGTH_MS: u64 = 120_000;

/// An event, and the time at which the node receives it.
type TestEvent = (UnixMs, EventRef<'static>);

/// A step of a session: its kind, the time since the step before, and the delay until the node
/// receives it.
type Step = (u8, u64, u64);

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![12 => 2_000..4_000u64, 2 => 0..9_001u64, 1 => 8_000..40_000u64];
    let late = prop_oneof![9 => Just(0u64), 1 => 0..3_000u64, 1 => 0..LATENESS_MS];
    (prop_oneof![14 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8), 1 => Just(3u8)], gap, late)
}

/// Generates events of sessions, ordered by the time at which the node receives them.
fn audience() -> impl Strategy<Value = Vec<TestEvent>> {
    let session =
        (0..4usize, 0..2usize, 0..2usize, 0..60_000u64, proptest::collection::vec(step(), 1..40));
    proptest::collection::vec(session, 1..10).prop_map(|sessions| {
        let mut events = Vec::new();
        for (viewer, stage, session, from, steps) in sessions {
            let mut at = BASE + from;
            for (kind, gap, late) in steps {
                at += gap;
                let event = EventRef {
                    labels: SessionLabels::NONE,
                    at: UnixMs(at),
                    kind: match kind {
                        0 => EventKind::Beat,
                        3 => EventKind::Displace,
                        _ => EventKind::Leave,
                    },
                    ids: Ids {
                        stage: ["s", "t"][stage],
                        viewer: ["ann", "bob", "cyd", "dan"][viewer],
                        // A leave of kind 2 is a leave of all the viewer's sessions.
                        session: if kind == 2 { "" } else { ["", "tab"][session] },
                    },
                };
                events.push((UnixMs(at + late), event));
            }
        }
        events.retain(|(at, _)| at.0 < BASE + LENGTH_MS);
        events.sort();
        events
    })
}

/// A node that receives events, and commits each window twice: whole and by changes.
struct Node {
    fold: Fold,
    book: Book,
    settled: UnixMs,
}

impl Node {
    fn fold_until(
        &mut self,
        events: &mut std::iter::Peekable<std::slice::Iter<'_, TestEvent>>,
        until: UnixMs,
    ) {
        while let Some((at, event)) = events.next_if(|(at, _)| *at <= until) {
            self.fold.advance(*at);
            self.fold.apply(event);
        }
        self.fold.advance(until);
    }

    fn draft(&self, mut draft: Draft<'_>, reach: UnixMs) -> Vec<u8> {
        let settled = match draft.scope() {
            DraftScope::Whole => UnixMs::ZERO,
            DraftScope::Changes => self.settled,
        };
        let walk = Walk { partition: 0, within: draft.within(), settled, reach };
        let passed_over =
            self.fold
                .for_each_changed_since(&walk, 0..self.fold.places(), |proven| draft.add(proven));
        if draft.scope() == DraftScope::Changes {
            assert_eq!(passed_over, draft.uncovered(), "each skipped viewer is an open entry");
        }
        draft.finish().encode()
    }

    fn commit(&mut self, window: Span, reach: UnixMs) {
        let whole = self.draft(Draft::new(&self.book, window, KEPT_MS, reach), reach);
        let changes = self.draft(Draft::of_changes(&self.book, window, KEPT_MS, reach), reach);
        assert_eq!(changes, whole, "drafts of window {window:?}");
        let (chunk, link) = Chunk::decode(&whole).unwrap();
        self.book.apply(&chunk, link, &mut ()).unwrap();
        self.settled = window.to;
        let floor = window.to.minus(LATENESS_MS);
        self.fold.refuse_before(0, floor);
        self.fold.prune(0, 0..self.fold.places(), window.to.minus(KEPT_MS));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_draft_of_changes_is_the_whole_draft(events in audience(), after in 0..4_000u64, reach_ms in 0..9_000u64) {
        let mut node =
            Node { fold: Fold::new(RULES, 1, true), book: Book::default(), settled: UnixMs::ZERO };
        let mut events = events.iter().peekable();
        for n in 0..(LENGTH_MS + LATENESS_MS) / WINDOW_MS {
            let window = Span::new(UnixMs(BASE + n * WINDOW_MS), UnixMs(BASE + (n + 1) * WINDOW_MS));
            node.fold_until(&mut events, window.to.plus(TTL_MS + after));
            node.commit(window, window.to.plus(reach_ms.min(after + TTL_MS)));
        }
    }
}
