//! The command `housecount export`.

mod billing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use housecount_core::labels::check_key;
use housecount_core::limits::EXPORT_ROWS_MAX;
use housecount_core::span::Span;
use housecount_server::calendar::{self, PeriodUnit, Zone};

use super::{CommandError, RangeArgs, print_line, progress_bar, runtime, unless_gone};
use crate::export::{
    self, BillingRounding, CsvStyle, ExportFormat, ExportRequest, ExportSummary, atomic_file, raw,
};

/// Write watch records to a file: each viewer's watch time, or each customer's billed time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  housecount export --from 2026-10-01 --to 2026-11-01 --out october.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --group customer --round viewer-minute --out invoice.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --group customer --by day --tz Europe/Berlin --out days.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --group customer,country --out countries.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --group customer --format stripe --unit ms --out usage.jsonl
  housecount export --from 2026-10-01 --to 2026-11-01 --csv excel --out october-for-excel.csv
  housecount export --from 2026-10-01 --to 2026-11-01 --stage my-stage --format parquet --out october.parquet
  housecount export --from 2026-10-01 --to 2026-10-02 --stage my-stage --intervals --out intervals.csv
  housecount export --raw --from 2026-10-01T20:00:00Z --to 2026-10-01T21:00:00Z --stage my-stage --out heartbeats.csv
  housecount export --from 2026-10-01 --to 2026-10-02 --format ndjson --out - \\
      --cold 'dynamodb://ivs-viewer-snapshots?region=us-east-1' | jq .viewer

