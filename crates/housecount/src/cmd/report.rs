//! The command `housecount report`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_core::labels::check_key;
use housecount_core::limits::HISTORY_STEPS_MAX;
use housecount_core::span::Span;
use housecount_ledger::totals::StageTotals;
use housecount_reports::filter::SpanFilter;
use housecount_reports::read::{self, Covered, Sources};
use housecount_reports::request::{ReportRequest, default_step_ms};
use housecount_server::calendar::{self, Zone};

use super::{CommandError, RangeArgs, progress_bar, runtime, unless_gone};
use crate::export::{self, atomic_file};
use crate::report::{ReportDocument, ReportFormat};

/// Report who came, who stayed and how long, on a stage or on all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount report --stage match-1 --from 2026-10-01T18:00:00Z --to 2026-10-01T22:00:00Z
  housecount report --stage match-1 --from 2026-10-01 --to 2026-10-02 --tz Europe/Berlin \\
      --format html --out match-1.html
  housecount report --from 2026-10-01 --to 2026-11-01 --before 30d --format markdown
  housecount report --stage match-1 --from 2026-10-01 --to 2026-10-02 --by country
  housecount report --stage match-1 --from 2026-10-01 --to 2026-10-02 --format json | jq .peakViewers

All figures are exact, from the ledger. A range that reaches past the ledger's end is refused, unless
--partial is given. docs/API.md defines each figure.")]
pub(super) struct ReportArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Format of the report
    #[arg(long, value_enum, default_value = "text")]
    format: FormatArg,
    /// Output file; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Time zone of dates and of shown times, as an IANA name such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Length of a step [default: the shortest number of minutes that makes at most 500 steps]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    step: Option<std::time::Duration>,
    /// Time from the first viewer on in which those come whose retention is reported
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    cohort: std::time::Duration,
    /// Time before the range, such as 7d, in which returning viewers have watched
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    before: Option<std::time::Duration>,
    /// Key of a label, to add the main figures of each of its values
    #[arg(long, value_name = "KEY")]
    by: Option<String>,
    /// Report the range up to the ledger's end, even if the ledger does not have all of it yet
    #[arg(long)]
    partial: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Text,
    Json,
    Markdown,
    Html,
}

impl ReportArgs {
    fn zone(&self) -> Result<Zone, CommandError> {
        let zone = self.tz.as_deref().map(Zone::parse).transpose();
        zone.map(|zone| zone.unwrap_or_else(Zone::utc)).map_err(|error| format!("--tz {error}"))
    }

    fn request(&self, range: Span) -> Result<ReportRequest, CommandError> {
        let ms =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let step_ms = match self.step {
            Some(step) if ms(step) >= 1_000 => ms(step),
            Some(_) => return Err("--step must be at least 1s".to_string()),
            None => default_step_ms(range),
        };
        let steps = StageTotals::steps(range, step_ms);
        if steps > HISTORY_STEPS_MAX {
            return Err(format!(
                "the range has {steps} steps; at most {HISTORY_STEPS_MAX} are allowed; use a longer \
                 --step"
            ));
        }
        Ok(ReportRequest {
            stage: self.range.stage.clone(),
            range,
            step_ms,
            cohort_ms: ms(self.cohort),
            before_ms: self.before.map(ms),
            gap_ms: self.range.store.settings()?.engine.rules.ttl_ms,
        })
    }

    async fn document(&self) -> Result<ReportDocument, CommandError> {
        if let Some(key) = &self.by {
            check_key(key).map_err(|error| format!("--by {key}: {error}"))?;
        }
        let range = self.range.range_in(&self.zone()?)?;
        let request = self.request(range)?;
        let cold = self.range.cold().await?;
        let committed_to = export::committed_to(&cold).await.map_err(|e| e.to_string())?;
        if committed_to < range.to && !self.partial {
            let has = calendar::format_time(committed_to);
            return Err(format!("the ledger ends at {has}; use --to {has}, or add --partial"));
        }
        let ttl_ms = request.gap_ms;
        let bar = progress_bar();
        let sources = Sources { cold, proofs: None, filter: SpanFilter::All };
        let progress = &mut |part: f64| bar.set_position((part * 1_000.0) as u64);
        let read = read::report(&sources, request.clone(), progress).await;
        let by = match &self.by {
            Some(key) => Some(read::report_by(&sources, &request, key, 1, progress).await),
            None => None,
        };
        bar.finish_and_clear();
        let Covered { value: report, committed_to } = read.map_err(|e| e.to_string())?;
        let by = by.transpose().map_err(|e| e.to_string())?.map(|covered| covered.value);
        Ok(ReportDocument {
            stage: self.range.stage.clone(),
            report,
            by,
            from: range.from.0,
            to: range.to.0,
            committed_to: committed_to.0,
            complete: range.to <= committed_to,
            ttl_ms,
        })
    }
}

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode, CommandError> {
    let format = match args.format {
        FormatArg::Text => ReportFormat::Text,
        FormatArg::Json => ReportFormat::Json,
        FormatArg::Markdown => ReportFormat::Markdown,
        FormatArg::Html => ReportFormat::Html,
    };
    let zone = args.zone()?;
    let written = runtime()?.block_on(async {
        let text = args.document().await?.render(format, &zone);
        let failed =
            |e: std::io::Error| StoreError::caused(ErrorKind::Unavailable, "writing the report", e);
        let written = atomic_file::write_atomically(&args.out, async |mut out| {
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
        });
        unless_gone(written.await)
    });
    written.map(|()| ExitCode::SUCCESS)
}
