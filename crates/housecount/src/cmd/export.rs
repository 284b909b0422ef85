//! `housecount export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use housecount_core::limits::EXPORT_ROWS_MAX;

use super::{Failure, RangeArgs, bar, runtime, say};
use crate::calendar;
use crate::error::StoreResult;
use crate::export::{self, Exported, Format, Request, Round, raw, whole};

/// Write watch records to a file: who watched what for how long, or what each customer is to pay for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount export --from 2026-10-01 --to 2026-11-01 --out october.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --group customer --round viewer-minute --out invoice.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --stage my-stage --format parquet --out october.parquet
  housecount export --raw --from 2026-10-01T20:00:00Z --to 2026-10-01T21:00:00Z --stage my-stage --out heartbeats.csv
  housecount export --from 2026-10-01 --to 2026-10-02 --format ndjson --out - \\
      --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1' | jq .viewer

Only time that the ledger has is written. A range that reaches past it is refused, unless --partial.")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// How the file is written
    #[arg(long, value_enum, default_value = "csv")]
    format: FormatArg,
    /// The file; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One row per customer and calendar month (UTC), instead of one per stage, viewer and configuration
    #[arg(long, value_enum)]
    group: Option<GroupArg>,
    /// Add billed_minutes: every viewer's time on a stage rounded up to minutes, or only the sum
    #[arg(long, value_enum, default_value = "none")]
    round: RoundArg,
    /// One row a heartbeat or leave, from the archive
    #[arg(long, conflicts_with_all = ["group", "round", "partial"])]
    raw: bool,
    /// Write what there is, even if the ledger doesn't have the whole range yet
    #[arg(long)]
    partial: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GroupArg {
    Customer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoundArg {
    ViewerMinute,
    TotalMinute,
    None,
}

impl FormatArg {
    fn format(self) -> Format {
        match self {
            FormatArg::Csv => Format::Csv,
            FormatArg::Ndjson => Format::Ndjson,
            FormatArg::Parquet => Format::Parquet,
        }
    }
}

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode, Failure> {
    if args.raw {
        return run_raw(args);
    }
    let request = Request {
        range: args.range.range()?,
        stage: args.range.stage.clone(),
        by_customer: args.group.is_some(),
        round: match args.round {
            RoundArg::ViewerMinute => Round::ViewerMinute,
            RoundArg::TotalMinute => Round::TotalMinute,
            RoundArg::None => Round::None,
        },
        format: args.format.format(),
        rows_max: EXPORT_ROWS_MAX,
    };
    let exported = runtime()?.block_on(export(args, &request))?;
    let Exported { rows, watch_ms, committed_to } = exported;
    if args.out.as_os_str() != "-" {
        let hours = watch_ms as f64 / 3_600_000.0;
        say(&format!("{}: {rows} rows, {watch_ms} ms watched ({hours:.3} h)", args.out.display()));
    }
    if committed_to < request.range.to {
        eprintln!("housecount: the ledger has it up to {} only", calendar::shown(committed_to));
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(args: &ExportArgs, request: &Request) -> Result<Exported, Failure> {
    let cold = args.range.cold().await?;
    let committed_to = export::committed_to(&cold).await.map_err(|e| e.to_string())?;
    if committed_to < request.range.to && !args.partial {
        let has = calendar::shown(committed_to);
        return Err(format!("the ledger has it up to {has} only: choose --to {has}, or add --partial"));
    }
    let bar = bar();
    let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
    let exported = whole::to(&args.out, async |out| export::write(&cold, request, out, progress).await).await;
    bar.finish_and_clear();
    unless_gone(exported)
}

fn run_raw(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let request = raw::Request {
        range: args.range.range()?,
        stage: args.range.stage.clone(),
        format: args.format.format(),
        late_ms: args.range.store.settings()?.lateness_max_ms,
    };
    let raw::Exported { rows, problems } = runtime()?.block_on(async {
        let cold = args.range.cold().await?;
        let bar = bar();
        let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
        let exported =
            whole::to(&args.out, async |out| raw::write(&cold, &request, out, progress).await).await;
        bar.finish_and_clear();
        unless_gone(exported)
    })?;
    if args.out.as_os_str() != "-" {
        say(&format!("{}: {rows} heartbeats and leaves", args.out.display()));
    }
    problems.iter().for_each(|problem| eprintln!("housecount: {problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unless_gone<T>(exported: StoreResult<T>) -> Result<T, Failure> {
    match exported {
        // Whoever reads it has gone (`| head`), which is no reason to fail.
        Err(error) if error.is_broken_pipe() => std::process::exit(0),
        exported => exported.map_err(|e| e.to_string()),
    }
}
