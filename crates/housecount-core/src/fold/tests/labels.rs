//! Compares labels, counts by label and labelled proof with oracles that apply the rules literally.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use proptest::prelude::*;

use super::presence::oracle_online;
use crate::event::{EventKind, EventRef, SessionLabels};
use crate::fold::*;
use crate::labels::ViewerLabels;
use crate::limits::LABEL_VALUES_MAX;
use crate::record::{self, RecordEntry};
use crate::span::Span;
use crate::time::UnixMs;

const TTL_MS: u64 = 120;
const RULES: Rules = Rules { ttl_ms: TTL_MS, leave_grace_ms: 3 };
const KEY: HandleKey = HandleKey(7);
const ALWAYS: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };
const VIEWERS: [&str; 2] = ["ann", "bob"];
const STAGES: [&str; 2] = ["s/1", "s/2"];
const SESSIONS: [&str; 3] = ["", "tab-1", "tab-2"];
const KEYS: [&str; 2] = ["country", "device"];
/// Labels that events carry. Not all have all keys, and `zone` is not configured.
const LABELS: [(&str, &str); 7] = [
    ("", ""),
    ("country\u{1}device", "NO\u{1}phone"),
    ("country\u{1}device", "NO\u{1}tv"),
    ("country", "SE"),
    ("device\u{1}zone", "tv\u{1}7"),
    ("country\u{1}device", "\u{1}"),
    ("zone", "7"),
];

type TestEvent = EventRef<'static>;
type Session = (&'static str, &'static str, &'static str);

fn fold() -> Fold {
    let mut fold = Fold::new(RULES, 1, true);
    fold.set_key(0, KEY);
    fold.set_label_keys(&KEYS.map(str::to_string));
    fold
}

fn labels(n: usize, age_ms: u64) -> SessionLabels<'static> {
    let (keys, values) = LABELS[n];
    SessionLabels::parse(keys, values, age_ms).unwrap()
}

fn event() -> impl Strategy<Value = TestEvent> {
    let ids = (0..2usize, 0..2usize, 0..3usize);
    (1u64..600, 0..7usize, ids, 0..LABELS.len(), 0..4u64).prop_map(
        |(at, kind, (stage, viewer, session), n, age)| EventRef {
            labels: labels(n, age * 20),
            at: UnixMs(at),
            kind: match kind {
                0 => EventKind::Leave,
                1 => EventKind::Displace,
                _ => EventKind::Beat,
            },
            ids: Ids { stage: STAGES[stage], viewer: VIEWERS[viewer], session: SESSIONS[session] },
        },
    )
}

fn events() -> impl Strategy<Value = Vec<TestEvent>> {
    proptest::collection::vec(event(), 1..60)
}

fn sessions() -> impl Iterator<Item = Session> {
    let of = |stage| VIEWERS.map(|viewer| SESSIONS.map(|session| (stage, viewer, session)));
    STAGES.into_iter().flat_map(move |stage| of(stage).concat())
}

fn ids((stage, viewer, session): Session) -> Ids<'static> {
    Ids { stage, viewer, session }
}

/// Returns the values of a session by key: those of its smallest claim.
fn oracle_values(events: &[TestEvent], of: Session) -> Option<(u64, Vec<&'static str>)> {
    let own = events.iter().filter(|event| event.ids == ids(of));
    let claim = |event: &TestEvent| {
        let value = |key| event.labels.pairs().find(|pair| pair.0 == key).map_or("", |pair| pair.1);
        (event.at.0.saturating_sub(event.labels.age_ms()).max(1), KEYS.map(value).to_vec())
    };
    own.filter(|event| !event.labels.is_none()).map(claim).min()
}

fn values_or_none(events: &[TestEvent], of: Session) -> Vec<&'static str> {
    oracle_values(events, of).map_or(vec!["", ""], |(_, values)| values)
}

fn check_labels(fold: &Fold, events: &[TestEvent]) {
    for of in sessions() {
        let known = fold.labels_of(ids(of));
        let expected = oracle_values(events, of);
        let values = known.as_ref().map(|known| known.values().collect::<Vec<_>>());
        assert_eq!(values, expected.as_ref().map(|(_, values)| values.clone()), "{of:?}");
        let Some((known, (first_seen, _))) = known.zip(expected) else { continue };
        assert_eq!(known.at(UnixMs(first_seen)).map(|labels| labels.age_ms()), Some(0));
        assert_eq!(known.at(UnixMs(first_seen - 1)), None);
    }
}

