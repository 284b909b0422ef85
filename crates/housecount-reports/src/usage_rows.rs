//! Pages of usage: rows by period, customer and stage.

use std::collections::BTreeMap;

use housecount_core::time::UnixMs;

use crate::usage::StageUsage;

/// Place of a row in the list: the start of its whole period, its customer, and its stage. The
/// stage is empty where rows are of customers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPlace {
    /// Start of the whole period.
    pub starts_at: UnixMs,
    /// Customer; empty for stages without one.
    pub customer: String,
    /// Stage; empty where rows are of customers.
    pub stage: String,
}

impl RowPlace {
    /// Reads a cursor; `None` for a text that is not one.
    #[must_use]
    pub fn parse(cursor: &str) -> Option<RowPlace> {
        let (starts_at, rest) = cursor.split_once('.')?;
        // A stage has no space. A customer may have both.
        let (stage, customer) = rest.split_once(' ')?;
        let starts_at = UnixMs(starts_at.parse().ok()?);
        Some(RowPlace { starts_at, customer: customer.into(), stage: stage.into() })
    }

    /// Text from which [`RowPlace::parse`] makes this place.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}.{} {}", self.starts_at, self.stage, self.customer)
    }
}

/// Sums of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSums {
    /// Number of stages.
    pub stages: u64,
    /// Watch time.
    pub watch_ms: u64,
}

/// First rows of a list after a place, at most `limit`. A row that doesn't fit is dropped, and
/// can't come back, because the last kept row only moves to the front.
#[derive(Debug, Default)]
pub struct UsageRows {
    /// Place after which the page begins.
    pub after: Option<RowPlace>,
    /// Only customer to list.
    pub customer: Option<String>,
    /// Whether each stage has its own row.
    pub is_by_stage: bool,
    /// Largest number of rows.
    pub limit: usize,
    /// The rows.
    pub rows: BTreeMap<RowPlace, RowSums>,
    /// Whether later rows were dropped.
    pub more: bool,
}

impl UsageRows {
    /// Adds the usage of a stage. Each stage comes once for a place.
    pub fn add(&mut self, starts_at: UnixMs, of: StageUsage<'_>) {
        let customer = of.customer.unwrap_or_default();
        if self.customer.as_deref().is_some_and(|wanted| wanted != customer) {
            return;
        }
        let stage = if self.is_by_stage { of.stage } else { "" };
        let place = RowPlace { starts_at, customer: customer.into(), stage: stage.into() };
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        let is_beyond = self.rows.last_key_value().is_some_and(|(last, _)| place > *last);
        if is_beyond && self.rows.len() >= self.limit {
            self.more = true;
            return;
        }
        let sums = self.rows.entry(place).or_default();
        sums.stages += 1;
        sums.watch_ms += of.watch_ms;
        if self.rows.len() > self.limit {
            self.rows.pop_last();
            self.more = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_its_cursor() {
        for (customer, stage) in [("a.b c", ""), ("a.b c", "s.t"), ("", "s"), ("", "")] {
            let place =
                RowPlace { starts_at: UnixMs(5), customer: customer.into(), stage: stage.into() };
            assert_eq!(RowPlace::parse(&place.cursor()), Some(place));
        }
        for bad in ["", "5", "5.a", "x.a b", "-1.a b"] {
            assert!(RowPlace::parse(bad).is_none(), "{bad}");
        }
    }

    /// Rows come from the stages in any order of customers.
    #[test]
    fn page_rows_max_rows_are_the_first_ones() {
        let stages: [(&str, usize, &str); 7] = [
            ("a", 1, "x"),
            ("b", 0, "z"),
            ("c", 0, "y"),
            ("d", 1, "x"),
            ("e", 0, "z"),
            ("f", 1, ""),
            ("g", 0, "y"),
        ];
        let mut all: Vec<(RowPlace, RowSums)> = Vec::new();
        for pages in 1.. {
            let mut rows = UsageRows {
                after: all.last().map(|(place, _)| place.clone()),
                limit: 1,
                ..UsageRows::default()
            };
            for (stage, period, customer) in stages {
                let customer = Some(customer).filter(|customer| !customer.is_empty());
                let of = StageUsage { stage, customer, period, watch_ms: 10 };
                rows.add(UnixMs(period as u64), of);
            }
            assert_eq!(rows.rows.len(), 1);
            all.extend(rows.rows);
            if !rows.more {
                assert_eq!(pages, 4);
                break;
            }
        }
        let shown: Vec<_> = all
            .iter()
            .map(|(place, sums)| (place.starts_at.0, &*place.customer, sums.stages, sums.watch_ms))
            .collect();
        assert_eq!(shown, [(0, "y", 2, 20), (0, "z", 2, 20), (1, "", 1, 10), (1, "x", 2, 20)]);
    }
}
