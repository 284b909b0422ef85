//! Invariants that must hold at any moment and at the end of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_core::fold::{Count, Rules};
use housecount_core::span::{Span, measure};
use housecount_core::time::UnixMs;
use housecount_engine::WithStatus;
use housecount_engine::internals::EngineState;
use housecount_engine::internals::scan;
use housecount_ledger::watch::WatchFilter;
use housecount_reports::filter::SpanFilter;
use housecount_reports::labelled::{LabelTotalsRequest, ValueTotal};
use housecount_reports::read::{Sources, totals_by};
use housecount_reports::verify::verify;

use crate::nodes::POLL_MS;
use crate::oracle::presence::{Bounds, CountQuery, Online};
use crate::oracle::proof::{Proven, missing};
use crate::oracle::{LABEL_KEY, LABEL_VALUES};
use crate::plan::FaultKind;
use crate::world::World;
use crate::world::log::START_TIME;

/// Age at which a complete count must include an event of the log. A node calls a count complete if
/// it reached the log within `LOG_STALE_MS`, by reads of at most 500 ms each.
const SLACK_MS: u64 = 2_000 + 2 * 500 + POLL_MS + 500;

/// Figures of the checks, since a check that never applies would show nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckStats {
    /// Counts compared.
    pub counts: u64,
    /// Counts that a node called complete.
    pub complete: u64,
    /// Complete counts with only one right answer.
    pub exact: u64,
    /// Complete counts by label with only one right answer.
    pub labels: u64,
    /// Sums of watch time by label that were compared at the end.
    pub label_sums: u64,
    /// Rows of watch time compared at the end.
    pub rows: u64,
    /// Rows with only one right set of spans.
    pub rows_exact: u64,
    /// Watch time in the ledger at the end.
    pub watch_ms: u64,
    /// Heartbeats and leaves that had to be in the archive at the end.
    pub archived: u64,
    /// Versions of stage configurations at the end.
    pub versions: u64,
    /// Stored events of stages and counts at the end.
    pub stage_events: u64,
    /// Number of losses by a documented double fault.
    pub losses: u64,
}

/// Compares a node's counts with the oracle.
pub fn counts(
    world: &World,
    node: &EngineState,
    run: usize,
    rules: Rules,
    figures: &mut CheckStats,
) {
    let (now_ms, at) = (world.now_ms(), node.hub.now());
    // An incomplete count may be old, and may lack the leaves since.
    let status = node.hub.totals().status;
    let slack_ms = if status.complete { SLACK_MS } else { u64::MAX / 2 };
    // `as_of` is on the log's clock, which equals the simulation's unless a fault has set it. Beats
    // that are acknowledged early are not in any log yet.
    let is_set = world.plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::LogClock(_)));
    let is_promised = status.complete && !is_set && !world.plan.is_acknowledged_early;
    let as_of_ms = is_promised.then(|| status.as_of.since(START_TIME));
    let of_label = |stage: Option<&str>, label: Option<&str>| {
        let asked = CountQuery { stage, label, run, at, now_ms, slack_ms, as_of_ms };
        world.truth.lock().online(asked, rules)
    };
    let of = |stage: Option<&str>| of_label(stage, None);
    for number in 0..world.plan.stages {
        let stage = format!("stage-{number}");
        count(world, run, Some(&stage), node.hub.count(&stage), of(Some(&stage)), figures);
    }
    let WithStatus { value: (total, _), status } = node.hub.totals();
    count(world, run, None, WithStatus { value: total, status }, of(None), figures);
    if !world.plan.has_labels() {
        return;
    }
    // One stage at a time, by turns, and all together.
    let stage = format!("stage-{}", now_ms as usize / 1_000 % world.plan.stages);
    for stage in [Some(&*stage), None] {
        let WithStatus { value: counts, status } = node.hub.label_counts(stage, LABEL_KEY, 1);
        for label in LABEL_VALUES {
            let viewers =
                counts.values.iter().find(|(value, _)| value == label).map_or(0, |of| of.1);
            let may = of_label(stage, Some(label));
            // A node that still reads the log may know a session, and not its labels yet.
            let is_right = (may.least.viewers..=may.most.viewers).contains(&viewers);
            if status.complete && !is_right {
                world.violated(format!(
                    "run {run} counts {viewers} viewers with the label {label:?} on {stage:?} as of {}; \
                     expected from {:?} to {:?}",
                    status.as_of, may.least, may.most
                ));
            }
            figures.labels += u64::from(status.complete && may.least == may.most);
        }
    }
}

fn count(
    world: &World,
    run: usize,
    stage: Option<&str>,
    answer: WithStatus<Count>,
    may: Bounds,
    figures: &mut CheckStats,
) {
    let WithStatus { value: Count { viewers, sessions }, status } = answer;
    world.digest(|hasher, now_ms| hasher.count(now_ms, run, stage, answer));
    let holds = |least: fn(Online) -> u64, count: u64| {
        let is_high = count > least(may.most) && !status.recovering;
        let is_low = count < least(may.least) && status.complete;
        !is_high && !is_low
    };
    if !holds(|online| online.viewers, viewers) || !holds(|online| online.sessions, sessions) {
        let stage = stage.unwrap_or("all");
        world.violated(format!(
            "run {run} counts {viewers} viewers and {sessions} sessions on {stage} as of {}, complete {}; expected \
             from {:?} to {:?}",
            status.as_of, status.complete, may.least, may.most
        ));
    }
    figures.counts += 1;
    figures.complete += u64::from(status.complete);
    figures.exact += u64::from(status.complete && may.least == may.most);
}

