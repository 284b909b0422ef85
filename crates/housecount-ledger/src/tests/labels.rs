//! Compares chains of viewers with labels with sets of hours.
//!
//! Proof, windows and late time are whole hours, so that a naive set of hours is the oracle. A
//! window is a day. Keyframes are then a week apart, and the chains have several.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::*;
use housecount_core::fold::{LabelledSpan, ProvenSpans};
use housecount_core::labels::ViewerLabels;
use housecount_core::span::{Span, measure, normalize};
use housecount_core::time::UnixMs;

const HOUR_MS: u64 = 3_600_000;
const WINDOW_HOURS: u64 = 24;
const KEPT_HOURS: u64 = 40;
const WINDOWS: u64 = 20;
const BASE: u64 = 400_000;

/// Label sets that sessions have.
const SETS: [&[(&str, &str)]; 5] = [
    &[],
    &[("country", "NO"), ("device", "tv")],
    &[("country", "NO"), ("device", "phone")],
    &[("country", "SE"), ("device", "tv")],
    &[("device", "tv")],
];

/// A session: its viewer and stage, and its hours with the delay until a node knows them. Its label
/// set changes once a node has learned of an earlier beat.
#[derive(Clone, Debug)]
struct Session {
    viewer: usize,
    stage: usize,
    spans: Vec<(u64, u64, u64)>,
    set: usize,
    later_set: Option<(u64, usize)>,
}

fn session() -> impl Strategy<Value = Session> {
    let late = prop_oneof![4 => Just(0u64), 1 => 0..KEPT_HOURS];
    let span = (0..WINDOWS * WINDOW_HOURS, 1..90u64, late);
    let spans = proptest::collection::vec(span, 1..5);
    let later = proptest::option::weighted(0.2, (0..WINDOWS * WINDOW_HOURS, 0..SETS.len()));
    (0..3usize, 0..2usize, spans, 0..SETS.len(), later).prop_map(
        |(viewer, stage, spans, set, later_set)| Session { viewer, stage, spans, set, later_set },
    )
}

const VIEWERS: [&str; 3] = ["ann", "bob", "Zoë"];
const STAGES: [&str; 2] = ["s/1", "another"];

/// Label sets of the sessions that prove an hour, by viewer and stage.
type Hours = BTreeMap<(usize, usize), BTreeMap<u64, BTreeSet<usize>>>;

/// Hours that are proven before `now`, of those within `hours`.
fn proven(sessions: &[Session], now: u64, hours: std::ops::Range<u64>) -> Hours {
    let mut proven = Hours::new();
    for session in sessions {
        let later = session.later_set.filter(|(at, _)| *at < now);
        let set = later.map_or(session.set, |(_, set)| set);
        for (from, length, late) in &session.spans {
            for hour in
                (*from..from + length).filter(|hour| hour + late < now && hours.contains(hour))
            {
                let of = proven.entry((session.viewer, session.stage)).or_default();
                of.entry(hour).or_default().insert(set);
            }
        }
    }
    proven
}

fn labels(sets: &BTreeSet<usize>) -> ViewerLabels {
    let keys: BTreeSet<&str> =
        sets.iter().flat_map(|set| SETS[*set]).map(|(key, _)| *key).collect();
    ViewerLabels::collect(sets.iter().flat_map(|set| {
        keys.iter().filter_map(|key| {
            let value = SETS[*set].iter().find(|(known, _)| known == key).map(|(_, value)| *value);
            let is_missing_elsewhere = sets.len() > 1;
            value.or(is_missing_elsewhere.then_some("")).map(|value| (*key, value))
        })
    }))
}

fn at(hour: u64) -> UnixMs {
    UnixMs((BASE + hour) * HOUR_MS)
}