fn check_counts(fold: &Fold, events: &[TestEvent], now: u64) {
    let online = oracle_online(events, now);
    for stage in STAGES.map(Some).into_iter().chain([None]) {
        for (n, key) in KEYS.iter().enumerate() {
            let here = online.iter().filter(|of| stage.is_none_or(|stage| stage == of.0));
            let pairs: BTreeSet<(&str, &str)> =
                here.map(|of| (values_or_none(events, *of)[n], of.1)).collect();
            let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
            pairs.iter().for_each(|(value, _)| *expected.entry(value).or_default() += 1);
            let mut expected: Vec<(String, u64)> =
                expected.into_iter().map(|(value, n)| (value.to_string(), n)).collect();
            expected.sort_by_key(|(value, viewers)| (std::cmp::Reverse(*viewers), value.clone()));
            let counts = fold.label_counts(stage, key, 1);
            assert_eq!(counts.values, expected, "{stage:?} {key} at {now}");
            let room = |value: &str| fold.label_room(stage, key, value);
            assert!(expected.iter().all(|(value, _)| room(value).is_known));
            assert!(room("NO").known <= 4);
        }
    }
}

/// Returns the parts of a viewer's proof, millisecond by millisecond.
fn oracle_parts(
    events: &[TestEvent],
    stage: &'static str,
    viewer: &'static str,
    within: Span,
) -> Vec<LabelledSpan> {
    let mut sessions_at: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    let here: Vec<&TestEvent> =
        events.iter().filter(|e| e.ids.stage == stage && e.ids.viewer == viewer).collect();
    for beat in here.iter().filter(|event| event.kind == EventKind::Beat) {
        for later in &here {
            let is_of_session = later.ids.session == beat.ids.session
                || (later.kind == EventKind::Leave && later.ids.session.is_empty());
            if is_of_session && later.at >= beat.at && later.at.since(beat.at) <= TTL_MS {
                for at in beat.at.max(within.from).0..later.at.min(within.to).0 {
                    sessions_at.entry(at).or_default().insert(beat.ids.session);
                }
            }
        }
    }
    let mut parts: Vec<LabelledSpan> = Vec::new();
    for (at, sessions) in sessions_at {
        let values: Vec<_> = sessions
            .iter()
            .map(|session| values_or_none(events, (stage, viewer, session)))
            .collect();
        let pairs = KEYS.iter().enumerate().flat_map(|(n, key)| {
            let of_key: Vec<_> = values.iter().map(|values| (*key, values[n])).collect();
            let has_value = of_key.iter().any(|(_, value)| !value.is_empty());
            of_key.into_iter().filter(move |_| has_value)
        });
        let labels = ViewerLabels::collect(pairs);
        match parts.last_mut() {
            Some(last) if last.span.to.0 == at && last.labels == labels => last.span.to.0 += 1,
            _ => {
                let span = Span::new(UnixMs(at), UnixMs(at + 1));
                parts.push(LabelledSpan { span, labels, is_known: true });
            }
        }
    }
    let is_labelled = parts.iter().any(|part| !part.labels.is_none());
    if is_labelled { parts } else { Vec::new() }
}

fn check_parts(fold: &Fold, events: &[TestEvent], within: Span) {
    let mut proven = BTreeMap::new();
    fold.for_each_proven(0, within, |of| {
        let mut joined: Vec<Span> = of.parts.iter().map(|part| part.span).collect();
        assert!(joined.is_sorted_by(|a, b| a.to <= b.from));
        crate::span::normalize(&mut joined);
        assert!(joined.is_empty() || joined == of.spans);
        proven.insert((of.stage.to_string(), of.viewer.to_string()), of.parts.to_vec());
    });
    for (stage, viewer) in STAGES.iter().flat_map(|stage| VIEWERS.map(|viewer| (*stage, viewer))) {
        let known = proven.remove(&(stage.to_string(), viewer.to_string())).unwrap_or_default();
        assert_eq!(known, oracle_parts(events, stage, viewer, within), "{viewer} on {stage}");
    }
}

