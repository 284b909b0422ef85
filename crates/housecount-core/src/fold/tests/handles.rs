//! Beats logged by handle have the same effect as beats logged with ids, wherever the ids are
//! logged.

use std::sync::OnceLock;

use proptest::prelude::*;

use crate::event::{EventKind, EventRef, SessionLabels};
use crate::fold::*;
use crate::record::{self, RecordEntry};
use crate::span::Span;
use crate::time::UnixMs;

const RULES: Rules = Rules { ttl_ms: 2_000, leave_grace_ms: 3 };
const KEY: HandleKey = HandleKey(7);
const STAGES: [&str; 2] = ["s/1", "s/2"];
const VIEWERS: [&str; 3] = ["ann", "bob", "cy"];
const SESSIONS: [&str; 2] = ["", "tab"];
const ALWAYS: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };

fn fold() -> Fold {
    let mut fold = Fold::new(RULES, 1, true);
    fold.set_key(0, KEY);
    fold
}

fn handle(event: &EventRef<'_>) -> Handle {
    Handle::of(KEY, event.ids.stage, event.ids.viewer, event.ids.session)
}

fn fold_record(fold: &mut Fold, entry: RecordEntry<'_>) {
    fold.apply_all(0, &[entry], entry.at(), |_| ());
}

fn events() -> impl Strategy<Value = Vec<EventRef<'static>>> {
    let event = (1u64..20_000, 0..6usize, 0..2usize, 0..3usize, 0..2usize).prop_map(
        |(at, kind, stage, viewer, session)| EventRef {
            labels: SessionLabels::NONE,
            at: UnixMs(at),
            kind: if kind == 0 { EventKind::Leave } else { EventKind::Beat },
            ids: Ids { stage: STAGES[stage], viewer: VIEWERS[viewer], session: SESSIONS[session] },
        },
    );
    proptest::collection::vec(event, 1..60)
}

/// Returns all answers of a fold.
fn answers(fold: &Fold) -> String {
    let proven: Vec<_> =
        STAGES.iter().flat_map(|s| VIEWERS.iter().map(|v| fold.proven(s, v, ALWAYS))).collect();
    // A list is ordered by handle, and handles differ here.
    let listed = |stage| {
        let mut viewers = fold.viewers_of(stage, None, 9);
        viewers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        viewers
    };
    let stages: Vec<_> = STAGES.iter().map(|s| (fold.count(s), listed(s))).collect();
    let viewers: Vec<_> = VIEWERS.iter().map(|v| fold.viewer(v)).collect();
    format!("{:?} {stages:?} {viewers:?} {proven:?}", fold.totals())
}

proptest! {
    /// Some beats are logged by handle, before or after their ids, in any order. Each session's ids
    /// are logged at least once.
    #[test]
    fn a_handle_says_the_same_as_the_ids(
        (events, shuffled) in events().prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
        by_handle in proptest::collection::vec(any::<bool>(), 60),
        now in 1u64..22_000,
    ) {
        let (mut plain, mut brief) = (fold(), fold());
        events.iter().for_each(|event| { plain.apply(event); });
        let mut whole = std::collections::BTreeSet::new();
        for (event, by_handle) in shuffled.iter().zip(by_handle) {
            let entry = if by_handle && event.kind == EventKind::Beat {
                RecordEntry::ByHandle { at: event.at, handle: handle(event) }
            } else {
                whole.insert((event.ids.stage, event.ids.viewer, event.ids.session));
                RecordEntry::Full(*event)
            };
            fold_record(&mut brief, entry);
        }
        let is_logged = |event: &&EventRef<'_>| {
            let Ids { stage, viewer, session } = event.ids;
            whole.contains(&(stage, viewer, session))
        };
        for event in events.iter().filter(|e| !is_logged(e)) {
            fold_record(&mut brief, RecordEntry::Full(*event));
        }
        prop_assert!(brief.is_fully_resolved());
        plain.advance(UnixMs(now));
        brief.advance(UnixMs(now));
        prop_assert_eq!(answers(&plain), answers(&brief));
        // Another key changes only the handles.
        brief.set_key(0, HandleKey(8));
        prop_assert_eq!(answers(&plain), answers(&brief));
        brief.advance(UnixMs(50_000));
        plain.advance(UnixMs(50_000));
        prop_assert_eq!(answers(&plain), answers(&brief));
        brief.prune(0, 0..brief.places(), UnixMs(50_000));
        prop_assert!(brief.is_empty());
    }
}