/// Returns the chunk of a window.
fn chunk(book: &Book, window: u64, sessions: &[Session]) -> Vec<u8> {
    let (from, to) = (window * WINDOW_HOURS, (window + 1) * WINDOW_HOURS);
    let span = Span::new(at(from), at(to));
    let mut draft = Draft::new(book, span, KEPT_HOURS * HOUR_MS, span.to);
    let within = draft.within();
    let first = (within.from.0 / HOUR_MS).saturating_sub(BASE);
    for ((viewer, stage), hours) in proven(sessions, to, first..to) {
        let hour = |hour: u64| Span::new(at(hour), at(hour + 1));
        let mut parts: Vec<LabelledSpan> = Vec::new();
        for (n, sets) in &hours {
            let (span, labels) = (hour(*n), labels(sets));
            match parts.last_mut().filter(|part| part.span.to == span.from && part.labels == labels)
            {
                Some(part) => part.span.to = span.to,
                None => parts.push(LabelledSpan { span, labels, is_known: true }),
            }
        }
        if parts.iter().all(|part| part.labels.is_none()) {
            parts.clear();
        }
        let mut spans: Vec<Span> = hours.keys().map(|n| hour(*n)).collect();
        normalize(&mut spans);
        let (stage, viewer) = (STAGES[stage], VIEWERS[viewer]);
        draft.add(ProvenSpans { stage, viewer, spans: &spans, parts: &parts });
    }
    draft.finish().encode()
}

