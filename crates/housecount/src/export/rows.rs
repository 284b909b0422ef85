//! Rows of an export: a viewer's time on a stage under one configuration, or a customer's period.

use housecount_core::stage::StageConfig;
use housecount_ledger::watch::WatchTime;
use housecount_server::calendar::{Period, PeriodUnit};

use super::table::{Cell, Column, ColumnType};
use super::{BillingRounding, ExportRequest};

const MINUTE_MS: u64 = 60_000;

/// Columns of a requested export.
pub fn columns(request: &ExportRequest) -> Vec<Column> {
    let text = |name: &'static str| Column { name: name.into(), kind: ColumnType::Text };
    let number = |name: &'static str| Column { name: name.into(), kind: ColumnType::Number };
    let has_zone = request.zone.is_some();
    let mut columns: Vec<Column> = if request.by_customer {
        let period = match request.period {
            PeriodUnit::Day => "day",
            PeriodUnit::Month => "month",
        };
        let starts_at = has_zone.then_some(text("starts_at"));
        let numbers = ["stages", "viewer_stages", "watch_ms"].map(number);
        let label = request.by_label.clone();
        let label = label.map(|key| Column { name: key.into(), kind: ColumnType::Text });
        let who = [text("customer")].into_iter().chain(label).chain([text(period)]);
        who.chain(starts_at).chain(numbers).collect()
    } else {
        let time = |name: &'static str| Column { name: name.into(), kind: ColumnType::TimeMs };
        let json = |name: &'static str| Column { name: name.into(), kind: ColumnType::Json };
        let who = [
            text("stage"),
            text("viewer"),
            number("watch_ms"),
            time("first_at_ms"),
            time("last_at_ms"),
        ];
        let shown = has_zone.then_some([text("first_at"), text("last_at")]).into_iter().flatten();
        let config = [text("customer"), text("name"), json("tags")];
        who.into_iter().chain(shown).chain(config).collect()
    };
    if request.round != BillingRounding::None {
        columns.push(number("billed_minutes"));
    }
    columns
}

/// Returns a viewer's row.
pub fn row(
    stage: &str,
    viewer: &str,
    watched: &WatchTime,
    config: Option<&StageConfig>,
    request: &ExportRequest,
) -> Vec<Cell> {
    let text = |text: Option<&String>| Cell::Text(text.cloned().unwrap_or_default());
    let tags = config
        .map(|config| serde_json::json!(config.tags))
        .unwrap_or_else(|| serde_json::json!({}));
    let mut row = vec![
        Cell::Text(stage.to_string()),
        Cell::Text(viewer.to_string()),
        Cell::Number(watched.watch_ms),
        Cell::Number(watched.first_at.0),
        Cell::Number(watched.last_at.0),
    ];
    if let Some(zone) = &request.zone {
        row.extend([watched.first_at, watched.last_at].map(|at| Cell::Text(zone.shown(at))));
    }
    row.push(text(config.and_then(|config| config.customer.as_ref())));
    row.push(text(config.and_then(|config| config.name.as_ref())));
    row.push(Cell::Text(tags.to_string()));
    if request.round != BillingRounding::None {
        row.push(Cell::Number(watched.watch_ms.div_ceil(MINUTE_MS)));
    }
    row
}

/// Totals of a customer's period.
#[derive(Debug, Default)]
pub struct CustomerMonth {
    stages: u64,
    viewer_stages: u64,
    watch_ms: u64,
    /// Minutes, with each viewer's time on a stage rounded up.
    minutes: u64,
    /// Stage and viewer of the last row, whose time is `last_ms`. A change of a tag must not bill a
    /// minute twice.
    last: (Box<str>, Box<str>),
    last_ms: u64,
}

impl CustomerMonth {
    /// Adds a row. Rows arrive ordered by stage and then by viewer.
    pub fn add(&mut self, stage: &str, viewer: &str, watched: &WatchTime) {
        let is_first = self.viewer_stages == 0;
        let is_same_stage = !is_first && *self.last.0 == *stage;
        if !is_same_stage || *self.last.1 != *viewer {
            self.stages += u64::from(!is_same_stage);
            self.viewer_stages += 1;
            self.last = (stage.into(), viewer.into());
            self.last_ms = 0;
        }
        let billed = self.last_ms.div_ceil(MINUTE_MS);
        self.last_ms += watched.watch_ms;
        self.watch_ms += watched.watch_ms;
        self.minutes += self.last_ms.div_ceil(MINUTE_MS) - billed;
    }

