//! Watch records as files: who watched what for how long, or what each customer is to pay for.
//!
//! Rows come from the ledger a page at a time, so memory is bounded however long the range is. A file gets its name
//! when it is whole.

mod csv;
mod ndjson;
mod parquet;
pub mod raw;
mod table;
pub mod whole;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

use housecount_core::item::Item;
use housecount_core::keys::Key;
use housecount_core::ledger::watch::{Wanted, Watched};
use housecount_core::span::Span;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;

use self::table::{Cell, Column, Kind, Sink};
use crate::calendar;
use crate::cold::Cold;
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::ledger::{chain, scan};

/// Up to when there is a ledger to export.
///
/// # Errors
/// The cold tier's.
pub async fn committed_to(cold: &Arc<dyn Cold>) -> StoreResult<UnixMs> {
    let mut ends = Vec::new();
    for chain in chain::all(cold).await? {
        ends.push((chain, chain::end(&**cold, chain).await?));
    }
    Ok(scan::committed_to(&ends))
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header, RFC 4180.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Apache Parquet, Snappy-compressed.
    Parquet,
}

/// How milliseconds become minutes to be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Every viewer's time on a stage, up to whole minutes.
    ViewerMinute,
    /// The sum, up to whole minutes.
    TotalMinute,
    /// Not at all: there is no such column.
    None,
}

/// What is exported.
#[derive(Clone, Debug)]
pub struct Request {
    /// From when to when.
    pub range: Span,
    /// Only this stage.
    pub stage: Option<String>,
    /// A row a customer and calendar month (UTC) instead of one a stage and viewer.
    pub by_customer: bool,
    /// See [`Round`].
    pub round: Round,
    /// See [`Format`].
    pub format: Format,
    /// Rows held in memory at once: [`EXPORT_ROWS_MAX`](housecount_core::limits::EXPORT_ROWS_MAX).
    pub rows_max: usize,
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Rows written.
    pub rows: u64,
    /// Their watch time.
    pub watch_ms: u64,
    /// Up to when the ledger has it.
    pub committed_to: UnixMs,
}

/// Longer than a window, and than late spans reach back.
const MARGIN_MS: u64 = 7 * 24 * 60 * 60 * 1000;

const MINUTE_MS: u64 = 60_000;

/// Writes the export.
///
/// # Errors
/// The cold tier's, or the file's.
pub async fn write(
    cold: &Arc<dyn Cold>,
    request: &Request,
    out: Box<dyn Write + Send>,
    mut progress: impl FnMut(f64) + Send,
) -> StoreResult<Exported> {
    let failed = |e: std::io::Error| StoreError::caused(ErrorKind::Unavailable, "writing the export", e);
    let columns = columns(request);
    let mut sink = sink(request.format, out, columns)?;
    let mut export = Export { cold, request, configs: HashMap::new(), rows: 0, watch_ms: 0 };
    let committed_to = committed_to(cold).await?;
    let (first, last) = chain::extent(cold).await?.unwrap_or_default();
    // Nothing lies further from it than this, and nobody has to go through years without a ledger.
    let whole = Span::new(first.minus(MARGIN_MS), last.plus(MARGIN_MS));
    let range = request.range.clip(whole).unwrap_or(Span::new(request.range.from, request.range.from));
    let pieces = if request.by_customer { calendar::months(range) } else { vec![(String::new(), range)] };
    for (month, range) in pieces {
        let mut wanted = Wanted { stage: request.stage.clone(), ..Wanted::default() };
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        loop {
            let page = scan::committed(cold, range, wanted.clone(), request.rows_max, &mut progress).await?;
            wanted.after = page.rows.last().map(|(who, _)| who.clone());
            for ((stage, viewer), watched) in page.rows {
                export.watch_ms += watched.watch_ms;
                export.rows += u64::from(!request.by_customer);
                let config = export.config(&stage).await?;
                if request.by_customer {
                    let customer = config.and_then(|config| config.customer.clone()).unwrap_or_default();
                    groups.entry(customer).or_default().add(&stage, &watched);
                } else {
                    let row = row(&stage, &viewer, &watched, config, request.round);
                    sink.row(row).map_err(failed)?;
                }
            }
            if !page.more {
                break;
            }
        }
        for (customer, group) in groups {
            export.rows += 1;
            sink.row(group.row(customer, &month, request.round)).map_err(failed)?;
        }
    }
    sink.finish().map_err(failed)?;
    Ok(Exported { rows: export.rows, watch_ms: export.watch_ms, committed_to })
}

/// Where rows of a format go.
fn sink(
    format: Format,
    out: Box<dyn Write + Send>,
    columns: Vec<Column>,
) -> StoreResult<Box<dyn Sink + Send>> {
    let failed = |e: std::io::Error| StoreError::caused(ErrorKind::Unavailable, "writing the export", e);
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::new(out, columns).map_err(failed)?),
        Format::Ndjson => Box::new(ndjson::Ndjson::new(out, columns)),
        Format::Parquet => Box::new(parquet::Parquet::new(out, columns).map_err(failed)?),
    })
}

