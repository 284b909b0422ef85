//! Export of every heartbeat of the archive as a row, for audit.

use std::io::Write;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::event::{EventKind, EventRef};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::archive_read as read;
use housecount_server::calendar::Zone;

use super::table::{Cell, Column, ColumnType};
use super::{ExportFormat, sink};

/// Parameters of an export of heartbeats.
#[derive(Clone, Debug)]
pub struct RawExportRequest {
    /// Range of the export.
    pub range: Span,
    /// Only stage to export; `None` for all.
    pub stage: Option<String>,
    /// Format of the file.
    pub format: ExportFormat,
    /// Time zone of the times beside the milliseconds; `None` for no such times.
    pub zone: Option<Zone>,
    /// Longest delay of a beat before it reached the log: the setting `lateness_max`.
    pub late_ms: u64,
}

fn columns(zone: Option<&Zone>) -> Vec<Column> {
    let text = |name: &'static str| Column { name: name.into(), kind: ColumnType::Text };
    let at = [Column { name: "at_ms".into(), kind: ColumnType::TimeMs }]
        .into_iter()
        .chain(zone.map(|_| text("at")));
    ["stage", "viewer", "session"].map(text).into_iter().chain(at).chain([text("kind")]).collect()
}

fn row(event: &EventRef<'_>, zone: Option<&Zone>) -> Vec<Cell> {
    let text = |text: &str| Cell::Text(text.to_string());
    let kind = if event.kind == EventKind::Beat { "beat" } else { "leave" };
    let at = [Cell::Number(event.at.0)]
        .into_iter()
        .chain(zone.map(|zone| Cell::Text(zone.shown(event.at))));
    [event.ids.stage, event.ids.viewer, event.ids.session]
        .map(text)
        .into_iter()
        .chain(at)
        .chain([text(kind)])
        .collect()
}

/// Result of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawExportSummary {
    /// Rows written.
    pub rows: u64,
    /// Unreadable parts of the archive, one line each.
    pub problems: Vec<String>,
}

/// Writes the export: the packed archive slot by slot of each partition, then the archive by items
/// stage by stage. `progress` gets the share that is read, from 0 to 1.
///
/// # Errors
/// Returns the cold tier's `StoreError`, `Unavailable` if the file can't be written, or `Missing`
/// without an archive.
pub async fn write(
    cold: &Arc<dyn Cold>,
    request: &RawExportRequest,
    out: Box<dyn Write + Send>,
    mut progress: impl FnMut(f64) + Send,
) -> StoreResult<RawExportSummary> {
    let failed =
        |e: std::io::Error| StoreError::caused(ErrorKind::Unavailable, "writing the export", e);
    let zone = request.zone.as_ref();
    let mut sink = sink(request.format, out, columns(zone))?;
    let (range, mut rows) = (request.range, 0);
    let mut with = |event: &EventRef<'_>| {
        if request.stage.as_deref().is_none_or(|stage| stage == event.ids.stage) {
            rows += 1;
            sink.row(row(event, zone)).map_err(failed)?;
        }
        Ok(())
    };
    let mut problems = Vec::new();
    let chains = read::chains(cold).await?;
    let steps = (chains.len() + 1) as f64;
    let part = |at: UnixMs| {
        (at.since(range.from) as f64 / range.to.since(range.from).max(1) as f64).min(1.0)
    };
    for (n, chain) in chains.iter().enumerate() {
        let report = |at| progress((n as f64 + part(at)) / steps);
        problems.extend(
            read::packed(&**cold, *chain, range, request.late_ms, &mut with, report).await?,
        );
    }
    let stages = match &request.stage {
        Some(stage) => [stage.clone()].into(),
        None => read::item_stages(&**cold, range).await?,
    };
    let whole = stages.len().max(1) as f64;
    for (n, stage) in stages.iter().enumerate() {
        let report = |at| progress((chains.len() as f64 + (n as f64 + part(at)) / whole) / steps);
        problems.extend(read::items(&**cold, stage, range, &mut with, report).await?);
    }
    if chains.is_empty() && rows == 0 && problems.is_empty() {
        let why = "there is no archive in the cold tier; nodes write one with `archive = \"packed\"` or \"items\"";
        return Err(StoreError::new(ErrorKind::Missing, why));
    }
    sink.finish().map_err(failed)?;
    Ok(RawExportSummary { rows, problems })
}
