//! Figures by label of drawn audiences, after real commits with faults. Each value's watch time is
//! that of a plain program over the events, and conserves by itself.

use std::collections::{BTreeMap, BTreeSet};

use housecount::export::{self, BillingRounding, CsvStyle, ExportFormat, ExportRequest};
use housecount_core::event::EventKind;
use housecount_core::limits::EXPORT_ROWS_MAX;
use housecount_core::span::{Span, measure, normalize};
use housecount_reports::filter::SpanFilter;
use housecount_reports::labelled::{LabelTotalsRequest, ValueReport};
use housecount_reports::read::{Sources, report, report_by, totals_by};
use housecount_reports::request::ReportRequest;
use housecount_server::calendar::PeriodUnit;
use housecount_test::timed_test;

use super::oracle::{Out, WINDOWS, audience, commit_all};
use crate::ledger::stage::{BASE, LABEL_KEYS, LoggedEvent, Stage, TTL_MS, WINDOW_MS};
use crate::support::crowd::Rng;

const AUDIENCES: u64 = 40;
/// Values of the labels that sessions have, in the order of their keys.
const VALUES: [&str; 5] = ["NO\u{1}tv", "NO\u{1}phone", "SE\u{1}tv", "\u{1}phone", "\u{1}"];

/// Labels of a session. About half of the viewers with two tabs have different ones in them.
fn labels_of(viewer: &str, session: &str) -> &'static str {
    let sum: usize = viewer.bytes().map(usize::from).sum();
    let is_second = session == "tab-1" && sum.is_multiple_of(2);
    VALUES[(sum + usize::from(is_second)) % VALUES.len()]
}

fn value_of(viewer: &str, session: &str, key: &str) -> &'static str {
    let place = LABEL_KEYS.iter().position(|known| *known == key).unwrap();
    labels_of(viewer, session).split('\u{1}').nth(place).unwrap()
}

/// Watch spans of each viewer and stage within a range, by value: the billing rule, word for word.
type Spans = BTreeMap<(String, String), Vec<Span>>;

fn proven(stage: &Stage, key: &str, value: &str, range: Span) -> Spans {
    let mut spans = Spans::new();
    for beat in stage.events.iter().filter(|event| event.kind == EventKind::Beat) {
        if value_of(&beat.viewer, &beat.session, key) != value {
            continue;
        }
        let same = stage.events.iter().filter(|event| {
            let of = |event: &LoggedEvent| {
                (event.stage.clone(), event.viewer.clone(), event.session.clone())
            };
            of(event) == of(beat) && event.at >= beat.at && event.at.since(beat.at) <= TTL_MS
        });
        let last = same.map(|event| event.at).max().unwrap_or(beat.at);
        let of = spans.entry((beat.stage.clone(), beat.viewer.clone())).or_default();
        of.extend(Span::new(beat.at, last).clip(range));
    }
    spans.values_mut().for_each(normalize);
    spans.retain(|_, spans| !spans.is_empty());
    spans
}

fn sum(spans: &Spans) -> u64 {
    spans.values().map(|spans| measure(spans)).sum()
}

async fn exported(stage: &Stage, key: &str, range: Span) -> BTreeMap<String, u64> {
    let out = Out::default();
    let request = ExportRequest {
        range,
        stage: None,
        by_customer: true,
        by_label: Some(key.to_string()),
        intervals: false,
        period: PeriodUnit::Month,
        zone: None,
        round: BillingRounding::None,
        format: ExportFormat::Csv(CsvStyle::Raw),
        rows_max: EXPORT_ROWS_MAX,
    };
    export::write(&stage.cold(), &request, Box::new(out.clone()), |_| ()).await.unwrap();
    let bytes = out.0.lock().clone();
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next().unwrap(),
        format!("customer,{key},month,stages,viewer_stages,watch_ms")
    );
    let mut sums = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.trim_end().split(',').collect();
        *sums.entry(cells[1].to_string()).or_default() += cells[5].parse::<u64>().unwrap();
    }
    sums
}

