//! Views: proven spans of viewers on a stage, joined where the gap between two is at most a ttl.

use std::collections::BTreeMap;

use super::book::SpanVisitor;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

/// One watch span: proven time without a gap of more than the ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Start of its first proven span.
    pub from: UnixMs,
    /// End of its last proven span.
    pub to: UnixMs,
    /// Proven time, gaps left out.
    pub watch_ms: u64,
}

/// Selection of the collected views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewsOf {
    /// All viewers on this stage; rows are by viewer.
    Stage(String),
    /// This viewer on all stages; rows are by stage.
    Viewer(String),
}

/// Views of a range. Memory is bounded by `views_max`. Beyond it all views are dropped, and
/// `is_full` returns true.
#[derive(Debug)]
pub struct Views {
    range: Span,
    of: ViewsOf,
    gap_ms_max: u64,
    views_max: usize,
    rows: BTreeMap<Box<str>, Vec<View>>,
    count: usize,
    is_full: bool,
}

impl Views {
    /// Creates a collection without views. A gap of more than `gap_ms_max` begins a new view.
    #[must_use]
    pub fn new(range: Span, of: ViewsOf, gap_ms_max: u64, views_max: usize) -> Views {
        Views { range, of, gap_ms_max, views_max, rows: BTreeMap::new(), count: 0, is_full: false }
    }

    /// Returns the range that spans are clipped to.
    #[must_use]
    pub fn range(&self) -> Span {
        self.range
    }

    /// Returns the only viewer whose views are collected, if there is one.
    #[must_use]
    pub fn viewer(&self) -> Option<&str> {
        match &self.of {
            ViewsOf::Viewer(viewer) => Some(viewer),
            ViewsOf::Stage(_) => None,
        }
    }

    /// Returns whether there were more views than the limit. All views are then dropped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns the number of views.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds a span. No two spans of one viewer on a stage may overlap; their order doesn't matter.
    pub fn add(&mut self, stage: &str, viewer: &str, span: Span) {
        let row = match &self.of {
            ViewsOf::Stage(of) if of == stage => viewer,
            ViewsOf::Viewer(of) if of == viewer => stage,
            ViewsOf::Stage(_) | ViewsOf::Viewer(_) => return,
        };
        let Some(span) = span.clip(self.range).filter(|_| !self.is_full) else { return };
        if !self.rows.contains_key(row) {
            self.rows.insert(row.into(), Vec::new());
        }
        let Some(views) = self.rows.get_mut(row) else { return };
        let joined = join(views, span, self.gap_ms_max);
        self.count = self.count + 1 - joined;
        if self.count > self.views_max {
            (self.rows, self.count, self.is_full) = (BTreeMap::new(), 0, true);
        }
    }

    /// Returns the views by viewer or stage, each row in order of time.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &[View])> {
        self.rows.iter().map(|(row, views)| (&**row, &**views))
    }
}

/// Collects nothing. It stands in for a collection that is taken out of its place for a while.
impl Default for Views {
    fn default() -> Views {
        Views::new(Span::default(), ViewsOf::Stage(String::new()), 0, 0)
    }
}

impl SpanVisitor for Views {
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }
}