proptest! {
    /// Whatever the order, and however often events are repeated.
    #[test]
    fn labels_and_counts_are_a_function_of_the_events(
        (sent, shuffled) in events().prop_flat_map(|sent| {
        let twice: Vec<TestEvent> = sent.iter().chain(&sent).copied().collect();
        (Just(sent), Just(twice).prop_shuffle())
    }), now in 600u64..800) {
        for order in [&sent, &shuffled] {
            let mut fold = fold();
            order.iter().for_each(|event| { fold.apply(event); });
            check_labels(&fold, &sent);
            check_parts(&fold, &sent, ALWAYS);
            check_parts(&fold, &sent, Span::new(UnixMs(200), UnixMs(400)));
            fold.advance(UnixMs(now));
            check_counts(&fold, &sent, now);
        }
    }

    /// Counts are exact after every event and at every time.
    #[test]
    fn counts_follow_each_event(
        steps in proptest::collection::vec((event(), 0u64..40, 0u64..150), 1..80),
    ) {
        let (mut fold, mut now, mut sent) = (fold(), 1, Vec::new());
        for (event, gap_ms, late_ms) in steps {
            now += gap_ms;
            fold.advance(UnixMs(now));
            check_counts(&fold, &sent, now);
            let at = UnixMs(now.saturating_sub(if late_ms < 100 { 0 } else { late_ms }).max(1));
            sent.push(EventRef { at, ..event });
            fold.apply(&EventRef { at, ..event });
            check_counts(&fold, &sent, now);
        }
        // Nothing is left once all are gone.
        fold.advance(UnixMs(now + 10_000));
        check_counts(&fold, &[], now + 10_000);
        fold.prune(0, 0..fold.places(), UnixMs(now + 10_000));
        assert!(fold.is_empty() && sessions().all(|of| fold.labels_of(ids(of)).is_none()));
    }

    /// Some sessions are known by handle before their ids.
    #[test]
    fn sessions_get_their_labels_with_their_ids(sent in events(), now in 600u64..800) {
        let mut fold = fold();
        for event in sent.iter().filter(|event| event.kind == EventKind::Beat) {
            let Ids { stage, viewer, session } = event.ids;
            let handle = Handle::of(KEY, stage, viewer, session);
            fold.apply_all(0, &[RecordEntry::ByHandle { at: event.at, handle }], event.at, |_| ());
        }
        let all: Vec<RecordEntry<'_>> = sent.iter().copied().map(RecordEntry::Full).collect();
        fold.apply_all(0, &all, UnixMs(600), |_| ());
        check_labels(&fold, &sent);
        fold.advance(UnixMs(now));
        check_counts(&fold, &sent, now);
    }

    /// A log that was rewritten, twice, has the same labels. Sessions without later events are left
    /// out.
    #[test]
    fn rewritten_logs_keep_labels(sent in events(), from in 0u64..600) {
        let mut first = fold();
        sent.iter().for_each(|event| { first.apply(event); });
        let rewritten = |fold: &Fold| {
            let events: Vec<_> = fold.checkpoint_events(0, 0..usize::MAX, UnixMs(from)).collect();
            let entries = events.iter().map(|event| RecordEntry::Full(event.event()));
            let entries: Vec<_> = entries.collect();
            record::encode(&entries)
        };
        let read = |record: &[u8]| {
            let mut fold = fold();
            fold.apply_all(0, &record::decode(record).unwrap(), UnixMs(600), |_| ());
            fold
        };
        let record = rewritten(&first);
        let entries = record::decode(&record).unwrap();
        let carries = |of: Ids<'_>, known: &KnownLabels| entries.iter().any(|entry| {
            matches!(entry, RecordEntry::Full(event) if event.kind != EventKind::Displace
                && event.ids == of && known.at(event.at).is_some())
        });
        let second = read(&record);
        let third = read(&rewritten(&second));
        for of in sessions().map(ids) {
            let expected = first.labels_of(of).filter(|known| carries(of, known));
            prop_assert_eq!(second.labels_of(of), expected);
            prop_assert_eq!(third.labels_of(of), second.labels_of(of));
        }
    }
}

fn beat(at: u64, session: &'static str, n: usize) -> TestEvent {
    EventRef {
        labels: labels(n, 0),
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "s/1", viewer: "ann", session },
    }
}

