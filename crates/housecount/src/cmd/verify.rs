//! The command `housecount verify`.

use std::process::ExitCode;

use clap::Args;
use housecount_core::time::UnixMs;
use housecount_reports::verify;
use housecount_reports::verify::{StageReport, VerifyReport};
use housecount_server::calendar;

use super::{CommandError, RangeArgs, print_line, progress_bar, runtime};

/// Number of stages with a line of their own; the others are summed up.
const STAGES_SHOWN: usize = 40;

/// Recompute the ledger from its raw chunks, two ways, and compare.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount verify --from 2026-10-01 --to 2026-11-01
  housecount verify --from 2026-10-01 --to 2026-11-01 --stage my-stage --json
  housecount verify --from 2026-10-01 --to 2026-11-01 --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1'

The command checks every chunk's checksum and its place in the chain. It adds up every viewer's time,
and compares the sum with the integral of concurrent viewers, to the millisecond. A snapshot with less
than half of the proven viewers is a problem. One with fewer than the proven viewers is counted as low:
a viewer left and came back within a ttl, or a node was cut off. The versions of stage configurations
are checked too: their order, their bounds, and that the last one is the current configuration.
Exit 0: everything agrees. Exit 1: something differs. Exit 2: the check failed.")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    let range = args.range.range()?;
    let bar = progress_bar();
    let found = runtime()?.block_on(async {
        let cold = args.range.cold().await?;
        let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
        verify::verify(&cold, range, args.range.stage.as_deref(), progress)
            .await
            .map_err(|e| e.to_string())
    });
    bar.finish_and_clear();
    let found = found?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&json(&found)).map_err(|e| e.to_string())?);
    } else {
        print(&found);
    }
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json(found: &VerifyReport) -> serde_json::Value {
    let stages = found.stages.iter().map(|(stage, of)| {
        serde_json::json!({
            "stage": stage, "viewers": of.viewers, "watchMs": of.watch_ms, "integralMs": of.integral_ms,
            "snapshots": of.snapshots, "lowSnapshots": of.low_snapshots,
            "wrongSnapshots": of.wrong_snapshots, "agrees": of.agrees(),
        })
    });
    serde_json::json!({
        "agrees": found.is_good(), "stages": stages.collect::<Vec<_>>(), "chunks": found.chunks,
        "bytes": found.bytes, "rewritten": found.rewritten, "versions": found.versions, "problems": found.problems, "notes": found.notes,
        "committedTo": found.committed_to.0,
    })
}

fn line(name: &str, of: &StageReport) -> String {
    let verdict = if of.agrees() { "agrees" } else { "DIFFERS" };
    format!(
        "{name:<40} {:>9} {:>16} {:>16} {:>9} {:>4}  {verdict}",
        of.viewers, of.watch_ms, of.integral_ms, of.snapshots, of.low_snapshots
    )
}

/// Says up to when the ledger is committed.
fn committed(to: UnixMs) -> String {
    match to {
        UnixMs::ZERO => "nothing is committed".to_string(),
        to => format!("committed to {}", calendar::format_time(to)),
    }
}

fn print(found: &VerifyReport) {
    let head = ["stage", "viewers", "watched ms", "integral ms", "snapshots", "low"];
    let mut lines = vec![format!(
        "{:<40} {:>9} {:>16} {:>16} {:>9} {:>4}",
        head[0], head[1], head[2], head[3], head[4], head[5]
    )];
    let (mut rest, mut total) = (StageReport::default(), StageReport::default());
    // Stages that differ come first, so that a reader finds them at once.
    let mut stages: Vec<_> = found.stages.iter().collect();
    stages.sort_by_key(|(_, of)| of.agrees());
    for (n, (stage, of)) in stages.into_iter().enumerate() {
        total.add(of);
        if n < STAGES_SHOWN {
            lines.push(line(stage, of));
        } else {
            rest.add(of);
        }
    }
    if let Some(more) = found.stages.len().checked_sub(STAGES_SHOWN).filter(|more| *more > 0) {
        lines.push(line(&format!("{more} more"), &rest));
    }
    lines.push(line("all", &total));
    let committed = committed(found.committed_to);
    lines.push(format!("{} chunks, {} bytes; {committed}", found.chunks, found.bytes));
    if found.versions > 0 {
        lines.push(format!("{} versions of stages' configurations", found.versions));
    }
    if found.rewritten > 0 {
        lines.push(format!("{} chunks were rewritten by `housecount forget`", found.rewritten));
    }
    lines.extend(found.notes.iter().map(|note| format!("note     {note}")));
    lines.extend(found.problems.iter().map(|problem| format!("problem  {problem}")));
    lines.push(if found.is_good() { "all agrees" } else { "NOT all agrees" }.to_string());
    print_line(&lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_ledger_has_no_committed_time() {
        assert_eq!(committed(UnixMs::ZERO), "nothing is committed");
        assert_eq!(committed(UnixMs(1_792_000_000_000)), "committed to 2026-10-14T17:46:40Z");
    }
}
