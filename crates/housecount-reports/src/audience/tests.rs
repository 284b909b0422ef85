//! Compares reports with the plainest program for the same figures.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const MINUTE_MS: u64 = 60_000;
const GAP_MS: u64 = 120_000;
/// Its ends are among the drawn times.
const RANGE: Span = Span { from: UnixMs(3_610_000), to: UnixMs(7_210_000) };
const COHORT_MS: u64 = 10 * MINUTE_MS;
const BEFORE_MS: u64 = 40 * MINUTE_MS;
const STEP_MS: u64 = 7 * MINUTE_MS;

/// Disjoint spans by stage and viewer.
type Spans = BTreeMap<(String, String), Vec<Span>>;

/// Spans of a few viewers on two stages, in tens of seconds, around the range.
fn any_spans() -> impl Strategy<Value = Spans> {
    let span = (0u64..2, 0u64..9, 90u64..850, 1u64..120);
    proptest::collection::vec(span, 0..60).prop_map(|drawn| {
        let mut spans = Spans::new();
        for (stage, viewer, at, length) in drawn {
            let span = Span::new(UnixMs(at * 10_000), UnixMs((at + length) * 10_000));
            spans.entry((format!("s{stage}"), format!("v{viewer}"))).or_default().push(span);
        }
        spans.values_mut().for_each(housecount_core::span::normalize);
        spans
    })
}

/// The views of sorted spans.
fn views(spans: &[Span]) -> Vec<Span> {
    let mut views: Vec<Span> = Vec::new();
    for span in spans {
        match views.last_mut() {
            Some(view) if span.from.since(view.to) <= GAP_MS => view.to = span.to,
            _ => views.push(*span),
        }
    }
    views
}

fn sum_within(spans: &[Span], range: Span) -> u64 {
    spans.iter().filter_map(|span| span.clip(range)).map(Span::ms).sum()
}

/// Spans of the selected stage, or of all.
fn selected<'a>(
    spans: &'a Spans,
    stage: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a [Span])> {
    let is_selected = move |of: &str| stage.is_none_or(|stage| stage == of);
    let rows = spans.iter().filter(move |((of, _), _)| is_selected(of));
    rows.map(|((_, viewer), spans)| (&**viewer, &**spans))
}

fn expected_head(spans: &Spans, stage: Option<&str>) -> ReportHead {
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut before, mut head) = (BTreeSet::new(), ReportHead::default());
    let mut moments = BTreeSet::from([RANGE.from]);
    for (viewer, spans) in selected(spans, stage) {
        *times.entry(viewer).or_default() += sum_within(spans, RANGE);
        if sum_within(spans, Span::new(RANGE.from.minus(BEFORE_MS), RANGE.from)) > 0 {
            before.insert(viewer);
        }
        for view in views(spans).iter().filter(|view| view.clip(RANGE).is_some()) {
            head.views += 1;
            head.joins += u64::from(view.from >= RANGE.from);
            head.leaves += u64::from(view.to <= RANGE.to);
        }
        moments.extend(spans.iter().map(|span| span.from));
    }
    times.retain(|_, ms| *ms > 0);
    for at in moments.into_iter().filter(|at| RANGE.from <= *at && *at < RANGE.to) {
        let of =
            |spans: &[Span]| spans.iter().filter(|span| span.from <= at && at < span.to).count();
        let viewers = selected(spans, stage).map(|(_, spans)| of(spans) as u64).sum();
        if viewers > head.peak_viewers {
            (head.peak_viewers, head.peak_at) = (viewers, Some(at.0));
        }
    }
    let mut sorted: Vec<u64> = times.values().copied().collect();
    sorted.sort_unstable();
    let rank = |share: f64| {
        sorted
            .iter()
            .enumerate()
            .find(|(n, _)| (n + 1) as f64 >= share * sorted.len() as f64)
            .map_or(0, |(_, ms)| *ms)
    };
    head.unique_viewers = times.len() as u64;
    head.watch_ms = sorted.iter().sum();
    head.average_watch_ms = head.watch_ms as f64 / times.len().max(1) as f64;
    head.median_watch_ms = rank(0.5);
    head.p90_watch_ms = rank(0.9);
    head.average_viewers = head.watch_ms as f64 / RANGE.ms() as f64;
    let returning = times.keys().filter(|viewer| before.contains(*viewer)).count() as u64;
    head.returning_viewers = Some(returning);
    head.new_viewers = Some(head.unique_viewers - returning);
    head
}