/// Reads the ledger as a set of spans by stage and viewer.
///
/// # Errors
/// Returns the failed read's error, or a row whose `watch_ms` differs from its intervals.
pub async fn ledger(cold: &Arc<dyn Cold>) -> Result<Proven, String> {
    let wanted = WatchFilter { intervals: true, ..WatchFilter::default() };
    let range = Span::new(UnixMs::ZERO, UnixMs::MAX);
    let page = scan::committed_watch(cold, range, wanted, 100_000, &mut |_| ())
        .await
        .map_err(|e| e.to_string())?;
    let mut rows = Proven::new();
    for ((stage, viewer), watched) in page.rows {
        if measure(&watched.intervals) != watched.watch_ms {
            return Err(format!(
                "{viewer} on {stage}: {} ms are not the sum of {:?}",
                watched.watch_ms, watched.intervals
            ));
        }
        rows.insert((stage.to_string(), viewer.to_string()), watched.intervals);
    }
    Ok(rows)
}

/// Checks that `within` contains all spans of `of`.
///
/// # Errors
/// Returns the first span that `within` lacks.
pub fn is_within(what: &str, of: &Proven, within: &Proven) -> Result<(), String> {
    for (who, spans) in of {
        let there = within.get(who).map_or(&[][..], Vec::as_slice);
        if let Some(span) = missing(spans, there) {
            let (stage, viewer) = who;
            let near = there.iter().filter(|other| other.from <= span.to && other.to >= span.from);
            let near: Vec<String> =
                near.map(|other| format!("{} to {}", other.from, other.to)).collect();
            return Err(format!(
                "{what}: {viewer} on {stage}, from {} to {}; found {near:?}",
                span.from, span.to
            ));
        }
    }
    Ok(())
}

/// Checks the ledger at the end of a run. No proven time is missing, no other time is credited, and
/// `verify` finds no problem.
///
/// # Errors
/// Returns the first violation, or the failed read's error.
pub async fn ledger_in_the_end(
    world: &World,
    cold: &Arc<dyn Cold>,
    ttl_ms: u64,
    figures: &mut CheckStats,
) -> Result<Proven, String> {
    let (least, most) = {
        let truth = world.truth.lock();
        figures.losses = truth.lost_ms.len() as u64;
        (truth.least(ttl_ms), truth.most(ttl_ms))
    };
    let rows = ledger(cold).await?;
    is_within("proven but not credited", &least, &rows)?;
    is_within("credited but not proven", &rows, &most)?;
    labels_in_the_end(world, cold, ttl_ms, figures).await?;
    figures.rows = rows.len() as u64;
    figures.rows_exact = rows.keys().filter(|who| least.get(*who) == most.get(*who)).count() as u64;
    figures.watch_ms = rows.values().map(|spans| measure(spans)).sum();
    let range = Span::new(UnixMs::ZERO, world.committed_to());
    let found = verify(cold, range, None, |_| ()).await.map_err(|e| e.to_string())?;
    // After the log's clock was set, a node that was cut off has stamped by the old clock. After a
    // loss of everything hot, some times occur twice, and a snapshot is of one of them. (`counts`
    // compares the counts during the whole run.)
    let is_set = world.plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::LogClock(_)));
    let explained = |problem: &String| is_set && problem.contains("SNAPSHOT#");
    if let Some(problem) = found.problems.iter().find(|problem| !explained(problem)) {
        return Err(format!("verify: {problem}"));
    }
    let by_stage: BTreeMap<_, _> =
        found.stages.iter().map(|(stage, found)| (stage, found.watch_ms)).collect();
    let verified: u64 = by_stage.values().sum();
    if verified != figures.watch_ms
        || found.stages.values().any(|stage| stage.watch_ms != stage.integral_ms)
    {
        return Err(format!(
            "conservation: {} ms watched, {verified} ms verified",
            figures.watch_ms
        ));
    }
    Ok(rows)
}

/// Checks the watch time of each value of the label at the end of a run in which nothing was lost.
/// A loss may take labels with it.
async fn labels_in_the_end(
    world: &World,
    cold: &Arc<dyn Cold>,
    ttl_ms: u64,
    figures: &mut CheckStats,
) -> Result<(), String> {
    let is_whole = {
        let truth = world.truth.lock();
        truth.lost_ms.is_empty() && truth.emptied_ms().is_empty()
    };
    if !world.plan.has_labels() || !is_whole {
        return Ok(());
    }
    let sources = Sources { cold: cold.clone(), proofs: None, filter: SpanFilter::All };
    let asked = LabelTotalsRequest {
        range: Span::new(UnixMs::ZERO, world.committed_to()),
        step_ms: None,
        stage: None,
        key: LABEL_KEY.to_string(),
        floor: 1,
    };
    let found = totals_by(&sources, &asked).await.map_err(|e| e.to_string())?.value;
    for label in LABEL_VALUES {
        let is_it = |value: &&ValueTotal| value.value.as_deref().unwrap_or_default() == label;
        let watch_ms = found.values.iter().find(is_it).map_or(0, |value| value.watch_ms);
        let (least, most) = world.truth.lock().watch_ms_of_label(ttl_ms, label);
        if !(least..=most).contains(&watch_ms) {
            return Err(format!(
                "the label {label:?} has {watch_ms} ms of watch time; expected {least} to {most}"
            ));
        }
        figures.label_sums += u64::from(least > 0);
    }
    Ok(())
}
