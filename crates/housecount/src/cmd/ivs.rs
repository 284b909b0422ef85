//! The command `housecount ivs reconcile`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use housecount_backend::clock;
use housecount_core::span::Span;
use housecount_net::service_url::ServiceUrl;
use housecount_server::calendar;

use super::{CommandError, RangeArgs, print_line, progress_bar, runtime};
use crate::ivs::{
    self, CloudWatchSource, ReconcileReport, ReconcileRequest, StageArn, StageComparison,
    StepComparison,
};

/// Number of steps of a stage that are printed: those with the largest difference.
const STEPS_SHOWN: usize = 5;
/// Shortest step, which is CloudWatch's.
const STEP_MS_MIN: u64 = 60_000;

/// Compare the ledger with Amazon IVS's figures of its stages.
#[derive(Debug, Args)]
pub(super) struct IvsArgs {
    #[command(subcommand)]
    action: IvsCommand,
}

#[derive(Debug, Subcommand)]
enum IvsCommand {
    /// Compare the ledger with IVS's figures in CloudWatch, by stage and step.
    Reconcile(ReconcileArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount ivs reconcile --from 2026-10-14 --to 2026-10-15 --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1'
  housecount ivs reconcile --from 2026-10-14T18:00:00Z --to 2026-10-14T20:00:00Z --step 1m --json \\
      --stage arn:aws:ivs:us-west-2:123456789012:stage/abcdABCDefgh

The command compares stages whose ids are ARNs of IVS stages: the ledger's viewers with CloudWatch's
`Subscribers` (AWS/IVSRealTime), averaged over steps. A stage drifts if its hours over the range
differ by more than --drift-max. Only complete steps within the ledger are compared. docs/IVS.md
describes usual differences.
Exit 0: no stage drifts. Exit 1: a stage drifts. Exit 2: the comparison failed.")]
struct ReconcileArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Length of a step in whole minutes. The minimum is 5m for ranges older than 15 days, and 1h
    /// beyond 63 days. CloudWatch keeps shorter steps only that long
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    step: std::time::Duration,
    /// Allowed difference of a stage, as a part of the larger of the two figures
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    drift_max: f64,
    /// Region of CloudWatch, instead of each stage's own
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// CloudWatch endpoint, instead of AWS
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    match number {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is not a percentage from 0% to 100%")),
    }
}

pub(super) fn run(args: &IvsArgs) -> Result<ExitCode, CommandError> {
    let IvsCommand::Reconcile(args) = &args.action;
    let wanted = args.wanted()?;
    let endpoint = args.endpoint.as_deref().map(ServiceUrl::parse).transpose();
    let endpoint = endpoint.map_err(|e| format!("--endpoint: {e}"))?.map(|url| url.to_string());
    let source = CloudWatchSource { region: args.region.clone(), endpoint };
    let bar = progress_bar();
    let found = runtime()?.block_on(async {
        let cold = args.range.cold().await?;
        ivs::reconcile(&cold, &source, wanted, |part| bar.set_position((part * 1_000.0) as u64))
            .await
    });
    bar.finish_and_clear();
    let found = found?;
    if args.json {
        print_line(
            &serde_json::to_string_pretty(&json(&found, args.drift_max))
                .map_err(|e| e.to_string())?,
        );
    } else {
        print(&found, args.drift_max);
    }
    let is_good = found.stages.iter().all(|stage| stage.drift().abs() <= args.drift_max);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ReconcileArgs {
    /// Computes the request: the whole steps within the range.
    fn wanted(&self) -> Result<ReconcileRequest, CommandError> {
        let given = self.range.range()?;
        let step_ms = u64::try_from(self.step.as_millis()).unwrap_or(u64::MAX);
        let step_ms_min =
            ivs::period_ms_min(clock::wall_clock().since(given.from)).max(STEP_MS_MIN);
        if step_ms < step_ms_min || !step_ms.is_multiple_of(STEP_MS_MIN) || step_ms > 86_400_000 {
            let min = step_ms_min / STEP_MS_MIN;
            return Err(format!(
                "--step {}: it must be whole minutes, at least {min} for a range this old, and at most a day",
                humantime::format_duration(self.step)
            ));
        }
        let from = given.from.plus(step_ms - 1).aligned(step_ms);
        let to = given.to.aligned(step_ms);
        if from >= to {
            return Err("--from and --to: the range contains no complete step".to_string());
        }
        let stage = match &self.range.stage {
            None => None,
            Some(arn) => Some(StageArn::parse(arn).ok_or_else(|| {
                format!("--stage {arn}: not an ARN arn:aws:ivs:REGION:ACCOUNT:stage/ID")
            })?),
        };
        Ok(ReconcileRequest { range: Span::new(from, to), step_ms, stage })
    }
}

fn json(found: &ReconcileReport, drift_max: f64) -> serde_json::Value {
    let step = |step: &StepComparison| {
        serde_json::json!({
            "at": step.span.from.0, "viewers": step.viewers, "subscribers": step.subscribers,
            "publishers": step.publishers, "drift": step.drift(),
        })
    };
    let stages = found.stages.iter().map(|stage| {
        serde_json::json!({
            "stage": stage.stage, "viewerHours": stage.viewer_hours(), "subscriberHours": stage.subscriber_hours(),
            "drift": stage.drift(), "drifts": stage.drift().abs() > drift_max,
            "steps": stage.steps.iter().map(step).collect::<Vec<_>>(),
        })
    });
    serde_json::json!({
        "driftMax": drift_max, "stages": stages.collect::<Vec<_>>(), "otherStages": found.others,
        "committedTo": found.committed_to.0,
    })
}

fn print(found: &ReconcileReport, drift_max: f64) {
    let mut stages: Vec<&StageComparison> = found.stages.iter().collect();
    // The stages with the largest difference come first.
    stages.sort_by(|a, b| b.drift().abs().total_cmp(&a.drift().abs()));
    let mut lines =
        vec![format!("{:<62} {:>12} {:>12} {:>8}", "stage", "ledger h", "IVS h", "drift")];
    for stage in stages {
        let (ours, theirs, drift) = (stage.viewer_hours(), stage.subscriber_hours(), stage.drift());
        let verdict = if drift.abs() > drift_max { "DRIFTS" } else { "" };
        lines.push(format!(
            "{:<62} {ours:>12.3} {theirs:>12.3} {:>7.1}%  {verdict}",
            stage.stage,
            drift * 100.0
        ));
        let mut steps: Vec<&StepComparison> =
            stage.steps.iter().filter(|step| step.drift().abs() > drift_max).collect();
        let more = steps.len().saturating_sub(STEPS_SHOWN);
        let apart = |step: &StepComparison| (step.viewers - step.subscribers.unwrap_or(0.0)).abs();
        steps.sort_by(|a, b| apart(b).total_cmp(&apart(a)));
        for step in steps.into_iter().take(STEPS_SHOWN) {
            let theirs =
                step.subscribers.map_or("no data".to_string(), |count| format!("{count:.1}"));
            let at = calendar::format_time(step.span.from);
            lines.push(format!(
                "  {at:<60} {:>12.1} {theirs:>12} {:>7.1}%",
                step.viewers,
                step.drift() * 100.0
            ));
        }
        if more > 0 {
            lines.push(format!("  {more} more steps; --json lists all"));
        }
    }
    if found.others > 0 {
        lines.push(format!(
            "{} other stages skipped: their ids are not ARNs of IVS stages",
            found.others
        ));
    }
    lines.push(format!("compared up to {}", calendar::format_time(found.committed_to)));
    print_line(&lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        assert_eq!((percent("5%"), percent("2.5"), percent("0")), (Ok(0.05), Ok(0.025), Ok(0.0)));
        assert!(percent("-1%").is_err() && percent("101").is_err() && percent("much").is_err());
    }
}
