//! Amazon IVS's own figures beside the ledger's, with their difference by stage and step.
//!
//! CloudWatch has IVS's number of subscribers of a stage; the ledger has the viewers who watched
//! it. Neither proves the other. IVS counts participants: also those whose player never called
//! housecount, and a viewer with two tabs twice. The ledger counts viewers, and never the silence
//! after a last heartbeat. A large difference needs a check; most often a front-end does not call
//! housecount.

#[cfg_attr(not(feature = "ivs"), path = "../without/cloudwatch.rs")]
mod cloudwatch;
mod counts;

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_core::limits::RECONCILE_POINTS_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan;
use housecount_engine::internals::scan::Scan;
use housecount_ledger::SpanVisitor;
use housecount_ledger::curve::Curve;

pub use self::counts::{CloudWatchCounts, CloudWatchSource, period_ms_min};

/// ARN of an IVS real-time stage: `arn:aws:ivs:REGION:ACCOUNT:stage/ID` (Amazon IVS Real-Time API
/// reference, 2026-10).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageArn {
    /// The whole ARN, which is the stage's id in housecount.
    pub arn: String,
    /// Region of the stage.
    pub region: String,
    /// Last part of the ARN, which is CloudWatch's name of the stage.
    pub id: String,
}

impl StageArn {
    /// Parses an ARN. Returns `None` for any other text.
    #[must_use]
    pub fn parse(arn: &str) -> Option<StageArn> {
        let mut parts = arn.splitn(6, ':');
        let is_arn = parts.next() == Some("arn")
            && parts.next()?.starts_with("aws")
            && parts.next()? == "ivs";
        let (region, _account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let id = resource.strip_prefix("stage/")?;
        let is_whole = is_arn && !region.is_empty() && !id.is_empty() && !id.contains('/');
        is_whole.then(|| StageArn {
            arn: arn.to_string(),
            region: region.to_string(),
            id: id.to_string(),
        })
    }
}

/// Both figures of a step of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepComparison {
    /// Time of the step.
    pub span: Span,
    /// Average number of concurrent viewers, by the ledger.
    pub viewers: f64,
    /// Average number of subscribers, by IVS. `None` if CloudWatch has no figure for the step, for
    /// example because it had no participants.
    pub subscribers: Option<f64>,
    /// Average number of publishers. They are subscribers too if they watch one another.
    pub publishers: Option<f64>,
}

impl StepComparison {
    /// Relative difference of the two figures.
    #[must_use]
    pub fn drift(&self) -> f64 {
        drift(self.viewers, self.subscribers.unwrap_or(0.0))
    }
}

/// Difference divided by the larger of the two: -1 to 1, negative where the ledger has less.
fn drift(ours: f64, theirs: f64) -> f64 {
    let larger = ours.max(theirs);
    if larger > 0.0 { (ours - theirs) / larger } else { 0.0 }
}

/// Both figures of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageComparison {
    /// ARN of the stage.
    pub stage: String,
    /// Steps in the order of time.
    pub steps: Vec<StepComparison>,
}

impl StageComparison {
    fn hours(&self, count: impl Fn(&StepComparison) -> f64) -> f64 {
        self.steps.iter().map(|step| count(step) * step.span.ms() as f64 / 3_600_000.0).sum()
    }

    /// Viewer-hours by the ledger.
    #[must_use]
    pub fn viewer_hours(&self) -> f64 {
        self.hours(|step| step.viewers)
    }

    /// Subscriber-hours by IVS.
    #[must_use]
    pub fn subscriber_hours(&self) -> f64 {
        self.hours(|step| step.subscribers.unwrap_or(0.0))
    }

    /// Relative difference of the two figures over all steps.
    #[must_use]
    pub fn drift(&self) -> f64 {
        drift(self.viewer_hours(), self.subscriber_hours())
    }
}

/// Result of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReconcileReport {
    /// IVS stages that either side has.
    pub stages: Vec<StageComparison>,
    /// Number of the ledger's stages whose ids are not ARNs of IVS, so that they can't be compared.
    pub others: usize,
    /// Time up to which the ledger is committed; later steps are not compared.
    pub committed_to: UnixMs,
}

/// Parameters of a comparison.
#[derive(Clone, Debug)]
pub struct ReconcileRequest {
    /// Range in whole steps.
    pub range: Span,
    /// Length of a step.
    pub step_ms: u64,
    /// Only stage to compare; `None` for all.
    pub stage: Option<StageArn>,
}

/// Curves of all stages, from one read of the ledger.
#[derive(Debug, Default)]
struct Curves {
    wanted: Option<ReconcileRequest>,
    by_stage: BTreeMap<String, Curve>,
    others: std::collections::BTreeSet<String>,
}

impl Curves {
    fn of(&mut self, stage: &str) -> Option<&mut Curve> {
        let wanted = self.wanted.as_ref()?;
        if !self.by_stage.contains_key(stage) {
            if wanted.stage.as_ref().is_some_and(|only| only.arn != stage) {
                return None;
            }
            if StageArn::parse(stage).is_none() {
                if !self.others.contains(stage) {
                    self.others.insert(stage.to_string());
                }
                return None;
            }
            self.by_stage.insert(stage.to_string(), Curve::new(wanted.range, wanted.step_ms, None));
        }
        self.by_stage.get_mut(stage)
    }
}