/// Stage, viewer, and a key with its value; `None` for all that counts for the viewer.
type Owner = (String, String, Option<(&'static str, String)>);

/// Spans of a reader, by value of each key.
#[derive(Default)]
struct ReadSpans(BTreeMap<Owner, Vec<Span>>);

const KEYS: [&str; 2] = ["country", "device"];

impl SpanVisitor for ReadSpans {
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.0.entry((stage.to_string(), viewer.to_string(), None)).or_default().push(span);
    }

    fn owned_span_closed(&mut self, owner: &SpanOwner<'_>, span: Span) {
        if !owner.is_extra {
            self.span_closed(owner.stage, owner.viewer, span);
        }
        for key in KEYS {
            for value in owner.values(key) {
                let of = Some((key, value.to_string()));
                let who = (owner.stage.to_string(), owner.viewer.to_string(), of);
                self.0.entry(who).or_default().push(span);
            }
        }
    }

    fn owned_late_span(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.owned_span_closed(owner, span);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Each viewer's time, and its time by each value, is what was proven when it could still be
    /// written. No time is written twice.
    #[test]
    fn a_chain_has_each_value_s_time_once(sessions in proptest::collection::vec(session(), 1..9)) {
        let (mut book, mut read) = (Book::default(), ReadSpans::default());
        let (mut writer, mut keyframes) = (Book::default(), 0);
        let mut expected: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
        for window in 0..WINDOWS {
            let bytes = chunk(&writer, window, &sessions);
            let (chunk, link) = Chunk::decode(&bytes).unwrap();
            prop_assert_eq!(chunk.encode(), bytes);
            keyframes += usize::from(chunk.is_keyframe());
            book.apply(&chunk, link, &mut read).unwrap();
            writer.absorb(chunk, link, &mut ()).unwrap();
            let (from, to) = (window * WINDOW_HOURS, (window + 1) * WINDOW_HOURS);
            let kept = from.saturating_sub(KEPT_HOURS)..to;
            for ((viewer, stage), hours) in proven(&sessions, to, kept) {
                for (hour, sets) in hours {
                    let who = (STAGES[stage].to_string(), VIEWERS[viewer].to_string());
                    let labels = labels(&sets);
                    let of = KEYS.iter().flat_map(|key| {
                        labels.values(key).map(|value| Some((*key, value.to_string())))
                    });
                    for of in of.chain([None]) {
                        let (stage, viewer) = who.clone();
                        expected.entry((stage, viewer, of)).or_default().insert(hour);
                    }
                }
            }
        }
        book.close_all(&mut read);
        prop_assert!(keyframes >= 2, "the chain has keyframes");
        for (who, spans) in &mut read.0 {
            let sum: u64 = spans.iter().map(|span| span.ms()).sum();
            normalize(spans);
            prop_assert_eq!(sum, measure(spans), "{:?} has time twice", who);
        }
        let expected: BTreeMap<_, Vec<Span>> = expected.into_iter().map(|(who, hours)| {
            let span = |hour: &u64| Span::new(at(*hour), at(hour + 1));
            let mut spans: Vec<Span> = hours.iter().map(span).collect();
            normalize(&mut spans);
            (who, spans)
        }).collect();
        read.0.retain(|_, spans| !spans.is_empty());
        prop_assert_eq!(read.0, expected);
    }
}

/// Frozen bytes of two chunks with labels. One viewer has a phone. Another has a phone and a
/// television, whose time is partly late. See docs/FORMATS.md.
#[test]
fn version_2_is_frozen() {
    let session = |viewer, set, from, to, late| Session {
        viewer,
        stage: 0,
        spans: vec![(from, to - from, late)],
        set,
        later_set: None,
    };
    let sessions = [
        session(0, 2, 2, 60, 0),
        session(1, 2, 3, 40, 0),
        session(1, 1, 10, 30, 15),
        session(2, 0, 5, 7, 0),
    ];
    let mut book = Book::default();
    let mut hex = Vec::new();
    for window in 0..2 {
        let bytes = chunk(&book, window, &sessions);
        let (chunk, link) = Chunk::decode(&bytes).unwrap();
        book.apply(&chunk, link, &mut ()).unwrap();
        hex.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    assert_eq!(hex, FROZEN);
}

const FROZEN: [&str; 2] = [
    "028080c1b5f42980b8992900008088d54400000001000003000000000117636f756e747279024e4f016465766963\
     650270686f6e650000160001030703020304030400045a6fc3abba270aa0bb95ba17a0bbad855700dded7fee36\
     08380bb794",
    "0280b8dadef42980b8992980b8992980b89929380bb7948088d54400010300010001010100010221636f756e7472\
     79024e4f016465766963650270686f6e6501646576696365027476096465766963650274760000000001030003\
     626f62010000f0df32a9004624f1df3229feff0a01fbffff1f2fc061ae",
];

#[test]
fn labels_beyond_the_sets_are_an_error() {
    let mut book = Book::default();
    let sessions =
        [Session { viewer: 0, stage: 0, spans: vec![(0, 60, 0)], set: 1, later_set: None }];
    let first = chunk(&book, 0, &sessions);
    let (decoded, link) = Chunk::decode(&first).unwrap();
    book.apply(&decoded, link, &mut ()).unwrap();
    let mut lacking = Chunk::decode(&chunk(&book, 1, &sessions)).unwrap().0;
    lacking.known_label_sets += 1;
    let (lacking, link) = Chunk::decode(&lacking.encode()).unwrap();
    let error = book.apply(&lacking, link, &mut ()).unwrap_err();
    assert_eq!(error, ChunkError::Unknown { what: "label sets" });
}

/// A node that has read only a part of the log may not know the labels of time that is written.
#[test]
fn time_of_unknown_labels_is_added_once_and_without_labels() {
    let known = labels(&BTreeSet::from([1]));
    let window = |n: u64| Span::new(at(n * WINDOW_HOURS), at((n + 1) * WINDOW_HOURS));
    let (mut book, mut read) = (Book::default(), ReadSpans::default());
    let mut commit = |n: u64, parts: &[LabelledSpan]| {
        let mut spans: Vec<Span> = parts.iter().map(|part| part.span).collect();
        normalize(&mut spans);
        let mut draft = Draft::new(&book, window(n), KEPT_HOURS * HOUR_MS, window(n).to);
        draft.add(ProvenSpans { stage: "s", viewer: "ann", spans: &spans, parts });
        let bytes = draft.finish().encode();
        let (chunk, link) = Chunk::decode(&bytes).unwrap();
        book.absorb(chunk, link, &mut read).unwrap();
    };
    let first = Span::new(window(0).from, window(0).from.plus(2 * HOUR_MS));
    commit(0, &[LabelledSpan { span: first, labels: known.clone(), is_known: true }]);
    let both = Span::new(first.from, window(1).from.plus(HOUR_MS));
    commit(1, &[LabelledSpan { span: both, labels: ViewerLabels::default(), is_known: false }]);
    let hours = |value: Option<(&'static str, &str)>| {
        let of = value.map(|(key, value)| (key, value.to_string()));
        let spans = read.0.get(&("s".to_string(), "ann".to_string(), of)).cloned();
        spans.unwrap_or_default().iter().map(|span| span.ms()).sum::<u64>() / HOUR_MS
    };
    let total = (both.ms()) / HOUR_MS;
    let (key, value) = known.pairs().next().unwrap();
    let key = KEYS.into_iter().find(|known| *known == key).unwrap();
    assert_eq!(hours(None), total);
    assert_eq!(hours(Some((key, value))), 2);
    assert_eq!(hours(Some((key, ""))), total - 2, "only what was not written");
}