#[test]
fn beats_and_leaves_with_ids_carry_the_labels_of_their_sessions() {
    let mut fold = fold();
    fold.apply(&beat(100, "tab-1", 1));
    let events = [beat(150, "tab-1", 3), beat(90, "tab-1", 3), beat(150, "tab-2", 3)];
    let leave = EventRef { kind: EventKind::Leave, ..beat(150, "tab-1", 0) };
    let mut entries: Vec<_> = events.into_iter().chain([leave]).map(RecordEntry::Full).collect();
    let known: [OnceLock<KnownLabels>; 4] = Default::default();
    fold.add_known_labels(&mut entries, &known);
    let carried: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            RecordEntry::Full(event) => event.labels,
            RecordEntry::ByHandle { .. } => unreachable!("all have ids"),
        })
        .collect();
    let own = labels(3, 0);
    assert_eq!(carried, [labels(1, 50), own, own, labels(1, 50)]);
}

#[test]
fn a_first_beat_after_a_leave_is_logged_with_its_labels() {
    let mut fold = Fold::new(Rules { ttl_ms: 2_000, leave_grace_ms: 3 }, 1, true);
    fold.set_key(0, KEY);
    fold.set_label_keys(&KEYS.map(str::to_string));
    let leave = EventRef { kind: EventKind::Leave, ..beat(5_000, "tab-1", 0) };
    let log = |fold: &mut Fold, event: TestEvent| {
        let entry = fold.record_entries(&[event], event.at).remove(0);
        fold.apply_all(0, &[entry], event.at, |_| ());
        entry
    };
    log(&mut fold, leave);
    let first = beat(5_010, "tab-1", 1);
    assert_eq!(log(&mut fold, first), RecordEntry::Full(first));
    assert_eq!(fold.label_counts(None, "device", 1).values, [("phone".to_string(), 1)]);
    let is_by_handle = |entry| matches!(entry, RecordEntry::ByHandle { .. });
    assert!(is_by_handle(log(&mut fold, beat(5_020, "tab-1", 0))));
    assert!(is_by_handle(log(&mut fold, beat(5_030, "tab-1", 2))), "later labels change nothing");
    // A node may count an event before the log has it.
    log(&mut fold, EventRef { kind: EventKind::Leave, ..beat(5_000, "tab-2", 0) });
    let first = beat(5_010, "tab-2", 2);
    fold.apply(&first);
    assert_eq!(log(&mut fold, first), RecordEntry::Full(first));
    assert!(is_by_handle(log(&mut fold, beat(5_020, "tab-2", 0))));
    // Of equal times, the lesser values count.
    let lesser = beat(5_010, "tab-2", 1);
    fold.apply(&lesser);
    assert_eq!(log(&mut fold, lesser), RecordEntry::Full(lesser));
}

#[test]
fn restored_spans_keep_their_labels() {
    let both = [("country", "NO"), ("country", "SE"), ("plan", "gold")];
    let span = Span::new(UnixMs(100), UnixMs(160));
    let parts = |fold: &Fold| {
        let mut parts = Vec::new();
        fold.for_each_proven(0, ALWAYS, |of| parts = of.parts.to_vec());
        parts
            .into_iter()
            .map(|part| (part.span.from.0, part.span.to.0, part.labels))
            .collect::<Vec<_>>()
    };
    let of = |pairs: &[(&'static str, &'static str)]| ViewerLabels::collect(pairs.iter().copied());
    let mut fold = fold();
    fold.restore_open_span("s/1", "ann", &of(&both), span);
    assert_eq!(parts(&fold), [(100, 160, of(&both[..2]))], "`plan` is not configured");
    assert_eq!(fold.label_counts(None, "country", 1), CountsByLabel::default());
    fold.apply(&beat(200, "tab-1", 1));
    fold.apply(&beat(300, "tab-1", 0));
    let phone = of(&[("country", "NO"), ("device", "phone")]);
    assert_eq!(parts(&fold), [(100, 200, of(&both[..2])), (200, 300, phone.clone())]);
    fold.apply(&beat(150, "tab-2", 0));
    fold.apply(&beat(220, "tab-2", 0));
    let with_none = of(&[("country", ""), ("country", "NO"), ("country", "SE")]);
    let all = of(&[
        ("country", ""),
        ("country", "NO"),
        ("country", "SE"),
        ("device", ""),
        ("device", "phone"),
    ]);
    let expected =
        [(100, 150, of(&both[..2])), (150, 200, with_none), (200, 220, all), (220, 300, phone)];
    assert_eq!(parts(&fold), expected);
}