impl SpanVisitor for Curves {
    fn span_opened(&mut self, stage: &str, viewer: &str, at: UnixMs) {
        if let Some(curve) = self.of(stage) {
            curve.span_opened(stage, viewer, at);
        }
    }

    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        if let Some(curve) = self.of(stage) {
            curve.span_closed(stage, viewer, span);
        }
    }

    fn late_span(&mut self, stage: &str, viewer: &str, span: Span) {
        if let Some(curve) = self.of(stage) {
            curve.late_span(stage, viewer, span);
        }
    }
}

/// Checks that this number of stages and steps may be held at once.
///
/// # Errors
/// Returns one line with a smaller request to make instead.
pub fn check_size(stages: usize, wanted: &ReconcileRequest) -> Result<(), String> {
    let steps = wanted.range.ms() / wanted.step_ms.max(1);
    if (stages as u64).saturating_mul(steps) <= RECONCILE_POINTS_MAX {
        return Ok(());
    }
    Err(format!(
        "{stages} stages of {steps} steps are more than the {RECONCILE_POINTS_MAX} that are compared at once: \
         choose one with --stage, a longer --step, or a shorter range"
    ))
}

/// Reads the ledger and queries CloudWatch. `progress` gets the share of the ledger that is read.
///
/// # Errors
/// Returns one line if the ledger or CloudWatch can't be read, or if the request is too large.
pub async fn reconcile(
    cold: &Arc<dyn Cold>,
    source: &CloudWatchSource,
    wanted: ReconcileRequest,
    mut progress: impl FnMut(f64),
) -> Result<ReconcileReport, String> {
    let (curves, committed_to) = read(cold, &wanted, &mut progress).await?;
    let mut found =
        ReconcileReport { others: curves.others.len(), committed_to, ..ReconcileReport::default() };
    let mut of_ledger = curves.by_stage;
    if let Some(only) = &wanted.stage {
        // The stage is added even if the ledger has no record of it, since that is the difference
        // to find.
        of_ledger
            .entry(only.arn.clone())
            .or_insert_with(|| Curve::new(wanted.range, wanted.step_ms, None));
    }
    check_size(of_ledger.len(), &wanted)?;
    let stages: Vec<StageArn> =
        of_ledger.keys().filter_map(|stage| StageArn::parse(stage)).collect();
    let asked = ReconcileRequest {
        range: Span::new(wanted.range.from, wanted.range.to.min(committed_to)),
        ..wanted
    };
    let theirs =
        source.counts(&stages, asked.range, asked.step_ms).await.map_err(|e| e.to_string())?;
    for (stage, curve) in of_ledger {
        let theirs = theirs.get(&stage);
        let whole = curve.finish().into_iter().filter(|step| step.span.to <= committed_to);
        let steps = whole.map(|step| StepComparison {
            span: step.span,
            viewers: step.integral_ms as f64 / step.span.ms().max(1) as f64,
            subscribers: theirs.and_then(|counts| counts.subscribers.get(&step.span.from).copied()),
            publishers: theirs.and_then(|counts| counts.publishers.get(&step.span.from).copied()),
        });
        found.stages.push(StageComparison { stage, steps: steps.collect() });
    }
    Ok(found)
}

async fn read(
    cold: &Arc<dyn Cold>,
    wanted: &ReconcileRequest,
    progress: &mut impl FnMut(f64),
) -> Result<(Curves, UnixMs), String> {
    let mut curves = Curves { wanted: Some(wanted.clone()), ..Curves::default() };
    let mut scan = Scan::open(cold, wanted.range, None).await.map_err(|e| e.to_string())?;
    while let Some(complete_to) = scan.next(&mut curves).await.map_err(|e| e.to_string())? {
        // Checked during the read, because all stages together may be too many to hold.
        check_size(curves.by_stage.len(), wanted)?;
        curves.by_stage.values_mut().for_each(|curve| curve.advance(complete_to));
        progress(complete_to.since(wanted.range.from) as f64 / wanted.range.ms().max(1) as f64);
    }
    let ends = scan.finish(&mut curves);
    Ok((curves, scan::committed_to(&ends)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_taken_apart() {
        let arn = "arn:aws:ivs:us-west-2:123456789012:stage/abcdABCDefgh";
        let stage = StageArn::parse(arn).unwrap();
        assert_eq!(
            (stage.region.as_str(), stage.id.as_str(), stage.arn.as_str()),
            ("us-west-2", "abcdABCDefgh", arn)
        );
        assert!(StageArn::parse("arn:aws-cn:ivs:cn-north-1:1:stage/a").is_some());
        for other in [
            "my-stage",
            "arn:aws:ivs:us-west-2:123456789012:channel/abc",
            "arn:aws:ivs:us-west-2:123456789012:stage/",
            "arn:aws:ivs::123456789012:stage/abc",
            "arn:aws:s3:us-west-2:123456789012:stage/abc",
            "arn:aws:ivs:us-west-2",
        ] {
            assert_eq!(StageArn::parse(other), None, "{other}");
        }
    }

    #[test]
    fn drift_is_a_part_of_the_larger() {
        assert_eq!(drift(90.0, 100.0), -0.1);
        assert_eq!(drift(100.0, 90.0), 0.1);
        assert_eq!((drift(0.0, 0.0), drift(5.0, 0.0), drift(0.0, 5.0)), (0.0, 1.0, -1.0));
    }

    /// Tests `RECONCILE_POINTS_MAX`.
    #[test]
    fn too_much_at_once_is_refused() {
        let range = Span::new(UnixMs(0), UnixMs(RECONCILE_POINTS_MAX * 60_000));
        let wanted = ReconcileRequest { range, step_ms: 60_000, stage: None };
        assert_eq!(check_size(1, &wanted), Ok(()));
        assert!(check_size(2, &wanted).unwrap_err().contains("--step"));
    }
}