fn first_moment(spans: &Spans, stage: &str) -> Option<UnixMs> {
    let all = selected(spans, Some(stage)).flat_map(|(_, spans)| spans);
    all.filter_map(|span| span.clip(RANGE)).map(|span| span.from).min()
}

/// Arrival and views of each member of the cohort.
fn members(spans: &Spans, stage: &str, started_at: UnixMs) -> Vec<(UnixMs, Vec<Span>)> {
    let of = |spans: &[Span]| {
        let views: Vec<Span> =
            views(spans).into_iter().filter(|view| view.clip(RANGE).is_some()).collect();
        let came_at = views.first()?.from;
        let came_after_ms = came_at.0.checked_sub(started_at.0)?;
        (came_after_ms < COHORT_MS).then_some((came_at, views))
    };
    selected(spans, Some(stage)).filter_map(|(_, spans)| of(spans)).collect()
}

/// Reports the spans as a chain of chunks does: window by window, spans that go on are closed where
/// they end.
fn tell(audience: &mut Audience, spans: &Spans, window_ms: u64) {
    let mut at = UnixMs(0);
    while at < UnixMs(12_000_000) {
        let window = Span::new(at, at.plus(window_ms));
        for ((stage, viewer), spans) in spans {
            for span in spans {
                if span.from >= window.from && span.from < window.to {
                    audience.span_opened(stage, viewer, span.from);
                }
                if span.to >= window.from && span.to < window.to {
                    audience.span_closed(stage, viewer, *span);
                }
            }
        }
        at = window.to;
        audience.advance(at);
    }
}

fn request(stage: Option<&str>) -> ReportRequest {
    ReportRequest {
        stage: stage.map(str::to_string),
        range: RANGE,
        step_ms: STEP_MS,
        cohort_ms: COHORT_MS,
        before_ms: Some(BEFORE_MS),
        gap_ms: GAP_MS,
    }
}

const ALL_KNOWN: UnixMs = UnixMs(u64::MAX / 2);

fn check_figures(spans: &Spans, window_ms: u64, stage: Option<&str>) {
    let started_at = stage.and_then(|stage| first_moment(spans, stage));
    let mut audience = Audience::new(request(stage), started_at, 1_000);
    tell(&mut audience, spans, window_ms);
    let report = audience.finish(ALL_KNOWN).unwrap();
    assert_eq!(report.head, expected_head(spans, stage));
    let mut tail = Audience::new(request(stage), started_at, 1_000);
    for ((stage, viewer), spans) in spans {
        spans.iter().rev().for_each(|span| tail.add_proven(stage, viewer, *span));
    }
    assert_eq!(tail.finish(ALL_KNOWN).unwrap(), report, "in any order");

    let steps = &report.steps;
    assert_eq!(steps.iter().map(|step| step.joins).sum::<u64>(), report.head.joins);
    assert_eq!(steps.iter().map(|step| step.leaves).sum::<u64>(), report.head.leaves);
    for step in steps {
        let from = UnixMs(step.at);
        let span = Span::new(from, from.aligned(STEP_MS).plus(STEP_MS).min(RANGE.to));
        let all = || selected(spans, stage).flat_map(|(_, spans)| views(spans));
        let in_step = |at: UnixMs| span.from <= at && at < span.to;
        assert_eq!(step.joins, all().filter(|view| in_step(view.from)).count() as u64);
        assert_eq!(step.leaves, all().filter(|view| in_step(view.to.minus(1))).count() as u64);
        let per_minute = step.joins as f64 * 60_000.0 / span.ms() as f64;
        assert_eq!(step.joins_per_minute, per_minute);
    }
    let in_classes: u64 = report.histogram.iter().map(|class| class.viewers).sum();
    assert_eq!(in_classes, report.head.unique_viewers);
}

