//! Watch records as files: each viewer's watch time, or each customer's billed time. Usage records
//! for billing systems are in [`billing`].
//!
//! Rows are read from the ledger page by page, so memory is bounded for any range. A row has the
//! configuration in force when its time was watched, and is split where that changes. So repeated
//! exports of committed time are equal. A file gets its name once it is complete.

pub mod atomic_file;
pub mod billing;
mod csv;
mod ndjson;
#[cfg_attr(not(feature = "parquet"), path = "../without/parquet.rs")]
mod parquet;
pub mod raw;
mod rows;
mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{chain, scan};
use housecount_ledger::watch::{WatchFilter, WatchTime, split_value};
use housecount_reports::configs::Configs;
use housecount_server::calendar::{Period, PeriodUnit, Zone};

pub use self::csv::CsvStyle;
use self::rows::{CustomerMonth, columns, row};
use self::table::{Column, Sink};

/// Time up to which the ledger can be exported.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn committed_to(cold: &Arc<dyn Cold>) -> StoreResult<UnixMs> {
    let mut ends = Vec::new();
    for chain in chain::all(cold).await? {
        ends.push((chain, chain::end(&**cold, chain).await?));
    }
    Ok(scan::committed_to(&ends))
}

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values with a header, RFC 4180.
    Csv(CsvStyle),
    /// One JSON object per line.
    Ndjson,
    /// Apache Parquet, Snappy-compressed.
    Parquet,
}

/// Rounding of milliseconds to billed minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingRounding {
    /// Rounds up every viewer's time on a stage to whole minutes.
    ViewerMinute,
    /// Rounds up only the sum to whole minutes.
    TotalMinute,
    /// No rounding, and no column of billed minutes.
    None,
}

/// Parameters of an export.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// Range of the export.
    pub range: Span,
    /// Only stage to export; `None` for all.
    pub stage: Option<String>,
    /// Whether to write one row per customer and calendar period, instead of one per stage, viewer
    /// and configuration.
    pub by_customer: bool,
    /// Key of a label, to write one row per customer, value of the label and period. Only with
    /// `by_customer`.
    pub by_label: Option<String>,
    /// Whether to write one row per interval of watch time, instead of one per stage and viewer.
    pub intervals: bool,
    /// Unit of the calendar periods.
    pub period: PeriodUnit,
    /// Time zone of the periods and of formatted times; `None` for UTC and no times beside the
    /// milliseconds.
    pub zone: Option<Zone>,
    /// Rounding of the billed minutes.
    pub round: BillingRounding,
    /// Format of the file.
    pub format: ExportFormat,
    /// Rows held in memory at once: [`EXPORT_ROWS_MAX`](housecount_core::limits::EXPORT_ROWS_MAX).
    pub rows_max: usize,
}

/// Result of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    /// Rows written.
    pub rows: u64,
    /// Watch time of these rows.
    pub watch_ms: u64,
    /// Time up to which the ledger is committed.
    pub committed_to: UnixMs,
}

/// Margin around the ledger's chunks: longer than a window, and than late spans reach back.
const MARGIN_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Writes the export.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Unavailable` if the file can't be written.
pub async fn write(
    cold: &Arc<dyn Cold>,
    request: &ExportRequest,
    out: Box<dyn Write + Send>,
    mut progress: impl FnMut(f64) + Send,
) -> StoreResult<ExportSummary> {
    let failed =
        |e: std::io::Error| StoreError::caused(ErrorKind::Unavailable, "writing the export", e);
    let columns = columns(request);
    let mut sink = sink(request.format, out, columns)?;
    let committed_to = committed_to(cold).await?;
    let (first, last) = chain::extent(cold).await?.unwrap_or_default();
    // No watch time is further from the ledger than this margin, so years without a ledger are
    // skipped. The range also ends where all chains end. Time that only some chains have may still
    // change, and so may configurations.
    let whole = Span::new(first.minus(MARGIN_MS), last.plus(MARGIN_MS).min(committed_to));
    let range =
        request.range.clip(whole).unwrap_or(Span::new(request.range.from, request.range.from));
    let pieces = if request.by_customer {
        request.zone.clone().unwrap_or_else(Zone::utc).periods(range, request.period)
    } else {
        vec![Period { name: String::new(), starts_at: range.from, span: range }]
    };
    let mut configs = Configs::new(cold, range);
    let mut exported = ExportSummary { rows: 0, watch_ms: 0, committed_to };
    let mut wanted = WatchFilter {
        stage: request.stage.clone(),
        intervals: request.intervals,
        by: request.by_label.clone(),
        ..WatchFilter::default()
    };
    for period in pieces {
        wanted.after = None;
        let mut groups: BTreeMap<(String, String), CustomerMonth> = BTreeMap::new();
        loop {
            let page = scan::committed_watch(
                cold,
                period.span,
                wanted.clone(),
                request.rows_max,
                &mut progress,
            )
            .await?;
            if configs.find_cuts(&page.rows, &mut wanted.cuts).await? {
                continue;
            }
            wanted.after = page.rows.last().map(|(who, _)| who.clone());
            for ((stage, viewer), watched) in page.rows {
                exported.watch_ms += watched.watch_ms;
                let config = configs.of(&stage).await?.of(&watched);
                if request.by_customer {
                    let customer =
                        config.and_then(|config| config.customer.clone()).unwrap_or_default();
                    let (viewer, value) = split_value(&viewer);
                    let group = groups.entry((customer, value.to_string())).or_default();
                    group.add(&stage, viewer, &watched);
                    continue;
                }
                let rows = if request.intervals { by_interval(watched) } else { vec![watched] };
                for watched in rows {
                    exported.rows += 1;
                    sink.row(row(&stage, &viewer, &watched, config, request)).map_err(failed)?;
                }
            }
            if !page.more {
                break;
            }
        }
        for (of, group) in groups {
            exported.rows += 1;
            sink.row(group.row(of, &period, request)).map_err(failed)?;
        }
    }
    sink.finish().map_err(failed)?;
    Ok(exported)
}

/// Splits a row into one per interval.
fn by_interval(row: WatchTime) -> Vec<WatchTime> {
    let of = |span: &Span| WatchTime {
        piece: row.piece,
        watch_ms: span.ms(),
        first_at: span.from,
        last_at: span.to,
        intervals: Vec::new(),
    };
    row.intervals.iter().map(of).collect()
}

/// Opens the writer of a format's rows.
fn sink(
    format: ExportFormat,
    out: Box<dyn Write + Send>,
    columns: Vec<Column>,
) -> StoreResult<Box<dyn Sink + Send>> {
    let failed =
        |e: std::io::Error| StoreError::caused(ErrorKind::Unavailable, "writing the export", e);
    Ok(match format {
        ExportFormat::Csv(style) => Box::new(csv::Csv::new(out, columns, style).map_err(failed)?),
        ExportFormat::Ndjson => Box::new(ndjson::Ndjson::new(out, columns)),
        ExportFormat::Parquet => Box::new(parquet::Parquet::new(out, columns).map_err(failed)?),
    })
}