fn beat(at: u64, viewer: &'static str) -> EventRef<'static> {
    EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "s/1", viewer, session: "" },
    }
}

#[test]
fn ids_are_logged_first_and_again_after_a_while() {
    let mut fold = fold();
    let first = beat(1_000, "ann");
    let tell = |fold: &Fold, event: EventRef<'static>, now| {
        fold.record_entries(&[event], UnixMs(now)).remove(0)
    };
    assert_eq!(
        tell(&fold, first, 1_000),
        RecordEntry::Full(first),
        "a new session is written in full"
    );
    fold.apply(&first);
    assert_eq!(
        tell(&fold, first, 1_000),
        RecordEntry::Full(first),
        "a known session is written in full until the log has its ids"
    );
    fold_record(&mut fold, RecordEntry::Full(first));
    let next = beat(2_000, "ann");
    assert_eq!(
        tell(&fold, next, 2_000),
        RecordEntry::ByHandle { at: next.at, handle: handle(&next) }
    );
    let leave = EventRef { kind: EventKind::Leave, ..next };
    assert_eq!(
        tell(&fold, leave, 2_000),
        RecordEntry::Full(leave),
        "a leave is written in full: it may cover other sessions"
    );
    assert_eq!(
        tell(&fold, next, 1_000 + RULES.handle_valid_ms()),
        RecordEntry::Full(next),
        "the ids in the log are too old"
    );
    fold.relog_ids_from(UnixMs(1_500));
    assert_eq!(tell(&fold, next, 2_000), RecordEntry::Full(next), "the log may have lost the ids");
}

#[test]
fn unresolved_sessions_are_not_counted_and_the_count_is_incomplete() {
    let mut fold = fold();
    let entry = RecordEntry::ByHandle { at: UnixMs(1_000), handle: handle(&beat(1_000, "ann")) };
    fold_record(&mut fold, entry);
    fold.advance(UnixMs(1_001));
    assert!(!fold.is_fully_resolved());
    assert_eq!(fold.totals().count.viewers, 0);
    fold_record(&mut fold, RecordEntry::Full(beat(500, "ann")));
    assert!(fold.is_fully_resolved());
    assert_eq!(fold.totals().count.viewers, 1);
    fold_record(
        &mut fold,
        RecordEntry::ByHandle { at: UnixMs(1_500), handle: handle(&beat(1, "bob")) },
    );
    assert!(!fold.is_fully_resolved());
    fold.advance(UnixMs(3_500));
    assert!(fold.is_fully_resolved(), "the unknown session has timed out");
}

/// A log as nodes keep it: records with their times, the oldest trimmed.
#[derive(Default)]
struct Log(std::collections::VecDeque<(UnixMs, Vec<u8>)>);

