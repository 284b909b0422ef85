//! Compares the chain of chunks with the set of events, and checks its frozen bytes.

mod changes;
mod labels;

use std::collections::BTreeMap;

use housecount_codec::bytes::{DecodeError, seal};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

use crate::*;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::{ApplyOutcome, Fold, Rules};
use housecount_core::span::{Span, measure, normalize};
use housecount_core::time::UnixMs;

const TTL_MS: u64 = 120;
const RULES: Rules = Rules { ttl_ms: TTL_MS, leave_grace_ms: 3 };
const WINDOW_MS: u64 = 50;
const LATENESS_MS: u64 = 300;
const KEPT_MS: u64 = LATENESS_MS + TTL_MS;
const REACH_MS: u64 = 70;
const BASE: u64 = 1_000_000;

type TestEvent = EventRef<'static>;
/// Spans by stage and viewer.
type Spans = BTreeMap<(String, String), Vec<Span>>;

/// A node that proves and commits.
struct Node {
    proof: Fold,
    book: Book,
}

impl Node {
    fn new() -> Node {
        Node { proof: Fold::new(RULES, 1, true), book: Book::default() }
    }

    fn fold_events(&mut self, sent: &[TestEvent]) {
        sent.iter().for_each(|event| {
            self.proof.apply(event);
        });
    }

    /// Returns the next chunk, from this node's state.
    fn chunk(&self, window: Span) -> Vec<u8> {
        let mut draft = Draft::new(&self.book, window, KEPT_MS, window.to.plus(REACH_MS));
        let within = draft.within();
        self.proof.for_each_proven(0, within, |proven| draft.add(proven));
        draft.finish().encode()
    }

    /// Applies the chunk that was written, and prunes what no event can reach any more.
    fn take(&mut self, chunk: &[u8]) {
        let (chunk, link) = Chunk::decode(chunk).unwrap();
        // A writer takes over a keyframe's names; readers copy them.
        self.book.absorb(chunk, link, &mut ()).unwrap();
        let floor = self.book.edge().minus(LATENESS_MS);
        self.proof.refuse_before(0, floor);
        self.proof.prune(0, 0..self.proof.places(), floor.minus(TTL_MS));
    }
}

/// Returns the spans that a reader finds in a chain. Checks that no span is reported twice.
fn read(chunks: &[Vec<u8>]) -> Spans {
    let named: Vec<_> =
        chunks.iter().map(|bytes| (bytes.clone(), Chunk::decode(bytes).unwrap().1)).collect();
    read_named(&named)
}

/// Reads chunks that the next chunks may know by another link than their own.
fn read_named(chunks: &[(Vec<u8>, Link)]) -> Spans {
    let (mut book, mut read_spans) = (Book::default(), ReadSpans::default());
    for (bytes, link) in chunks {
        let (chunk, link) = (Chunk::decode(bytes).unwrap().0, *link);
        assert_eq!(chunk.encode(), *bytes, "encoding again gives the same bytes");
        book.apply(&chunk, link, &mut read_spans).unwrap();
    }
    book.close_all(&mut read_spans);
    let ReadSpans { mut spans, ms } = read_spans;
    spans.values_mut().for_each(normalize);
    spans.retain(|_, set| !set.is_empty());
    assert_eq!(ms, spans.values().map(|set| measure(set)).sum::<u64>());
    spans
}

#[derive(Default)]
struct ReadSpans {
    spans: Spans,
    ms: u64,
}

impl SpanVisitor for ReadSpans {
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.ms += span.ms();
        self.spans.entry((stage.to_string(), viewer.to_string())).or_default().push(span);
    }
}

fn proven(sent: &[TestEvent], until: UnixMs) -> Spans {
    let mut proof = Fold::new(RULES, 1, true);
    sent.iter().for_each(|event| assert_ne!(proof.apply(event), ApplyOutcome::Uncredited));
    let mut spans = Spans::new();
    proof.for_each_proven(0, Span::new(UnixMs::ZERO, until), |p| {
        spans.insert((p.stage.to_string(), p.viewer.to_string()), p.spans.to_vec());
    });
    spans
}