fn check_retention(spans: &Spans, window_ms: u64, started_at: UnixMs) {
    let mut audience = Audience::new(request(Some("s0")), Some(started_at), 1_000);
    tell(&mut audience, spans, window_ms);
    let found = audience.finish(ALL_KNOWN).unwrap().retention.unwrap();
    let members = members(spans, "s0", started_at);
    assert_eq!(found.viewers, members.len() as u64);
    let is_watching =
        |views: &[Span], at: UnixMs| views.iter().any(|view| view.from <= at && at < view.to);
    for point in &found.after {
        let moment = |came_at: UnixMs| came_at.plus(point.after_ms);
        let known = || members.iter().filter(|(came_at, _)| moment(*came_at) < RANGE.to);
        let watching = known().filter(|(came_at, views)| is_watching(views, moment(*came_at)));
        assert_eq!(
            (point.viewers, point.watching),
            (known().count() as u64, watching.count() as u64)
        );
    }
    assert_eq!(found.minutes.len() as u64, RANGE.to.since(started_at).div_ceil(MINUTE_MS));
    for minute in &found.minutes {
        let span = Span::new(UnixMs(minute.at), UnixMs(minute.at + MINUTE_MS));
        let is_there = |views: &[Span]| views.iter().any(|view| view.clip(span).is_some());
        let watching = members.iter().filter(|(_, views)| is_there(views)).count();
        assert_eq!(minute.watching, watching as u64, "minute at {}", minute.at);
    }
}

proptest! {
    #[test]
    fn figures_are_those_of_the_plainest_program(
        spans in any_spans(), window_ms in 30_000u64..900_000,
    ) {
        check_figures(&spans, window_ms, Some("s0"));
        check_figures(&spans, window_ms, None);
    }

    #[test]
    fn retention_is_that_of_the_plainest_program(
        spans in any_spans(), window_ms in 30_000u64..900_000,
    ) {
        if let Some(started_at) = first_moment(&spans, "s0") {
            check_retention(&spans, window_ms, started_at);
        }
    }
}

/// A view that has just ended may go on, and is not a leave yet.
#[test]
fn a_leave_is_certain_after_the_gap() {
    let leaves = |known_to: UnixMs| {
        let mut audience = Audience::new(request(None), None, 10);
        let end = RANGE.from.plus(600_000);
        audience.add_proven("s", "v", Span::new(RANGE.from, end));
        let head = audience.finish(known_to).unwrap().head;
        (head.joins, head.leaves, head.views)
    };
    let end = RANGE.from.plus(600_000);
    assert_eq!(leaves(end.plus(GAP_MS)), (1, 0, 1));
    assert_eq!(leaves(end.plus(GAP_MS + 1)), (1, 1, 1));
}

#[test]
fn with_too_many_viewers_there_is_no_report() {
    let mut audience = Audience::new(request(None), None, 2);
    for viewer in ["a", "b", "a"] {
        audience.add_proven("s", viewer, RANGE);
    }
    assert!(!audience.is_full());
    audience.add_proven("s", "c", RANGE);
    assert!(audience.is_full() && audience.finish(UnixMs(0)).is_none());
}

/// A report of that many viewers is made, and one more is too many.
#[test]
fn report_viewers_max_is_reported() {
    use housecount_core::limits::REPORT_VIEWERS_MAX;
    let mut audience = Audience::new(request(None), None, REPORT_VIEWERS_MAX);
    for number in 0..REPORT_VIEWERS_MAX {
        audience.add_proven("s", &number.to_string(), RANGE);
    }
    assert!(!audience.is_full());
    audience.add_proven("s", "more", RANGE);
    assert!(audience.is_full());
}

#[test]
fn retention_minutes_max_bounds_the_minutes() {
    let range = Span::new(RANGE.from, RANGE.from.plus(3 * 1_440 * MINUTE_MS));
    let request = ReportRequest { range, ..request(Some("s")) };
    let mut audience = Audience::new(request, Some(range.from), 10);
    audience.add_proven("s", "v", range);
    let minutes = audience.finish(UnixMs(u64::MAX / 2)).unwrap().retention.unwrap().minutes;
    assert_eq!(minutes.len(), 1_440);
    assert!(minutes.iter().all(|minute| minute.watching == 1));
}