/// Adds a span to sorted views, and joins it with the views near it. Returns their number.
fn join(views: &mut Vec<View>, span: Span, gap_ms_max: u64) -> usize {
    let first = views.partition_point(|view| view.to.plus(gap_ms_max) < span.from);
    let near =
        views[first..].iter().take_while(|view| view.from <= span.to.plus(gap_ms_max)).count();
    let alone = View { from: span.from, to: span.to, watch_ms: span.ms() };
    let all = views[first..first + near].iter().fold(alone, |all, view| View {
        from: all.from.min(view.from),
        to: all.to.max(view.to),
        watch_ms: all.watch_ms + view.watch_ms,
    });
    views.splice(first..first + near, [all]);
    near
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use housecount_core::limits::VIEWS_HELD_MAX;

    const RANGE: Span = Span { from: UnixMs(100), to: UnixMs(900) };

    fn of_stage() -> Views {
        Views::new(RANGE, ViewsOf::Stage("s".to_string()), 10, 1_000)
    }

    fn all(views: &Views) -> Vec<(u64, u64, u64)> {
        views
            .rows()
            .flat_map(|(_, row)| row)
            .map(|view| (view.from.0, view.to.0, view.watch_ms))
            .collect()
    }

    #[test]
    fn a_gap_of_more_than_a_ttl_begins_a_new_view() {
        let mut views = of_stage();
        for (from, to) in [(200, 220), (230, 240), (251, 260), (50, 110), (890, 950), (0, 90)] {
            views.add("s", "ann", Span::new(UnixMs(from), UnixMs(to)));
        }
        views.add("other", "ann", Span::new(UnixMs(300), UnixMs(310)));
        assert_eq!(all(&views), [(100, 110, 10), (200, 240, 30), (251, 260, 9), (890, 900, 10)]);
        views.add("s", "ann", Span::new(UnixMs(245), UnixMs(246)));
        assert_eq!(all(&views)[1], (200, 260, 40), "a view near two others joins them");
        views.add("s", "bob", Span::new(UnixMs(200), UnixMs(220)));
        assert_eq!((views.count(), views.rows().count()), (4, 2));
    }

    #[test]
    fn a_viewers_rows_are_its_stages() {
        let mut views = Views::new(RANGE, ViewsOf::Viewer("ann".to_string()), 10, 1_000);
        for (stage, viewer) in [("b", "ann"), ("a", "ann"), ("a", "bob")] {
            views.add(stage, viewer, Span::new(UnixMs(200), UnixMs(201)));
        }
        assert_eq!(views.rows().map(|(stage, _)| stage).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((views.viewer(), of_stage().viewer()), (Some("ann"), None));
    }

    #[test]
    fn views_held_max_drops_all_instead_of_some() {
        let range = Span::new(UnixMs(0), UnixMs(u64::MAX));
        let mut views = Views::new(range, ViewsOf::Stage("s".to_string()), 10, VIEWS_HELD_MAX);
        let mut add = |n: usize| {
            let from = UnixMs(n as u64 * 100);
            views.add("s", "ann", Span::new(from, from.plus(1)));
            (views.count(), views.is_full())
        };
        for n in 0..VIEWS_HELD_MAX - 1 {
            let _ = add(n);
        }
        assert_eq!(add(VIEWS_HELD_MAX - 1), (VIEWS_HELD_MAX, false));
        assert_eq!(add(VIEWS_HELD_MAX), (0, true));
        assert_eq!(add(VIEWS_HELD_MAX + 1), (0, true), "a full list of views stays empty");
    }

    proptest! {
        /// Any order gives the same views, equal to those found by a scan in time order.
        #[test]
        fn order_does_not_matter(spans in proptest::collection::btree_set(0..60u64, 0..30).prop_map(Vec::from_iter).prop_shuffle()) {
            // The n-th span is in the n-th ten milliseconds, so that spans do not overlap.
            let span = |n: u64| Span::new(UnixMs(100 + n * 10), UnixMs(101 + n * 10 + n % 9));
            let mut views = Views::new(RANGE, ViewsOf::Stage("s".to_string()), 15, 1_000);
            spans.iter().for_each(|n| views.add("s", "ann", span(*n)));
            let mut sorted: Vec<Span> = spans.iter().map(|n| span(*n)).collect();
            sorted.sort_unstable_by_key(|span| span.from);
            let mut expected: Vec<(u64, u64, u64)> = Vec::new();
            for span in sorted {
                match expected.last_mut() {
                    Some((_, to, ms)) if span.from.0 - *to <= 15 => (*to, *ms) = (span.to.0, *ms + span.ms()),
                    _ => expected.push((span.from.0, span.to.0, span.ms())),
                }
            }
            prop_assert_eq!(all(&views), expected);
        }
    }
}