const STAGES: [&str; 3] = ["s/1", "s/2", "another-stage"];
const VIEWERS: [&str; 6] = ["ann", "bob", "viewer-10", "viewer-11", "Zoë", "d"];
const SESSIONS: [&str; 2] = ["", "tab"];

/// Generates an event, and the delay until a node receives it.
fn session_events(length_ms: u64) -> impl Strategy<Value = (TestEvent, u64)> {
    let late = prop_oneof![8 => Just(0u64), 1 => 0..LATENESS_MS];
    ((0..length_ms, 0..6usize, 0..3usize, 0..6usize, 0..2usize), late).prop_map(
        |((at, kind, stage, viewer, session), late)| {
            let event = EventRef {
                labels: SessionLabels::NONE,
                at: UnixMs(BASE + at),
                kind: if kind == 0 { EventKind::Leave } else { EventKind::Beat },
                ids: Ids {
                    stage: STAGES[stage],
                    viewer: VIEWERS[viewer],
                    session: SESSIONS[session],
                },
            };
            (event, late)
        },
    )
}

fn windows(length_ms: u64) -> impl Iterator<Item = Span> {
    let count = (length_ms + LATENESS_MS).div_ceil(WINDOW_MS) + 4;
    (0..count).map(|n| Span::new(UnixMs(BASE + n * WINDOW_MS), UnixMs(BASE + (n + 1) * WINDOW_MS)))
}

/// Plays events to nodes. `turn` selects the node that writes a window's chunk; all nodes apply it.
fn play(
    sent: &[(TestEvent, u64)],
    length_ms: u64,
    nodes: usize,
    mut turn: impl FnMut(usize) -> usize,
) -> Vec<Vec<u8>> {
    let mut nodes: Vec<Node> = (0..nodes).map(|_| Node::new()).collect();
    let mut sent: Vec<&(TestEvent, u64)> = sent.iter().collect();
    sent.sort_by_key(|(event, late)| event.at.0 + late);
    let (mut folded, mut chunks) = (0, Vec::new());
    for (n, window) in windows(length_ms).enumerate() {
        let now = window.to.plus(TTL_MS).0;
        while let Some((event, _)) =
            sent.get(folded).filter(|(event, late)| event.at.0 + late <= now)
        {
            nodes.iter_mut().for_each(|node| node.fold_events(&[*event]));
            folded += 1;
        }
        let written = nodes[turn(n) % nodes.len()].chunk(window);
        nodes.iter_mut().for_each(|node| node.take(&written));
        chunks.push(written);
    }
    assert_eq!(folded, sent.len());
    chunks
}

/// Pseudonym of a forgotten viewer.
const PSEUDONYM: &str = "~AAAAAAAAAAAAAAAA";

/// Returns the chunks with a viewer renamed, on one stage or on all, and the links by which the
/// next chunks know them.
fn renamed(chunks: &[Vec<u8>], viewer: &str, stage: Option<&str>) -> Vec<(Vec<u8>, Link)> {
    let mut book = Book::default();
    let rename = |bytes: &Vec<u8>| {
        let (mut chunk, link) = Chunk::decode(bytes).unwrap();
        let places = book.names(&chunk, viewer, stage);
        book.apply(&chunk, link, &mut ()).unwrap();
        chunk.rename(&places, PSEUDONYM);
        (chunk.encode(), link)
    };
    chunks.iter().map(rename).collect()
}

fn is_named(bytes: &[u8], viewer: &str) -> bool {
    let chunk = Chunk::decode(bytes).unwrap().0;
    chunk.new.iter().any(|new| chunk.new.is(new, viewer))
}