impl Log {
    /// Returns the state of a node that reads the log now.
    fn read(&self, rules: Rules, now: UnixMs) -> Fold {
        let mut fold = Fold::new(rules, 1, true);
        fold.set_key(0, KEY);
        fold.set_label_keys(&["device".to_string()]);
        for (at, record) in &self.0 {
            fold.apply_all(0, &record::decode(record).unwrap(), *at, |_| ());
        }
        fold.advance(now);
        fold
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// For half an hour viewers join, stay, reload and leave. Whenever a node starts, the trimmed
    /// log is enough: it knows who is online, by id, and what is proven since the last committed
    /// window.
    #[test]
    fn the_log_is_kept_for_as_long_as_its_handles_need(seed: u64) {
        let rules = Rules { ttl_ms: 40_000, leave_grace_ms: 1_000 };
        let (window_ms, mut log, mut node) = (60_000, Log::default(), Log::default().read(rules, UnixMs(1)));
        let names: Vec<String> = (0..40).map(|n| format!("viewer-{n}")).collect();
        let mut drawn = seed | 1;
        let mut draw = |below: u64| {
            drawn = drawn.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (drawn >> 33) % below
        };
        let mut leaves_at = vec![0u64; names.len()];
        for second in 1_000..2_800u64 {
            let now = UnixMs(second * 1_000);
            let mut events = Vec::new();
            for (n, viewer) in names.iter().enumerate() {
                let session = if n % 3 == 0 { "tab" } else { "" };
                let ids = Ids { stage: STAGES[n % 2], viewer, session };
                // A beat that may begin a session carries labels, each time others.
                let device = ["phone", "tv", "web"][second as usize % 3];
                let labels = match node.are_online([Some(ids)]) {
                    [true] => SessionLabels::NONE,
                    [false] => SessionLabels::parse("device", device, 0).unwrap(),
                };
                let event = |kind| EventRef { labels, at: now, kind, ids };
                if leaves_at[n] <= second && draw(200) == 0 {
                    leaves_at[n] = second + draw(900);
                    events.push(event(EventKind::Beat));
                } else if leaves_at[n] > second && second % 10 == n as u64 % 10 && draw(20) > 0 {
                    events.push(event(EventKind::Beat));
                } else if leaves_at[n] == second && n % 2 == 0 {
                    events.push(event(EventKind::Leave));
                }
            }
            if !events.is_empty() {
                let known: Vec<_> = events.iter().map(|_| OnceLock::new()).collect();
                let mut entry: Vec<RecordEntry<'_>> = node.record_entries(&events, now);
                node.add_known_labels(&mut entry, &known);
                node.apply_all(0, &entry, now, |_| ());
                log.0.push_back((now, record::encode(&entry)));
            }
            node.advance(now);
            let committed = now.minus(rules.ttl_ms).aligned(window_ms);
            let kept = now.minus(2 * rules.ttl_ms + rules.handle_valid_ms() + window_ms);
            let kept = kept.min(committed.minus(2 * rules.ttl_ms + rules.handle_valid_ms()));
            while log.0.front().is_some_and(|(at, _)| *at < kept) {
                log.0.pop_front();
            }
            if second % 37 == 0 {
                let started = log.read(rules, now);
                prop_assert!(started.is_fully_resolved(), "at {}", now);
                prop_assert_eq!(started.totals(), node.totals(), "at {}", now);
                let since = Span::new(committed, now);
                for (n, viewer) in names.iter().enumerate() {
                    let of = |fold: &Fold| fold.proven(STAGES[n % 2], viewer, since);
                    prop_assert_eq!(of(&started), of(&node), "{} at {}", viewer, now);
                    let session = if n % 3 == 0 { "tab" } else { "" };
                    let ids = Ids { stage: STAGES[n % 2], viewer, session };
                    if node.are_online([Some(ids)]) == [true] {
                        prop_assert_eq!(started.labels_of(ids), node.labels_of(ids), "{} at {}", viewer, now);
                    }
                }
            }
        }
        // Most beats are logged by handle.
        let entry: Vec<_> = log.0.iter().flat_map(|(_, record)| record::decode(record).unwrap()).collect();
        let by_handle = entry.iter().filter(|entry| matches!(entry, RecordEntry::ByHandle { .. })).count();
        prop_assert!(by_handle * 4 > entry.len() * 3, "{} of {} entries are by handle", by_handle, entry.len());
    }
}