#[timed_test(flavor = "multi_thread")]
async fn each_value_s_figures_are_those_of_a_plain_program() {
    let (mut values, mut exceeded) = (0, 0);
    for seed in 0..AUDIENCES {
        let mut rng = Rng(seed);
        let stage = Stage::new(audience(&mut rng)).await.with_labels(labels_of);
        let stage = commit_all(&mut rng, stage).await;
        let whole = Span::new(BASE.aligned(WINDOW_MS), BASE.plus((WINDOWS + 1) * WINDOW_MS));
        let from = BASE.aligned(WINDOW_MS).plus(rng.below(WINDOWS * WINDOW_MS / 2));
        let drawn = Span::new(from, from.plus(1 + rng.below(WINDOWS * WINDOW_MS)));
        let sources = Sources { cold: stage.cold(), proofs: None, filter: SpanFilter::All };
        for (range, key) in
            [whole, drawn].into_iter().flat_map(|range| LABEL_KEYS.map(|key| (range, key)))
        {
            let known: BTreeSet<&str> =
                stage.events.iter().map(|e| value_of(&e.viewer, &e.session, key)).collect();
            let expected: BTreeMap<&str, Spans> = known
                .into_iter()
                .map(|value| (value, proven(&stage, key, value, range)))
                .filter(|(_, spans)| !spans.is_empty())
                .collect();
            let step_ms = 1_000 * (1 + rng.below(900));
            let request = LabelTotalsRequest {
                range,
                step_ms: Some(step_ms),
                key: key.to_string(),
                ..LabelTotalsRequest::default()
            };
            let totals = totals_by(&sources, &request).await.unwrap().value;
            let report_request =
                ReportRequest { range, step_ms, gap_ms: TTL_MS, ..ReportRequest::default() };
            let by = report_by(&sources, &report_request, key, 0, &mut |_| ()).await.unwrap().value;
            assert_eq!(totals.values.len(), expected.len(), "seed {seed}, {key}");
            assert_eq!(by.values.len(), expected.len(), "seed {seed}, {key}");
            for total in &totals.values {
                let value = total.value.as_deref().unwrap_or("");
                let spans = &expected[value];
                let viewers: BTreeSet<&str> = spans.keys().map(|(_, viewer)| &**viewer).collect();
                let found = (total.watch_ms, total.viewers);
                assert_eq!(found, (sum(spans), viewers.len() as u64), "seed {seed}, {key}={value}");
                let of_value = |row: &&ValueReport| row.value == total.value;
                let head = &by.values.iter().find(of_value).unwrap().head;
                assert_eq!(
                    (head.watch_ms, head.unique_viewers),
                    found,
                    "seed {seed}, {key}={value}"
                );
                // The integral of the history is the sum of the watch times.
                let integral: f64 = total
                    .history
                    .iter()
                    .flatten()
                    .zip(steps(range, step_ms))
                    .map(|(average, step)| average * step.ms() as f64)
                    .sum();
                assert!(
                    (integral - found.0 as f64).abs() < 1.0,
                    "seed {seed}, {key}={value}: {integral} {found:?}"
                );
                values += 1;
            }
            if range == whole {
                let expected: BTreeMap<String, u64> =
                    expected.iter().map(|(value, spans)| (value.to_string(), sum(spans))).collect();
                assert_eq!(exported(&stage, key, range).await, expected, "seed {seed}, {key}");
            }
            // The viewers' time does not depend on labels.
            let all = report(&sources, report_request, &mut |_| ()).await.unwrap().value.head;
            let sums: u64 = totals.values.iter().map(|total| total.watch_ms).sum();
            assert!(all.watch_ms <= sums, "seed {seed}");
            exceeded += usize::from(all.watch_ms < sums);
            let watched: u64 = stage.totals(range).await.values().sum();
            assert_eq!(all.watch_ms, watched, "seed {seed}");
        }
    }
    assert!(values > 300 && exceeded > 40, "{values} {exceeded}");
}

/// Steps of a range, aligned to the epoch.
fn steps(range: Span, step_ms: u64) -> impl Iterator<Item = Span> {
    let first = range.from.aligned(step_ms);
    let step = move |n: u64| Span::new(first.plus(n * step_ms), first.plus((n + 1) * step_ms));
    (0..).map(step).map_while(move |step| step.clip(range))
}

#[test]
fn sessions_have_all_kinds_of_labels() {
    let both = |n: u64| {
        (labels_of(&format!("viewer-{n}"), "tab-0"), labels_of(&format!("viewer-{n}"), "tab-1"))
    };
    assert!((0..15).any(|n| both(n).0 != both(n).1) && (0..15).any(|n| both(n).0 == both(n).1));
    let found: BTreeSet<&str> = (0..15).map(|n| both(n).0).collect();
    assert_eq!(found, BTreeSet::from(VALUES));
}