proptest! {
    /// A renamed viewer has the same time, and no other viewer's time changes.
    #[test]
    fn a_renamed_viewer_keeps_its_time(
        sent in proptest::collection::vec(session_events(1_500), 1..200), who in 0..6usize, on in proptest::option::of(0..3usize),
    ) {
        let (viewer, on) = (VIEWERS[who], on.map(|on| STAGES[on]));
        let chunks = play(&sent, 1_500, 2, |n| n);
        let again = renamed(&chunks, viewer, on);
        let is_renamed = |stage: &str, of: &str| of == viewer && on.is_none_or(|on| on == stage);
        let expected: Spans = read(&chunks).into_iter().map(|((stage, of), spans)| {
            let of = if is_renamed(&stage, &of) { PSEUDONYM.to_string() } else { of };
            ((stage, of), spans)
        }).collect();
        prop_assert_eq!(read_named(&again), expected);
        prop_assert!(on.is_some() || again.iter().all(|(bytes, _)| !is_named(bytes, viewer)));
    }

    /// After a viewer was renamed, nodes that knew the old name continue like one that reads the
    /// renamed chain. The ledger must be `kept` beyond the viewer's last time. A viewer who comes
    /// back counts as a new one.
    #[test]
    fn nodes_go_on_after_a_viewer_was_renamed(
        sent in proptest::collection::vec(session_events(3_000), 1..300), who in 0..6usize, comes_back: bool, writes: [bool; 8],
    ) {
        let viewer = VIEWERS[who];
        let is_there = |at: UnixMs| at.0 < BASE + 400 || comes_back && at.0 >= BASE + 2_000;
        let is_kept = |event: &EventRef<'_>| event.ids.viewer != viewer || is_there(event.at);
        let mut sent: Vec<(TestEvent, u64)> =
            sent.into_iter().filter(|(event, _)| is_kept(event)).collect();
        sent.sort_by_key(|(event, late)| event.at.0 + late);
        let (mut old, mut new) = (Node::new(), Node::new());
        let mut chunks: Vec<(Vec<u8>, Link)> = Vec::new();
        let (mut folded, mut was) = (0, None);
        for (n, window) in windows(3_000).enumerate() {
            let first = folded;
            while sent.get(folded).is_some_and(|(event, late)| event.at.0 + late <= window.to.plus(TTL_MS).0) {
                folded += 1;
            }
            let now: Vec<TestEvent> = sent[first..folded].iter().map(|(event, _)| *event).collect();
            old.fold_events(&now);
            new.fold_events(&now);
            let bytes: Vec<Vec<u8>> = chunks.iter().map(|(bytes, _)| bytes.clone()).collect();
            let last = if was.is_some() { None } else { Some(read(&bytes)) }.map(|spans| {
                let of = spans.iter().filter(|((_, of), _)| of == viewer);
                of.flat_map(|(_, spans)| spans).map(|span| span.to).max().unwrap_or_default()
            });
            // Earlier events that are written only afterwards would belong to the new viewer, too.
            let is_written = sent[first..].iter().all(|(event, _)| event.ids.viewer != viewer || event.at.0 >= BASE + 2_000);
            if is_written && last.is_some_and(|last| n > 10 && last.plus(KEPT_MS) < old.book.edge()) {
                was = Some(n);
                chunks = renamed(&bytes, viewer, None);
                new.book = Book::default();
                for (bytes, link) in &chunks {
                    new.book.apply(&Chunk::decode(bytes).unwrap().0, *link, &mut ()).unwrap();
                }
            }
            let written = if writes[n % 8] { old.chunk(window) } else { new.chunk(window) };
            old.take(&written);
            new.take(&written);
            let link = Chunk::decode(&written).unwrap().1;
            chunks.push((written, link));
        }
        prop_assert!(was.is_some(), "the test has renamed a viewer");
        let events: Vec<TestEvent> = sent.iter().map(|(event, _)| *event).collect();
        let mut expected = Spans::new();
        for ((stage, of), spans) in proven(&events, UnixMs::MAX) {
            for span in spans {
                let is_forgotten = of == viewer && span.from.0 < BASE + 1_000;
                let of = if is_forgotten { PSEUDONYM.to_string() } else { of.clone() };
                expected.entry((stage.clone(), of)).or_default().push(span);
            }
        }
        prop_assert_eq!(read_named(&chunks), expected);
    }

    /// Every viewer's spans are those that the set of events proves, to the millisecond, whichever
    /// node commits.
    #[test]
    fn a_chain_says_what_was_proven(
        sent in proptest::collection::vec(session_events(1_500), 1..200), turns: u64,
    ) {
        let chunks = play(&sent, 1_500, 2, |n| (turns >> (n % 64) & 1) as usize);
        let events: Vec<TestEvent> = sent.iter().map(|(event, _)| *event).collect();
        prop_assert_eq!(read(&chunks), proven(&events, UnixMs::MAX));
    }

    /// A node that has only the latest events and the chain continues where the others stopped.
    #[test]
    fn a_node_that_starts_late_takes_over(sent in proptest::collection::vec(session_events(1_500), 1..200), at in 2usize..25) {
        let sent: Vec<(TestEvent, u64)> = sent.into_iter().map(|(event, _)| (event, 0)).collect();
        let chunks = play(&sent, 1_500, 1, |_| 0);
        let mut late = Node::new();
        chunks[..at].iter().for_each(|chunk| late.take(chunk));
        let from = late.book.edge().minus(TTL_MS);
        sent.iter().filter(|(event, _)| event.at >= from).for_each(|(event, _)| late.fold_events(&[*event]));
        let mut all: Vec<Vec<u8>> = chunks[..at].to_vec();
        for window in windows(1_500).skip(at) {
            all.push(late.chunk(window));
            late.take(all.last().unwrap());
        }
        prop_assert_eq!(read(&all), read(&chunks));
    }

    #[test]
    /// Only the chain is left. All open spans that it has were proven, and no such span is missing.
    #[test]
    fn what_goes_on_is_carried(sent in proptest::collection::vec(session_events(1_500), 1..200), at in 1usize..25) {
        let sent: Vec<(TestEvent, u64)> = sent.into_iter().map(|(event, _)| (event, 0)).collect();
        let chunks = play(&sent, 1_500, 1, |_| 0);
        let mut node = Node::new();
        chunks[..at].iter().for_each(|chunk| node.take(chunk));
        let edge = node.book.edge();
        // Events known when the chunk was written.
        let known: Vec<TestEvent> = sent.iter().map(|(event, _)| *event).filter(|e| e.at.0 <= edge.0 + TTL_MS).collect();
        let span = Span::new(edge, edge.plus(REACH_MS));
        let goes_on = |set: &[Span]| set.iter().any(|s| s.from < edge && s.to >= span.to);
        let expected: Vec<_> = proven(&known, UnixMs::MAX).into_iter().filter(|(_, set)| goes_on(set)).map(|(who, _)| who).collect();
        let mut carried: Vec<_> = node.book.open_spans().map(|(s, v, labels, of)| {
            assert!(labels.is_none());
            assert_eq!(of, span);
            (s.to_string(), v.to_string())
        }).collect();
        carried.sort();
        prop_assert_eq!(carried, expected);
    }

    #[test]
    fn any_bytes_are_an_error_or_a_chunk(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), version in 0..4u8) {
        if version > 0 {
            bytes.insert(0, version);
        }
        seal(&mut bytes);
        if let Ok((chunk, link)) = Chunk::decode(&bytes) {
            let _ = Book::default().apply(&chunk, link, &mut ());
        }
    }

    #[test]
    fn a_flipped_bit_is_found(sent in proptest::collection::vec(session_events(100), 1..40), bit: prop::sample::Index) {
        let chunks = play(&sent, 100, 1, |_| 0);
        let mut bytes = chunks[1].clone();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let is_found = matches!(Chunk::decode(&bytes), Err(DecodeError::Checksum { .. }));
        prop_assert!(is_found);
    }
}

