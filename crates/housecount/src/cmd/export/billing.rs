//! Usage records for billing systems, by `housecount export --format stripe` and its like.

use std::process::ExitCode;

use housecount_core::limits::USAGE_SUMS_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_server::calendar::format_time;

use super::{CsvArg, ExportArgs, FormatArg, RoundArg, UnitArg};
use crate::cmd::{CommandError, print_line, progress_bar, runtime, unless_gone};
use crate::export::atomic_file;
use crate::export::billing::{
    self, BillingFormat, BillingRequest, BillingSummary, BillingUnit, HOUR_MS,
};

/// Bytes of a meter's name. Stripe takes 100 characters (API reference, 2026-12).
const METER_BYTES_MAX: usize = 100;

/// Returns the billing system of the format; `None` for a format of files.
pub(super) fn format(args: &ExportArgs) -> Option<BillingFormat> {
    match args.format {
        FormatArg::Stripe => Some(BillingFormat::Stripe),
        FormatArg::Openmeter => Some(BillingFormat::OpenMeter),
        FormatArg::AwsMarketplace => Some(BillingFormat::AwsMarketplace),
        FormatArg::Csv | FormatArg::Ndjson | FormatArg::Parquet => None,
    }
}

/// Returns the request, whose range may still have hours that can grow.
fn request(args: &ExportArgs, format: BillingFormat) -> Result<BillingRequest, CommandError> {
    let Some(group) = &args.group else {
        return Err("usage records are of customers; add --group customer".to_string());
    };
    if group.label.is_some() {
        return Err("usage records have no labels; use --group customer".to_string());
    }
    for (is_given, option) in [
        (args.by.is_some(), "--by"),
        (args.round != RoundArg::None, "--round"),
        (args.csv != CsvArg::Guarded, "--csv"),
    ] {
        if is_given {
            return Err(format!("{option} does not apply to usage records; leave it out"));
        }
    }
    if format == BillingFormat::AwsMarketplace && args.range.stage.is_some() {
        return Err("a record of AWS Marketplace is of all stages; leave out --stage".to_string());
    }
    if args.meter.as_ref().is_some_and(|name| !(1..=METER_BYTES_MAX).contains(&name.len())) {
        return Err(format!("--meter must have 1 to {METER_BYTES_MAX} bytes"));
    }
    let range = args.range()?;
    for (name, at) in [("--from", range.from), ("--to", range.to)] {
        if at != at.aligned(HOUR_MS) {
            let at = format_time(at);
            return Err(format!(
                "{name} {at} is not the start of a UTC hour; records are of hours"
            ));
        }
    }
    let unit = match args.unit {
        Some(UnitArg::Ms) => BillingUnit::Milliseconds,
        Some(UnitArg::Minutes) | None => BillingUnit::Minutes,
        Some(UnitArg::Hours) => BillingUnit::Hours,
    };
    Ok(BillingRequest {
        range,
        stage: args.range.stage.clone(),
        format,
        unit,
        meter: args.meter.clone().unwrap_or_else(|| format!("watch_{}", unit.name())),
        sums_max: USAGE_SUMS_MAX,
    })
}

pub(super) fn run(args: &ExportArgs, format: BillingFormat) -> Result<ExitCode, CommandError> {
    let request = request(args, format)?;
    let (summary, final_to) = runtime()?.block_on(export(args, &request))?;
    let BillingSummary { records, units, watch_ms, unassigned_ms, unassigned_hours } = summary;
    let unit = request.unit.name();
    if args.out.as_os_str() != "-" {
        let file = args.out.display();
        print_line(&format!("{file}: {records} records, {units} {unit}, {watch_ms} ms watched"));
    }
    if unassigned_hours > 0 {
        eprintln!(
            "housecount: left out {unassigned_ms} ms in {unassigned_hours} hours of stages without \
             a customer"
        );
    }
    if final_to < request.range.to {
        let end = format_time(final_to);
        eprintln!("housecount: the export ends at {end}; later hours can still grow");
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(
    args: &ExportArgs,
    request: &BillingRequest,
) -> Result<(BillingSummary, UnixMs), CommandError> {
    let cold = args.range.cold().await?;
    let final_to = billing::final_to(&cold).await.map_err(|e| e.to_string())?;
    let Span { from, to } = request.range;
    if final_to < to && !args.partial {
        let has = format_time(final_to);
        return Err(format!(
            "hours that end after {has} can still grow; use --to {has}, or add --partial"
        ));
    }
    let range = Span::new(from, to.min(final_to.max(from)));
    let request = BillingRequest { range, ..request.clone() };
    let bar = progress_bar();
    let progress = |part: f64| bar.set_position((part * 1_000.0) as u64);
    let exported = atomic_file::write_atomically(&args.out, async |out| {
        billing::write(&cold, &request, out, progress).await
    })
    .await;
    bar.finish_and_clear();
    Ok((unless_gone(exported)?, final_to))
}