struct Export<'a> {
    cold: &'a Arc<dyn Cold>,
    request: &'a Request,
    /// By stage; rows come stage by stage, so one at a time is enough.
    configs: HashMap<Box<str>, Option<StageConfig>>,
    rows: u64,
    watch_ms: u64,
}

impl Export<'_> {
    async fn config(&mut self, stage: &str) -> StoreResult<Option<&StageConfig>> {
        if !self.configs.contains_key(stage) {
            debug_assert!(self.request.stage.as_deref().is_none_or(|wanted| wanted == stage));
            let item: Option<Item> = self.cold.get(&Key::Config { stage: stage.to_string() }).await?;
            let config = item.map(|item| StageConfig::from_item(&item)).transpose();
            let config = config.map_err(|e| {
                StoreError::caused(ErrorKind::Corrupt, format!("the configuration of stage {stage}"), e)
            })?;
            self.configs.clear();
            self.configs.insert(stage.into(), config);
        }
        Ok(self.configs.get(stage).and_then(Option::as_ref))
    }
}

fn columns(request: &Request) -> Vec<Column> {
    let text = |name| Column { name, kind: Kind::Text };
    let number = |name| Column { name, kind: Kind::Number };
    let mut columns = if request.by_customer {
        vec![text("customer"), text("month"), number("stages"), number("viewer_stages"), number("watch_ms")]
    } else {
        let time = |name| Column { name, kind: Kind::TimeMs };
        let json = |name| Column { name, kind: Kind::Json };
        vec![
            text("stage"),
            text("viewer"),
            number("watch_ms"),
            time("first_at_ms"),
            time("last_at_ms"),
            text("customer"),
            text("name"),
            json("tags"),
        ]
    };
    if request.round != Round::None {
        columns.push(number("billed_minutes"));
    }
    columns
}

fn row(
    stage: &str,
    viewer: &str,
    watched: &Watched,
    config: Option<&StageConfig>,
    round: Round,
) -> Vec<Cell> {
    let text = |text: Option<&String>| Cell::Text(text.cloned().unwrap_or_default());
    let tags = config.map(|config| serde_json::json!(config.tags)).unwrap_or_else(|| serde_json::json!({}));
    let mut row = vec![
        Cell::Text(stage.to_string()),
        Cell::Text(viewer.to_string()),
        Cell::Number(watched.watch_ms),
        Cell::Number(watched.first_at.0),
        Cell::Number(watched.last_at.0),
        text(config.and_then(|config| config.customer.as_ref())),
        text(config.and_then(|config| config.name.as_ref())),
        Cell::Text(tags.to_string()),
    ];
    if round != Round::None {
        row.push(Cell::Number(watched.watch_ms.div_ceil(MINUTE_MS)));
    }
    row
}

/// A customer's month.
#[derive(Debug, Default)]
struct Group {
    stages: u64,
    last_stage: Box<str>,
    viewer_stages: u64,
    watch_ms: u64,
    /// Minutes, each viewer's time on a stage rounded up.
    minutes: u64,
}

impl Group {
    /// Rows come stage by stage.
    fn add(&mut self, stage: &str, watched: &Watched) {
        if *self.last_stage != *stage {
            self.stages += 1;
            self.last_stage = stage.into();
        }
        self.viewer_stages += 1;
        self.watch_ms += watched.watch_ms;
        self.minutes += watched.watch_ms.div_ceil(MINUTE_MS);
    }

    fn row(&self, customer: String, month: &str, round: Round) -> Vec<Cell> {
        let (customer, month) = (Cell::Text(customer), Cell::Text(month.to_string()));
        let numbers = [self.stages, self.viewer_stages, self.watch_ms].map(Cell::Number);
        let billed = match round {
            Round::ViewerMinute => Some(self.minutes),
            Round::TotalMinute => Some(self.watch_ms.div_ceil(MINUTE_MS)),
            Round::None => None,
        };
        [customer, month].into_iter().chain(numbers).chain(billed.map(Cell::Number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_rounded_where_it_is_said() {
        let watched = |watch_ms| Watched {
            piece: 0,
            watch_ms,
            first_at: UnixMs(0),
            last_at: UnixMs(0),
            intervals: Vec::new(),
        };
        let mut group = Group::default();
        group.add("a", &watched(60_000));
        group.add("a", &watched(1));
        group.add("b", &watched(30_000));
        let last = |round| group.row("acme".into(), "2026-11", round).pop().unwrap();
        assert_eq!(last(Round::ViewerMinute), Cell::Number(3));
        assert_eq!(last(Round::TotalMinute), Cell::Number(2));
        assert_eq!(last(Round::None), Cell::Number(90_001));
        assert_eq!((group.stages, group.viewer_stages), (2, 3));
        assert_eq!(row("a", "v", &watched(60_001), None, Round::TotalMinute).pop(), Some(Cell::Number(2)));
    }
}
