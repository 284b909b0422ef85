//! Watch times in an order that the caller chooses, page by page.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::SpanVisitor;

use crate::names::Names;

/// Rows of a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RankingOf {
    /// A stage's viewers whose ids begin with a text.
    Viewers {
        /// The stage.
        stage: String,
        /// First bytes of their ids; empty for all.
        prefix: String,
    },
    /// A viewer's stages.
    Stages {
        /// The viewer.
        viewer: String,
    },
}

/// Key by which rows are sorted. Rows with the same key are sorted by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankingKey {
    /// Id of the viewer or stage.
    #[default]
    Id,
    /// Watch time.
    WatchMs,
    /// End of the last watch time.
    LastAt,
}

/// Place of a row in a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankingPlace {
    /// Value of the key; zero for ids.
    pub value: u64,
    /// Id of the viewer or stage.
    pub id: String,
}

/// Order of a ranking, and the part of it that is returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankingPage {
    /// The key.
    pub key: RankingKey,
    /// Whether the largest key is first.
    pub is_descending: bool,
    /// Place after which the page begins.
    pub after: Option<RankingPlace>,
    /// Largest number of rows.
    pub limit: usize,
}

/// A row of a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankedRow {
    /// Id of the viewer or stage.
    pub id: String,
    /// Watch time within the range.
    pub watch_ms: u64,
    /// Start of the first watch time.
    pub first_at: UnixMs,
    /// End of the last watch time.
    pub last_at: UnixMs,
}

impl RankedRow {
    /// Returns the value of a key.
    #[must_use]
    pub fn value(&self, key: RankingKey) -> u64 {
        match key {
            RankingKey::Id => 0,
            RankingKey::WatchMs => self.watch_ms,
            RankingKey::LastAt => self.last_at.0,
        }
    }
}

/// Watch time of one row.
#[derive(Clone, Copy, Debug)]
struct Times {
    watch_ms: u64,
    first_at: UnixMs,
    last_at: UnixMs,
}

/// Fold of spans into all rows of a ranking.
#[derive(Debug)]
pub struct Ranking {
    of: RankingOf,
    range: Span,
    rows_max: usize,
    is_full: bool,
    names: Names,
    rows: Vec<Times>,
}

/// Ranks nothing. It stands in for a ranking that is taken out of its place for a while.
impl Default for Ranking {
    fn default() -> Ranking {
        Ranking::new(RankingOf::Stages { viewer: String::new() }, Span::default(), 0)
    }
}

impl Ranking {
    /// Creates a ranking without rows. With more than `rows_max` rows it is full, and has no pages.
    #[must_use]
    pub fn new(of: RankingOf, range: Span, rows_max: usize) -> Ranking {
        let (names, rows) = (Names::default(), Vec::new());
        Ranking { of, range, rows_max, is_full: false, names, rows }
    }

    fn add(&mut self, stage: &str, viewer: &str, span: Span) {
        let id = match &self.of {
            RankingOf::Viewers { stage: of, prefix }
                if of == stage && viewer.starts_with(prefix) =>
            {
                viewer
            }
            RankingOf::Stages { viewer: of } if of == viewer => stage,
            RankingOf::Viewers { .. } | RankingOf::Stages { .. } => return,
        };
        let Some(span) = span.clip(self.range).filter(|_| !self.is_full) else { return };
        let number = self.names.number(id) as usize;
        match self.rows.get_mut(number) {
            Some(row) => {
                row.watch_ms += span.ms();
                row.first_at = row.first_at.min(span.from);
                row.last_at = row.last_at.max(span.to);
            }
            None if number < self.rows_max => {
                let Span { from: first_at, to: last_at } = span;
                self.rows.push(Times { watch_ms: span.ms(), first_at, last_at });
            }
            None => self.is_full = true,
        }
    }