An export has only time that is in the ledger. A range that reaches past the ledger's end is refused,
unless --partial is given.")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Format of the file. The last three are usage records for billing systems, as JSON Lines.
    /// Each is of a customer, stage and UTC hour, and with aws-marketplace of all the customer's
    /// stages. They need --group customer and whole hours that can grow no more
    #[arg(long, value_enum, default_value = "csv")]
    format: FormatArg,
    /// Unit of usage records, to whose nearest whole number each record is rounded
    /// [default: minutes]
    #[arg(long, value_enum)]
    unit: Option<UnitArg>,
    /// Name of the meter in usage records: Stripe's event_name, OpenMeter's type, or the Dimension
    /// of AWS Marketplace [default: watch_minutes, by the unit]
    #[arg(long, value_name = "NAME")]
    meter: Option<String>,
    /// CSV style: guarded puts a ' before each field that a spreadsheet would run as a formula.
    /// Style raw writes every field as it is, for machines. Style excel is guarded, with the byte
    /// order mark by which Excel knows UTF-8
    #[arg(long, value_enum, value_name = "STYLE", default_value = "guarded")]
    csv: CsvArg,
    /// Output file; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Rows: customer for one per customer and calendar period. With customer,KEY there is one per
    /// customer, value of the label KEY, and period [default: one per stage, viewer and
    /// configuration]
    #[arg(long, value_name = "customer[,KEY]", value_parser = parse_group)]
    group: Option<ExportGroup>,
    /// Calendar periods of --group [default: month]
    #[arg(long, value_enum, requires = "group")]
    by: Option<ByArg>,
    /// Time zone of dates in --from and --to and of calendar periods, as an IANA name such as
    /// Europe/Berlin. Adds times with the zone's offset beside the milliseconds [default: UTC, no
    /// times added]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Add billed_minutes: round up every viewer's time on a stage to minutes, or only the sum
    #[arg(long, value_enum, default_value = "none")]
    round: RoundArg,
    /// One row per interval of watch time, instead of one per stage, viewer and configuration
    #[arg(long, conflicts_with_all = ["group", "round"])]
    intervals: bool,
    /// Write one row per heartbeat or leave, from the archive
    #[arg(long, conflicts_with_all = ["group", "by", "round", "partial", "intervals"])]
    raw: bool,
    /// Write the range up to the ledger's end, even if the ledger does not have all of it yet
    #[arg(long)]
    partial: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Csv,
    Ndjson,
    Parquet,
    Stripe,
    Openmeter,
    AwsMarketplace,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnitArg {
    Ms,
    Minutes,
    Hours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CsvArg {
    Guarded,
    Raw,
    Excel,
}

/// Columns that a file of groups has beside the label.
const GROUP_COLUMNS: [&str; 8] = [
    "customer",
    "day",
    "month",
    "starts_at",
    "stages",
    "viewer_stages",
    "watch_ms",
    "billed_minutes",
];

/// Groups of rows: by customer, and by the values of a label's key if there is one.
#[derive(Clone, Debug)]
struct ExportGroup {
    label: Option<String>,
}

fn parse_group(text: &str) -> Result<ExportGroup, String> {
    match text.split_once(',') {
        None if text == "customer" => Ok(ExportGroup { label: None }),
        Some(("customer", key)) => {
            check_key(key).map_err(|error| format!("{key:?} is not a label: {error}"))?;
            if GROUP_COLUMNS.contains(&key) {
                return Err(format!("{key} is another column of the file; rename the label"));
            }
            Ok(ExportGroup { label: Some(key.to_string()) })
        }
        _ => Err("not a group; use customer, or customer and a label, such as customer,country"
            .to_string()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ByArg {
    Month,
    Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoundArg {
    ViewerMinute,
    TotalMinute,
    None,
}

impl ExportArgs {
    fn zone(&self) -> Result<Option<Zone>, CommandError> {
        let zone = self.tz.as_deref().map(Zone::parse).transpose();
        zone.map_err(|error| format!("--tz {error}"))
    }

    fn range(&self) -> Result<Span, CommandError> {
        self.range.range_in(&self.zone()?.unwrap_or_else(Zone::utc))
    }

    fn format(&self) -> Result<ExportFormat, CommandError> {
        let style = match self.csv {
            CsvArg::Guarded => CsvStyle::Guarded,
            CsvArg::Raw => CsvStyle::Raw,
            CsvArg::Excel => CsvStyle::Excel,
        };
        match self.format {
            FormatArg::Csv => Ok(ExportFormat::Csv(style)),
            _ if self.csv != CsvArg::Guarded => {
                Err("--csv is for --format csv only; leave it out".to_string())
            }
            FormatArg::Ndjson => Ok(ExportFormat::Ndjson),
            FormatArg::Parquet => Ok(ExportFormat::Parquet),
            FormatArg::Stripe | FormatArg::Openmeter | FormatArg::AwsMarketplace => {
                Err("usage records are not raw events; leave out --raw".to_string())
            }
        }
    }
}

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode, CommandError> {
    if let Some(format) = billing::format(args).filter(|_| !args.raw) {
        return billing::run(args, format);
    }
    if args.unit.is_some() || args.meter.is_some() {
        return Err(
            "--unit and --meter are for --format stripe, openmeter and aws-marketplace".into()
        );
    }
    if args.raw {
        return run_raw(args);
    }
    let request = ExportRequest {
        range: args.range()?,
        stage: args.range.stage.clone(),
        by_customer: args.group.is_some(),
        by_label: args.group.as_ref().and_then(|group| group.label.clone()),
        intervals: args.intervals,
        period: match args.by {
            Some(ByArg::Day) => PeriodUnit::Day,
            Some(ByArg::Month) | None => PeriodUnit::Month,
        },
        zone: args.zone()?,
        round: match args.round {
            RoundArg::ViewerMinute => BillingRounding::ViewerMinute,
            RoundArg::TotalMinute => BillingRounding::TotalMinute,
            RoundArg::None => BillingRounding::None,
        },
        format: args.format()?,
        // A row with intervals is as large as some rows without.
        rows_max: if args.intervals { EXPORT_ROWS_MAX / 16 } else { EXPORT_ROWS_MAX },
    };
    let exported = runtime()?.block_on(export(args, &request))?;
    let ExportSummary { rows, watch_ms, committed_to } = exported;
    if args.out.as_os_str() != "-" {
        let hours = watch_ms as f64 / 3_600_000.0;
        print_line(&format!(
            "{}: {rows} rows, {watch_ms} ms watched ({hours:.3} h)",
            args.out.display()
        ));
    }
    if committed_to < request.range.to {
        eprintln!(
            "housecount: the export ends at {}, where the ledger ends",
            calendar::format_time(committed_to)
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(args: &ExportArgs, request: &ExportRequest) -> Result<ExportSummary, CommandError> {
    let cold = args.range.cold().await?;
    let committed_to = export::committed_to(&cold).await.map_err(|e| e.to_string())?;
    if committed_to < request.range.to && !args.partial {
        let has = calendar::format_time(committed_to);
        return Err(format!("the ledger ends at {has}; use --to {has}, or add --partial"));
    }
    let bar = progress_bar();
    let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
    let exported = atomic_file::write_atomically(&args.out, async |out| {
        export::write(&cold, request, out, progress).await
    })
    .await;
    bar.finish_and_clear();
    unless_gone(exported)
}

fn run_raw(args: &ExportArgs) -> Result<ExitCode, CommandError> {
    let request = raw::RawExportRequest {
        range: args.range()?,
        stage: args.range.stage.clone(),
        zone: args.zone()?,
        format: args.format()?,
        late_ms: args.range.store.settings()?.engine.lateness_max_ms,
    };
    let raw::RawExportSummary { rows, problems } = runtime()?.block_on(async {
        let cold = args.range.cold().await?;
        let bar = progress_bar();
        let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
        let exported = atomic_file::write_atomically(&args.out, async |out| {
            raw::write(&cold, &request, out, progress).await
        })
        .await;
        bar.finish_and_clear();
        unless_gone(exported)
    })?;
    if args.out.as_os_str() != "-" {
        print_line(&format!("{}: {rows} heartbeats and leaves", args.out.display()));
    }
    problems.iter().for_each(|problem| eprintln!("housecount: {problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