#[test]
fn label_values_max_stay_known_without_viewers() {
    let mut fold = fold();
    let values: Vec<String> = (0..LABEL_VALUES_MAX + 5).map(|n| n.to_string()).collect();
    for (n, value) in (0u64..).zip(&values) {
        let labels = SessionLabels::parse("country", value, 0).unwrap();
        fold.apply(&EventRef { labels, ..beat(1_000 * (n + 1), "tab-1", 0) });
        fold.advance(UnixMs(1_000 * (n + 1) + 500));
        fold.prune(0, 0..fold.places(), fold.now());
    }
    assert!(fold.is_empty());
    let room = |stage, key| fold.label_room(stage, key, "7");
    let known = LabelRoom { is_known: true, known: LABEL_VALUES_MAX };
    assert_eq!(room(Some("s/1"), "country"), known);
    let wrong = [(Some("s/1"), "device"), (Some("s"), "country"), (Some("s/1"), "zone")];
    for (stage, key) in wrong.into_iter().chain([(None, "country")]) {
        assert_eq!(room(stage, key), LabelRoom::default(), "{stage:?} {key}");
    }
}

#[test]
fn label_sets_of_a_viewer_are_those_of_its_sessions_on_the_stage() {
    let mut fold = fold();
    let room = |fold: &Fold, stage: &str, n: usize| {
        let padded = [("\u{1}"), ("NO\u{1}phone"), ("NO\u{1}tv"), ("SE\u{1}")][n];
        let labels = SessionLabels::parse("country\u{1}device", padded, 0).unwrap();
        let LabelRoom { is_known, known } = fold.label_set_room(stage, "ann", &labels);
        (is_known, known)
    };
    assert_eq!(room(&fold, "s/1", 1), (false, 0));
    fold.apply(&beat(100, "tab-1", 1));
    fold.apply(&beat(100, "tab-2", 1));
    fold.apply(&beat(100, "", 0));
    assert_eq!([room(&fold, "s/1", 1), room(&fold, "s/1", 2)], [(true, 1), (false, 1)]);
    fold.apply(&beat(100, "tab-3", 3));
    assert_eq!([room(&fold, "s/1", 1), room(&fold, "s/1", 3)], [(true, 2), (true, 2)]);
    assert_eq!(room(&fold, "s/2", 1), (false, 0));
}

/// A node may read beats by handle, and the beat before them with the ids is trimmed.
#[test]
fn labels_that_a_fold_has_not_read_are_not_known_to_be_missing() {
    let by_handle = |at| {
        let Ids { stage, viewer, session } = beat(0, "tab-1", 0).ids;
        RecordEntry::ByHandle { at: UnixMs(at), handle: Handle::of(KEY, stage, viewer, session) }
    };
    let leave = EventRef { kind: EventKind::Leave, ..beat(300, "tab-1", 0) };
    let parts = |last: EventRef<'static>| {
        let (mut fold, mut parts) = (fold(), Vec::new());
        let read = [by_handle(100), by_handle(200), RecordEntry::Full(last)];
        fold.apply_all(0, &read, UnixMs(300), |_| ());
        fold.for_each_proven(0, ALWAYS, |of| parts = of.parts.to_vec());
        parts
    };
    let span = Span::new(UnixMs(100), UnixMs(300));
    let unknown = LabelledSpan { span, labels: ViewerLabels::default(), is_known: false };
    assert_eq!(parts(leave), [unknown]);
    assert_eq!(parts(beat(300, "tab-1", 0)), [], "a beat with ids would have labels");
    let labels = labels(1, 250);
    let known = ViewerLabels::collect(labels.pairs());
    let expected = [LabelledSpan { span, labels: known, is_known: true }];
    assert_eq!(parts(EventRef { labels, ..leave }), expected);
    // Beside a session whose labels are known, the other has no say.
    let mut fold = fold();
    let read = [by_handle(100), by_handle(200), RecordEntry::Full(leave)];
    fold.apply_all(0, &read, UnixMs(300), |_| ());
    [beat(150, "tab-2", 3), beat(250, "tab-2", 0)].iter().for_each(|event| {
        fold.apply(event);
    });
    let mut found = Vec::new();
    fold.for_each_proven(0, ALWAYS, |of| found = of.parts.to_vec());
    let cut = |from, to| Span::new(UnixMs(from), UnixMs(to));
    let known = ViewerLabels::collect([("country", "SE")]);
    let unknown = |span| LabelledSpan { span, labels: ViewerLabels::default(), is_known: false };
    let expected = [
        unknown(cut(100, 150)),
        LabelledSpan { span: cut(150, 250), labels: known, is_known: true },
        unknown(cut(250, 300)),
    ];
    assert_eq!(found, expected);
}
