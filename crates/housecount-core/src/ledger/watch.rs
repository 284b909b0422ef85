//! Who watched how long: spans added up by stage and viewer, a page of them at a time.

use std::collections::BTreeMap;

use super::book::Tell;
use crate::span::{Span, normalize};
use crate::time::UnixMs;

/// A viewer's time on a stage within a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Proven time.
    pub watch_ms: u64,
    /// When the first of it began.
    pub first_at: UnixMs,
    /// When the last of it ended.
    pub last_at: UnixMs,
    /// All of it, if that was asked for.
    pub intervals: Vec<Span>,
}

/// Stage and viewer.
pub type Who = (Box<str>, Box<str>);

/// Which spans are added up.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only on this stage.
    pub stage: Option<String>,
    /// Only of this viewer.
    pub viewer: Option<String>,
    /// Only what comes after this, by stage and viewer.
    pub after: Option<Who>,
    /// Whether intervals are kept.
    pub intervals: bool,
}

impl Wanted {
    fn holds(&self, stage: &str, viewer: &str) -> bool {
        let is = |wanted: &Option<String>, id: &str| wanted.as_ref().is_none_or(|wanted| wanted == id);
        is(&self.stage, stage)
            && is(&self.viewer, viewer)
            && self.after.as_ref().is_none_or(|(s, v)| (stage, viewer) > (&**s, &**v))
    }
}

/// The first rows of a range, by stage and viewer. Memory is bounded by `limit` rows, however long the range is: a row that
/// doesn't fit is dropped, and can't come back, since the rows that are kept only become smaller.
#[derive(Debug)]
pub struct Watch {
    range: Span,
    wanted: Wanted,
    limit: usize,
    rows: BTreeMap<Box<str>, BTreeMap<Box<str>, Watched>>,
    count: usize,
    /// The last row, once there are as many as may be.
    last: Option<Who>,
    more: bool,
}

impl Watch {
    /// Nothing is added up yet.
    #[must_use]
    pub fn new(range: Span, wanted: Wanted, limit: usize) -> Watch {
        Watch { range, wanted, limit, rows: BTreeMap::new(), count: 0, last: None, more: false }
    }

    /// Adds a span. No two of one viewer on a stage may overlap.
    pub fn add(&mut self, stage: &str, viewer: &str, span: Span) {
        let Some(span) = span.clip(self.range) else { return };
        if !self.wanted.holds(stage, viewer) {
            return;
        }
        // Most of a long range is beyond the page.
        if self.last.as_ref().is_some_and(|(s, v)| (stage, viewer) > (&**s, &**v)) {
            self.more = true;
            return;
        }
        let keep_intervals = self.wanted.intervals;
        if !self.rows.get(stage).is_some_and(|rows| rows.contains_key(viewer)) {
            self.insert(stage, viewer, span.from);
        }
        let Some(row) = self.rows.get_mut(stage).and_then(|rows| rows.get_mut(viewer)) else { return };
        row.watch_ms += span.ms();
        row.first_at = row.first_at.min(span.from);
        row.last_at = row.last_at.max(span.to);
        if keep_intervals {
            row.intervals.push(span);
        }
    }

    /// A new row, in the place of the last one if there are as many as may be.
    fn insert(&mut self, stage: &str, viewer: &str, from: UnixMs) {
        if self.count >= self.limit {
            self.more = true;
            self.drop_last();
        }
        let row = Watched { watch_ms: 0, first_at: from, last_at: from, intervals: Vec::new() };
        self.rows.entry(stage.into()).or_default().insert(viewer.into(), row);
        self.count += 1;
        if self.count >= self.limit {
            let last = self.rows.last_key_value();
            self.last =
                last.and_then(|(stage, rows)| Some((stage.clone(), rows.last_key_value()?.0.clone())));
        }
    }

    fn drop_last(&mut self) {
        let Some(mut rows) = self.rows.last_entry() else { return };
        rows.get_mut().pop_last();
        self.count -= 1;
        if rows.get().is_empty() {
            rows.remove();
        }
    }

    /// The rows in order, and whether there are more after them.
    #[must_use]
    pub fn finish(self) -> (Vec<(Who, Watched)>, bool) {
        let rows = self.rows.into_iter().flat_map(|(stage, rows)| {
            rows.into_iter().map(move |(viewer, mut row)| {
                normalize(&mut row.intervals);
                ((stage.clone(), viewer), row)
            })
        });
        (rows.collect(), self.more)
    }
}

impl Tell for Watch {
    fn closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: Span = Span { from: UnixMs(10), to: UnixMs(90) };

    proptest! {
        /// Page by page it is the same as all at once, and as a sum of spans taken one by one.
        #[test]
        fn pages_are_parts_of_the_whole(
            told in proptest::collection::vec((0..4u64, 0..9u64, 0..20u64), 0..60), limit in 1..7usize,
        ) {
            // Spans of one viewer on a stage don't overlap: the n-th lies in the n-th five milliseconds.
            let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
            let told: std::collections::BTreeSet<_> = told.into_iter().collect();
            let told: Vec<_> = told.into_iter().map(|(stage, viewer, n)| {
                let span = Span::new(UnixMs(n * 5), UnixMs(n * 5 + 1 + (stage + viewer) % 5));
                (format!("s/{stage}"), format!("v{viewer}"), span)
            }).collect();
            for (stage, viewer, span) in &told {
                if let Some(span) = span.clip(RANGE) {
                    *sums.entry((stage.clone(), viewer.clone())).or_default() += span.ms();
                }
            }
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let mut watch = Watch::new(RANGE, Wanted { after: after.clone(), ..Wanted::default() }, limit);
                told.iter().for_each(|(stage, viewer, span)| watch.add(stage, viewer, *span));
                let (rows, more) = watch.finish();
                prop_assert!(rows.len() <= limit && (rows.len() == limit || !more));
                after = rows.last().map(|(who, _)| who.clone());
                all.extend(rows.into_iter().map(|((s, v), row)| ((s.to_string(), v.to_string()), row.watch_ms)));
                if !more {
                    break;
                }
            }
            prop_assert_eq!(all, sums.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn touching_intervals_are_one() {
        let wanted = Wanted { stage: Some("s".into()), intervals: true, ..Wanted::default() };
        let mut watch = Watch::new(RANGE, wanted, 10);
        watch.add("s", "ann", Span::new(UnixMs(50), UnixMs(60)));
        watch.add("s", "ann", Span::new(UnixMs(0), UnixMs(50)));
        watch.add("other", "ann", Span::new(UnixMs(0), UnixMs(50)));
        let (rows, more) = watch.finish();
        assert!(!more && rows.len() == 1);
        let row = &rows[0].1;
        assert_eq!((row.watch_ms, row.first_at, row.last_at), (50, UnixMs(10), UnixMs(60)));
        assert_eq!(row.intervals, [Span::new(UnixMs(10), UnixMs(60))]);
    }
}