    /// Returns the row of the period.
    pub fn row(
        &self,
        (customer, value): (String, String),
        period: &Period,
        request: &ExportRequest,
    ) -> Vec<Cell> {
        let starts_at = request.zone.as_ref().map(|zone| zone.shown(period.starts_at));
        let who = [customer].into_iter().chain(request.by_label.is_some().then_some(value));
        let texts = who.chain([period.name.clone()]).chain(starts_at).map(Cell::Text);
        let numbers = [self.stages, self.viewer_stages, self.watch_ms].map(Cell::Number);
        let billed = match request.round {
            BillingRounding::ViewerMinute => Some(self.minutes),
            BillingRounding::TotalMinute => Some(self.watch_ms.div_ceil(MINUTE_MS)),
            BillingRounding::None => None,
        };
        texts.chain(numbers).chain(billed.map(Cell::Number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::span::Span;
    use housecount_core::time::UnixMs;

    use super::*;
    use crate::export::{CsvStyle, ExportFormat};
    use housecount_server::calendar::Zone;

    fn request(round: BillingRounding, zone: Option<Zone>) -> ExportRequest {
        ExportRequest {
            range: Span::new(UnixMs(0), UnixMs(1)),
            stage: None,
            by_customer: true,
            by_label: None,
            intervals: false,
            period: PeriodUnit::Month,
            zone,
            round,
            format: ExportFormat::Csv(CsvStyle::Raw),
            rows_max: 1,
        }
    }

    fn month() -> Period {
        let starts_at = UnixMs(1_793_487_600_000);
        Period { name: "2026-11".into(), starts_at, span: Span::new(starts_at, starts_at.plus(1)) }
    }

    fn watched(watch_ms: u64) -> WatchTime {
        WatchTime {
            piece: 0,
            watch_ms,
            first_at: UnixMs(0),
            last_at: UnixMs(0),
            intervals: Vec::new(),
        }
    }

    #[test]
    fn minutes_are_rounded_as_requested() {
        let mut group = CustomerMonth::default();
        group.add("a", "ann", &watched(60_000));
        group.add("a", "bob", &watched(1));
        group.add("b", "bob", &watched(30_000));
        let last = |round| {
            group
                .row(("acme".into(), String::new()), &month(), &request(round, None))
                .pop()
                .unwrap()
        };
        assert_eq!(last(BillingRounding::ViewerMinute), Cell::Number(3));
        assert_eq!(last(BillingRounding::TotalMinute), Cell::Number(2));
        assert_eq!(last(BillingRounding::None), Cell::Number(90_001));
        assert_eq!((group.stages, group.viewer_stages), (2, 3));
        let round = request(BillingRounding::TotalMinute, None);
        assert_eq!(row("a", "v", &watched(60_001), None, &round).pop(), Some(Cell::Number(2)));
    }

    /// A tag has changed meanwhile, so one viewer has two rows and is rounded once.
    #[test]
    fn a_viewer_with_two_rows_is_rounded_once() {
        let mut group = CustomerMonth::default();
        for ms in [59_000, 500, 1_000] {
            group.add("a", "ann", &watched(ms));
        }
        group.add("b", "ann", &watched(1));
        assert_eq!((group.stages, group.viewer_stages, group.minutes), (2, 2, 3));
    }

    /// Rows have one cell per column, with a zone or without. With a zone, times have its offset.
    #[test]
    fn rows_have_a_cell_per_column() {
        for zone in [None, Some(Zone::parse("Europe/Berlin").unwrap())] {
            let grouped = request(BillingRounding::None, zone.clone());
            let cells =
                CustomerMonth::default().row(("acme".into(), "NO".into()), &month(), &grouped);
            assert_eq!(cells.len(), columns(&grouped).len());
            let by_viewer = ExportRequest { by_customer: false, ..grouped };
            let row = row("a", "v", &watched(1), None, &by_viewer);
            assert_eq!(row.len(), columns(&by_viewer).len());
            if zone.is_some() {
                assert_eq!(cells[2], Cell::Text("2026-11-01T00:00:00.000+01:00".into()));
                assert_eq!(row[5], Cell::Text("1970-01-01T01:00:00.000+01:00".into()));
            }
        }
    }
}
