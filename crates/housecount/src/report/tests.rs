//! Every format of one report.

use housecount_reports::distribution::Distribution;
use housecount_reports::figures::{ReportHead, ReportStep, Retention, RetentionPoint};

use super::*;
use housecount_reports::labelled::ValueReport;

const FROM: u64 = 1_790_000_000_000;
const HOUR_MS: u64 = 3_600_000;

fn document(stage: &str) -> ReportDocument {
    let head = ReportHead {
        unique_viewers: 3,
        watch_ms: 2 * HOUR_MS,
        average_watch_ms: 2.0 * HOUR_MS as f64 / 3.0,
        median_watch_ms: 30 * 60_000,
        p90_watch_ms: HOUR_MS,
        peak_viewers: 2,
        peak_at: Some(FROM + 61_000),
        average_viewers: 2.0,
        joins: 3,
        leaves: 1,
        views: 4,
        returning_viewers: Some(1),
        new_viewers: Some(2),
    };
    let step = |n: u64, joins| ReportStep {
        at: FROM + n * HOUR_MS / 2,
        avg: 2.0,
        min: 1,
        max: 2,
        joins,
        leaves: 0,
        joins_per_minute: joins as f64 / 30.0,
        leaves_per_minute: 0.0,
    };
    let point = RetentionPoint { after_ms: 60_000, viewers: 3, watching: 2, share: 2.0 / 3.0 };
    let retention = Retention {
        started_at: FROM,
        cohort_ms: 600_000,
        viewers: 3,
        after: vec![point],
        minutes: Vec::new(),
    };
    let times = vec![30 * 60_000, 30 * 60_000, HOUR_MS];
    let report = Report {
        head,
        step_ms: HOUR_MS / 2,
        steps: vec![step(0, 3), step(1, 0)],
        histogram: Distribution::of(times).histogram,
        retention: Some(retention),
    };
    let values = [(Some("<NO>"), 2), (None, 1)].map(|(value, unique_viewers)| ValueReport {
        value: value.map(str::to_string),
        head: ReportHead { unique_viewers, watch_ms: HOUR_MS, ..report.head.clone() },
    });
    let by = LabelReport { key: "country".into(), values: values.to_vec(), below_floor: None };
    ReportDocument {
        stage: Some(stage.to_string()),
        by: Some(by),
        report,
        from: FROM,
        to: FROM + HOUR_MS,
        committed_to: FROM + HOUR_MS,
        complete: true,
        ttl_ms: 120_000,
    }
}

fn berlin() -> Zone {
    Zone::parse("Europe/Berlin").unwrap()
}

#[test]
fn every_format_has_the_figures() {
    for format in [ReportFormat::Text, ReportFormat::Markdown, ReportFormat::Html] {
        let text = document("match-1").render(format, &berlin());
        for part in [
            "match-1",
            "2026-09-21 16:13:20 +02:00",
            "Final: all of it is in the ledger.",
            "2026-09-21 16:14:21 +02:00",
            "40m 0s",
            "1h 0m 0s",
            "66.7 %",
            "30 min to 1 h",
            "Returning viewers",
            "By country",
            "not set",
        ] {
            assert!(text.contains(part), "{format:?} lacks {part:?}:\n{text}");
        }
    }
}

#[test]
fn json_is_the_answer_of_the_api() {
    let text = document("match-1").render(ReportFormat::Json, &Zone::utc());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["stage"], "match-1");
    assert_eq!((&json["uniqueViewers"], &json["newViewers"]), (&3.into(), &2.into()));
    assert_eq!(json["steps"][0]["joinsPerMinute"], 0.1);
    assert_eq!(json["by"]["values"][0]["uniqueViewers"], 2);
    assert_eq!(json["by"]["values"][1]["value"], serde_json::Value::Null);
    assert_eq!(json["retention"]["after"][0]["watching"], 2);
    assert_eq!((&json["committedTo"], &json["complete"]), (&(FROM + HOUR_MS).into(), &true.into()));
}

/// The name of a stage comes from outside, and a page must not run it.
#[test]
fn a_stages_name_is_only_text() {
    let name = "<script>alert(1)</script>&\"|*_";
    let page = document(name).render(ReportFormat::Html, &Zone::utc());
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;NO&gt;"), "a value of a label is text, too");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;|*_"));
    let markdown = document(name).render(ReportFormat::Markdown, &Zone::utc());
    assert!(markdown.starts_with("# \\<script\\>alert\\(1\\)\\<"), "{markdown}");
}

#[test]
fn an_empty_report_is_one_too() {
    let mut of = document("s");
    of.report = Report { step_ms: 60_000, ..Report::default() };
    of.complete = false;
    of.committed_to = FROM + 60_000;
    for format in [ReportFormat::Text, ReportFormat::Markdown, ReportFormat::Html] {
        let text = of.render(format, &Zone::utc());
        assert!(text.contains("In the ledger up to 2026-09-21 14:14:20 +00:00."), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}

#[test]
fn numbers_are_easy_to_read() {
    assert_eq!(
        [0, 12, 999, 1_000, 444_610, 1_234_567].map(facts::number),
        ["0", "12", "999", "1,000", "444,610", "1,234,567"]
    );
    assert_eq!([600_000, 90_000].map(facts::minutes), ["10 min", "1m 30s"]);
}
