//! Tests of the filter: a fold behind it gets what it would get from spans that were cut before.

use housecount_ledger::curve::Curve;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const RANGE: Span = Span { from: UnixMs(0), to: UnixMs(120) };

fn span(from: u64, to: u64) -> Span {
    Span::new(UnixMs(from), UnixMs(to))
}

/// A curve, which fails on a change of what it has computed, and all spans as they came.
#[derive(Debug, Default)]
struct Recorder {
    curve: Curve,
    open: HashMap<(String, String), UnixMs>,
    spans: Vec<(String, String, Span)>,
}

impl Recorder {
    fn new() -> Recorder {
        Recorder { curve: Curve::new(RANGE, 7, None), ..Recorder::default() }
    }

    fn whole(&mut self, stage: &str, viewer: &str, span: Span) {
        self.curve.add(stage, span);
        self.spans.push((stage.to_string(), viewer.to_string(), span));
    }
}

/// A viewer's id and its labels, as one text.
fn id(owner: &SpanOwner<'_>) -> String {
    format!("{}{}", owner.viewer, owner.labels.as_str())
}

impl SpanVisitor for Recorder {
    fn owned_span_opened(&mut self, owner: &SpanOwner<'_>, at: UnixMs) {
        self.span_opened(owner.stage, &id(owner), at);
    }

    fn owned_span_closed(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.span_closed(owner.stage, &id(owner), span);
    }

    fn owned_late_span(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.late_span(owner.stage, &id(owner), span);
    }

    fn span_opened(&mut self, stage: &str, viewer: &str, at: UnixMs) {
        self.curve.span_opened(stage, viewer, at);
        let before = self.open.insert((stage.to_string(), viewer.to_string()), at);
        assert_eq!(before, None, "opened twice");
    }

    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        let of = (stage.to_string(), viewer.to_string());
        assert_eq!(self.open.remove(&of), Some(span.from), "not opened there");
        self.curve.span_closed(stage, viewer, span);
        self.spans.push((of.0, of.1, span));
    }

    fn late_span(&mut self, stage: &str, viewer: &str, span: Span) {
        self.whole(stage, viewer, span);
    }
}

impl RangeFold for Recorder {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.whole(stage, viewer, span);
    }

    fn advance(&mut self, to: UnixMs) {
        self.curve.advance(to);
    }
}

/// Times of a stage from the lengths of its parts: outside and inside by turns.
fn times(lengths: &[u64], is_endless: bool) -> Vec<Span> {
    let (mut at, mut times) = (0, Vec::new());
    for pair in lengths.chunks_exact(2) {
        times.push(span(at + pair[0], at + pair[0] + pair[1]));
        at += pair[0] + pair[1] + 1;
    }
    if let Some(last) = times.last_mut().filter(|_| is_endless) {
        last.to = UnixMs::MAX;
    }
    times
}

proptest! {
    /// Spans come as a scan reports them: opened, closed, some late, and with advances in between.
    #[test]
    fn a_fold_gets_the_spans_as_if_they_were_cut_before(
        lengths in vec(vec(1u64..25, 0..7), 3),
        is_endless: bool,
        seats in vec((0usize..4, 0u64..110, vec((0u64..9, 0u64..40), 1..4)), 0..9),
        advances in proptest::collection::btree_set(0u64..140, 0..9),
    ) {
        let all: StageTimes = lengths.iter().enumerate().map(|(n, lengths)| {
            (format!("s{n}").into(), times(lengths, is_endless))
        }).collect();
        let mut events: Vec<(u64, u8, usize, Span, usize)> = Vec::new();
        for (seat, (_, from, parts)) in seats.iter().enumerate() {
            let mut at = *from;
            for (n, (gap, ms)) in parts.iter().enumerate() {
                // Parts of a viewer touch where its labels change.
                at += gap;
                let whole = span(at, at + ms);
                at += ms;
                if (seat + n) % 4 == 3 {
                    events.push((whole.from.0, 1, seat, whole, n % 2));
                } else {
                    events.push((whole.from.0, 0, seat, whole, n % 2));
                    events.push((whole.to.0, 2, seat, whole, n % 2));
                }
            }
        }
        events.extend(advances.iter().map(|at| (*at, 3, 0, span(*at, *at), 0)));
        // At one moment, a span may open before the one before it closes. An advance comes first:
        // it only says what was before.
        events.sort_by_key(|(at, kind, ..)| (*at, if *kind == 3 { 0 } else { *kind + 1 }));
        let mut filtered =
            FilteredFold::new(Recorder::new(), SpanFilter::Times(Arc::new(all.clone())));
        let mut expected = Recorder::new();
        let labels = ["tv", "phone"].map(|value| ViewerLabels::collect([("device", value)]));
        for (at, kind, seat, whole, of) in events {
            let (stage, viewer) = match seats.get(seat) {
                Some((stage, ..)) => (format!("s{stage}"), format!("v{seat}")),
                None => (String::new(), String::new()),
            };
            let labels = &labels[of];
            let owner = SpanOwner { stage: &stage, viewer: &viewer, labels, is_extra: false };
            match kind {
                0 => filtered.owned_span_opened(&owner, whole.from),
                1 => filtered.owned_late_span(&owner, whole),
                2 => filtered.owned_span_closed(&owner, whole),
                _ => filtered.advance(UnixMs(at)),
            }
            if kind == 1 || kind == 2 {
                for time in all.get(&*stage).into_iter().flatten() {
                    if let Some(part) = whole.clip(*time) {
                        expected.owned_late_span(&owner, part);
                    }
                }
            }
        }
        prop_assert!(filtered.open.len() <= seats.len());
        let mut found = filtered.into_inner();
        prop_assert!(found.open.is_empty());
        found.spans.retain(|(.., span)| !span.is_empty());
        found.spans.sort();
        expected.spans.sort();
        prop_assert_eq!(found.spans, expected.spans);
        prop_assert_eq!(found.curve.finish(), expected.curve.finish());
    }
}

#[test]
fn ids_pass_whole_spans_and_nothing_of_other_stages() {
    let rule: IdRule = Arc::new(|stage| stage.starts_with("a"));
    let mut fold = FilteredFold::new(Recorder::new(), SpanFilter::Ids(rule));
    let labels = ViewerLabels::default();
    for stage in ["a1", "b1"] {
        let owner = |viewer| SpanOwner { stage, viewer, labels: &labels, is_extra: false };
        fold.owned_span_opened(&owner("ann"), UnixMs(5));
        fold.advance(UnixMs(50));
        fold.owned_span_closed(&owner("ann"), span(5, 60));
        fold.owned_late_span(&owner("bob"), span(51, 55));
        fold.add_owned_proven(&owner("cid"), span(60, 70));
    }
    assert!(fold.open.is_empty());
    let found: Vec<_> = fold.into_inner().spans.into_iter().map(|(stage, ..)| stage).collect();
    assert_eq!(found, ["a1", "a1", "a1"]);
}