/// Long enough for several keyframes, with a reader that starts at each.
#[test]
fn keyframes_restart_a_chain() {
    let length_ms = WINDOW_MS * u64::from(book::KEYFRAME_CHUNKS) * 5 / 2;
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut at = 0;
    let sent: Vec<(TestEvent, u64)> = (0..8_000)
        .map(|_| {
            at += rng.random_range(0..5);
            let pick = |rng: &mut TestRng, n: usize| rng.random_range(0..n);
            let event = EventRef {
                labels: SessionLabels::NONE,
                at: UnixMs(BASE + at % length_ms),
                kind: if pick(&mut rng, 9) == 0 { EventKind::Leave } else { EventKind::Beat },
                ids: Ids {
                    stage: STAGES[pick(&mut rng, 3)],
                    viewer: VIEWERS[pick(&mut rng, 6)],
                    session: SESSIONS[pick(&mut rng, 2)],
                },
            };
            (event, if pick(&mut rng, 20) == 0 { rng.random_range(0..LATENESS_MS) } else { 0 })
        })
        .collect();
    let chunks = play(&sent, length_ms, 2, |n| n);
    let events: Vec<TestEvent> = sent.iter().map(|(event, _)| *event).collect();
    let all = read(&chunks);
    assert_eq!(all, proven(&events, UnixMs::MAX));

    let is_keyframe = |bytes: &Vec<u8>| Chunk::decode(bytes).unwrap().0.is_keyframe();
    let keyframes: Vec<usize> = (0..chunks.len()).filter(|n| is_keyframe(&chunks[*n])).collect();
    assert!(keyframes.len() >= 3, "{keyframes:?}");
    for start in keyframes {
        let from = windows(length_ms).nth(start).unwrap().from;
        let here = |spans: &Spans| -> BTreeMap<_, u64> {
            let within = |set: &Vec<Span>| {
                set.iter().filter_map(|s| s.clip(Span::new(from, UnixMs::MAX))).map(Span::ms).sum()
            };
            spans
                .iter()
                .map(|(who, set)| (who.clone(), within(set)))
                .filter(|(_, ms)| *ms > 0)
                .collect()
        };
        // Late spans of windows before the keyframe are in chunks after it. They are reported, and
        // clipped away here.
        assert_eq!(here(&read(&chunks[start..])), here(&all));
    }
}