    /// Returns a page, and whether more rows follow. Returns `None` if there are too many rows.
    #[must_use]
    pub fn page(self, page: &RankingPage) -> Option<(Vec<RankedRow>, bool)> {
        if self.is_full {
            return None;
        }
        let row = |number: usize| {
            let Times { watch_ms, first_at, last_at } = self.rows[number];
            RankedRow { id: self.names.name(number).to_string(), watch_ms, first_at, last_at }
        };
        let value = |number: usize| match page.key {
            RankingKey::Id => 0,
            RankingKey::WatchMs => self.rows[number].watch_ms,
            RankingKey::LastAt => self.rows[number].last_at.0,
        };
        let order = |one: (u64, &str), other: (u64, &str)| {
            if page.is_descending { other.cmp(&one) } else { one.cmp(&other) }
        };
        let place = |number: usize| (value(number), self.names.name(number));
        let mut numbers: Vec<usize> = (0..self.rows.len()).collect();
        if let Some(after) = &page.after {
            let after = (after.value, after.id.as_str());
            numbers.retain(|number| order(after, place(*number)).is_lt());
        }
        let more = numbers.len() > page.limit;
        if more {
            numbers.select_nth_unstable_by(page.limit, |a, b| order(place(*a), place(*b)));
            numbers.truncate(page.limit);
        }
        numbers.sort_unstable_by(|a, b| order(place(*a), place(*b)));
        Some((numbers.into_iter().map(row).collect(), more))
    }
}

impl SpanVisitor for Ranking {
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }
}

impl RangeFold for Ranking {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }

    fn is_full(&self) -> bool {
        self.is_full
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: Span = Span { from: UnixMs(100), to: UnixMs(900) };

    fn span(from: u64, to: u64) -> Span {
        Span::new(UnixMs(from), UnixMs(to))
    }

    fn ranking(spans: &[(u8, u64, u64)]) -> Ranking {
        let of = RankingOf::Viewers { stage: "s".to_string(), prefix: String::new() };
        let mut ranking = Ranking::new(of, RANGE, 100);
        for (viewer, from, ms) in spans {
            ranking.span_closed("s", &format!("v{viewer}"), span(*from, from + ms));
        }
        ranking
    }

    proptest! {
        /// Pages of any size are the sorted list, cut into pieces.
        #[test]
        fn pages_together_are_the_sorted_list(
            spans in proptest::collection::vec((0u8..12, 0u64..1_000, 1u64..9), 0..60),
            limit in 1usize..7, is_descending: bool, which in 0usize..3,
        ) {
            let key = [RankingKey::Id, RankingKey::WatchMs, RankingKey::LastAt][which];
            let whole = RankingPage { key, is_descending: false, after: None, limit: 1_000 };
            let (mut expected, more) = ranking(&spans).page(&whole).unwrap();
            prop_assert!(!more);
            expected.sort_by_key(|row| (row.value(key), row.id.clone()));
            if is_descending {
                expected.reverse();
            }
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let page = RankingPage { key, is_descending, after, limit };
                let (rows, more) = ranking(&spans).page(&page).unwrap();
                prop_assert!(rows.len() <= limit && (!more || rows.len() == limit));
                after = rows.last().map(|row| {
                    RankingPlace { value: row.value(key), id: row.id.clone() }
                });
                all.extend(rows);
                if !more {
                    break;
                }
            }
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn rows_have_the_watch_time_of_the_range() {
        let of = RankingOf::Viewers { stage: "s".to_string(), prefix: "an".to_string() };
        let mut ranking = Ranking::new(of, RANGE, 100);
        for (stage, viewer, at) in [
            ("s", "ann", span(50, 150)),
            ("s", "ann", span(200, 210)),
            ("s", "bob", span(200, 300)),
        ] {
            ranking.add_proven(stage, viewer, at);
        }
        ranking.add_proven("t", "ann", span(400, 500));
        ranking.add_proven("s", "anton", span(10, 90));
        let (rows, _) = ranking.page(&RankingPage { limit: 9, ..RankingPage::default() }).unwrap();
        let ann = RankedRow {
            id: "ann".to_string(),
            watch_ms: 60,
            first_at: UnixMs(100),
            last_at: UnixMs(210),
        };
        assert_eq!(rows, [ann]);
        let mut stages = Ranking::new(RankingOf::Stages { viewer: "v".to_string() }, RANGE, 1);
        stages.add_proven("a", "v", span(100, 200));
        stages.add_proven("a", "w", span(100, 200));
        assert!(!stages.is_full());
        stages.add_proven("b", "v", span(100, 200));
        assert!(stages.is_full() && stages.page(&RankingPage::default()).is_none());
    }
}
