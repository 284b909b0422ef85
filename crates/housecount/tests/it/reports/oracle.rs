//! Drawn audiences, real commits with faults, real exports: every figure of a report is that of the
//! plain program over the exported rows.

use std::io::Write;
use std::sync::Arc;

use housecount::export::{self, BillingRounding, CsvStyle, ExportFormat, ExportRequest};
use housecount_core::event::EventKind;
use housecount_core::limits::EXPORT_ROWS_MAX;
use housecount_core::span::Span;
use housecount_reports::filter::SpanFilter;
use housecount_reports::read::{Sources, report};
use housecount_reports::request::ReportRequest;
use housecount_server::calendar::PeriodUnit;
use housecount_test::timed_test;
use parking_lot::Mutex;

use super::plain::{self, Asked};
use crate::ledger::stage::{BASE, LoggedEvent, MINUTE_MS, Stage, TTL_MS, WINDOW_MS};
use crate::support::crowd::Rng;

pub(super) const WINDOWS: u64 = 14;
const AUDIENCES: u64 = 300;

/// A writer that keeps what is written to it.
#[derive(Clone, Default)]
pub(super) struct Out(pub(super) Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Viewers who come and go, with several tabs, reloads, pauses and late beats.
pub(super) fn audience(rng: &mut Rng) -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    let end = BASE.aligned(WINDOW_MS).plus(WINDOWS * WINDOW_MS);
    for viewer in 0..3 + rng.below(12) {
        let stage = format!("stage-{}", rng.below(2));
        for tab in 0..1 + rng.below(2) {
            let mut at = BASE.aligned(WINDOW_MS).plus(rng.below(WINDOWS * WINDOW_MS));
            let until = at.plus(rng.below(WINDOWS * WINDOW_MS)).min(end);
            let mut say = |at, late_ms, kind| {
                let (stage, session) = (stage.clone(), format!("tab-{tab}"));
                let viewer = format!("viewer-{viewer}");
                events.push(LoggedEvent {
                    at,
                    logged: at.plus(late_ms),
                    kind,
                    stage,
                    viewer,
                    session,
                });
            };
            while at < until {
                // Some beats reach the log late, while the node or the log was away.
                let late_ms = if rng.below(20) == 0 { rng.below(8 * MINUTE_MS) } else { 10 };
                say(at, late_ms, EventKind::Beat);
                at = at.plus(match rng.below(25) {
                    0 => TTL_MS + rng.below(3 * TTL_MS),
                    1 => {
                        let left = at.plus(rng.below(30_000));
                        say(left, 10, EventKind::Leave);
                        left.since(at) + 1 + rng.below(2 * TTL_MS)
                    }
                    _ => 30_000,
                });
            }
        }
    }
    events
}

/// Commits all windows. Some calls of the cold tier fail, and another node takes over then.
async fn committed(rng: &mut Rng) -> Stage {
    let stage = Stage::new(audience(rng)).await;
    commit_all(rng, stage).await
}

/// Commits all windows of a stage, as [`committed`] does.
pub(super) async fn commit_all(rng: &mut Rng, stage: Stage) -> Stage {
    let mut node = stage.node().await;
    for n in 0..=WINDOWS + 2 {
        let now = BASE.aligned(WINDOW_MS).plus((n + 1) * WINDOW_MS + TTL_MS + 1_000);
        if rng.below(4) == 0 {
            stage.cold.fail(rng.below(6) as i64, rng.below(2) == 0);
        }
        stage.hear(&mut node, now).await;
        if node.commit(now).await.is_err() {
            node = stage.node().await;
            stage.hear(&mut node, now).await;
        }
        stage.cold.fail(-1, false);
        node.commit(now).await.unwrap();
    }
    stage
}

async fn intervals(stage: &Stage) -> Vec<plain::Interval> {
    let out = Out::default();
    let from = BASE.aligned(WINDOW_MS).minus(24 * 60 * MINUTE_MS);
    let request = ExportRequest {
        range: Span::new(from, from.plus(3 * 24 * 60 * MINUTE_MS)),
        stage: None,
        by_customer: false,
        by_label: None,
        intervals: true,
        period: PeriodUnit::Month,
        zone: None,
        round: BillingRounding::None,
        format: ExportFormat::Csv(CsvStyle::Raw),
        rows_max: EXPORT_ROWS_MAX,
    };
    export::write(&stage.cold(), &request, Box::new(out.clone()), |_| ()).await.unwrap();
    let bytes = out.0.lock().clone();
    plain::parse(&String::from_utf8(bytes).unwrap())
}

#[timed_test(flavor = "multi_thread")]
async fn every_figure_is_that_of_a_plain_program_over_the_export() {
    let (mut viewers, mut late, mut moves) = (0, 0, 0);
    for seed in 0..AUDIENCES {
        let mut rng = Rng(seed);
        let stage = committed(&mut rng).await;
        late += stage.events.iter().filter(|event| event.logged.since(event.at) > TTL_MS).count();
        let intervals = intervals(&stage).await;
        let from = BASE.aligned(WINDOW_MS).plus(rng.below(WINDOWS * WINDOW_MS / 2));
        let range = Span::new(from, from.plus(1 + rng.below(WINDOWS * WINDOW_MS)));
        for name in [None, Some("stage-0")] {
            let asked = ReportRequest {
                stage: name.map(str::to_string),
                range,
                step_ms: 1_000 * (1 + rng.below(900)),
                cohort_ms: 1_000 * (1 + rng.below(1_800)),
                before_ms: Some(1 + rng.below(30 * MINUTE_MS)),
                gap_ms: TTL_MS,
            };
            let sources = Sources { cold: stage.cold(), proofs: None, filter: SpanFilter::All };
            let found = report(&sources, asked.clone(), &mut |_| ()).await.unwrap();
            let expected = plain::report(
                &intervals,
                &Asked {
                    stage: name,
                    from: range.from.0,
                    to: range.to.0,
                    step_ms: asked.step_ms,
                    cohort_ms: asked.cohort_ms,
                    before_ms: asked.before_ms.unwrap(),
                    ttl_ms: TTL_MS,
                    known_to: found.committed_to.0,
                },
            );
            let found = serde_json::to_value(&found.value).unwrap();
            assert_eq!(found, expected, "seed {seed}, {name:?}, {asked:?}");
            viewers += expected["uniqueViewers"].as_u64().unwrap();
            moves += expected["leaves"].as_u64().unwrap();
        }
    }
    assert!(viewers > 2_000 && moves > 1_000 && late > 500, "{viewers} {moves} {late}");
}