#[test]
fn a_removed_or_replaced_chunk_is_noticed() {
    let beat = |at| {
        (
            EventRef {
                labels: SessionLabels::NONE,
                at: UnixMs(BASE + at),
                kind: EventKind::Beat,
                ids: Ids { stage: "s/1", viewer: "ann", session: "" },
            },
            0,
        )
    };
    let sent: Vec<(TestEvent, u64)> = (0..10).map(|n| beat(n * 40)).collect();
    let chunks = play(&sent, 400, 1, |_| 0);
    let mut book = Book::default();
    let mut apply = |n: usize| {
        let (chunk, link) = Chunk::decode(&chunks[n]).unwrap();
        book.apply(&chunk, link, &mut ())
    };
    assert!(
        matches!(apply(1), Err(ChunkError::BrokenLink { found: None, .. })),
        "the first chunk must be a keyframe"
    );
    apply(0).unwrap();
    apply(1).unwrap();
    assert!(
        matches!(apply(1), Err(ChunkError::BrokenLink { .. })),
        "a chunk can't be applied twice"
    );
    let error = apply(3).unwrap_err();
    assert!(matches!(error, ChunkError::BrokenLink { .. }), "the chunk between them is missing");
    assert!(error.to_string().contains("one is missing or was replaced"), "{error}");
    apply(2).unwrap();
    assert_eq!(book.open(), 1);
}

/// Frozen bytes: chunks of any version must stay readable forever. docs/FORMATS.md explains them
/// bit by bit.
#[test]
fn version_1_is_frozen() {
    let event = |at, kind, viewer, session| EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind,
        ids: Ids { stage: "s/1", viewer, session },
    };
    let window = |n: u64| Span::new(UnixMs(1_000_000 + n * 1_000), UnixMs(1_001_000 + n * 1_000));
    let mut node = Node::new();
    let mut sent: Vec<TestEvent> =
        (0..=20).map(|n| event(1_000_100 + n * 100, EventKind::Beat, "ann", "")).collect();
    sent.extend((0..=4).map(|n| event(1_000_250 + n * 100, EventKind::Beat, "bob", "tab")));
    sent.push(event(1_000_700, EventKind::Leave, "bob", "tab"));
    sent.extend((0..=9).map(|n| event(1_001_300 + n * 100, EventKind::Beat, "bob", "")));
    node.fold_events(&sent);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();

    let first = node.chunk(window(0));
    node.take(&first);
    // A late beat, whose player was cut off for a while, proves 60 ms of the window before.
    node.fold_events(&[
        event(1_000_760, EventKind::Beat, "bob", "tab"),
        event(1_000_820, EventKind::Leave, "bob", "tab"),
    ]);
    let second = node.chunk(window(1));
    assert_eq!(
        hex(&first),
        "01c0843de8070000a40346000001000002000000000006000103070301030403ba278aa4ee9d552d0b2f84b0fd4d"
    );
    assert_eq!(
        hex(&second),
        "01a88c3de807e807e80784b0fd4da40346010200000100000100000000004471f81d22593fd6"
    );
}
