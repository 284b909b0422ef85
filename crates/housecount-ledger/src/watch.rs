//! Watch time per viewer: spans added up by stage and viewer, one page at a time.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::book::SpanVisitor;
use super::owner::SpanOwner;
use housecount_core::labels::SEPARATOR;
use housecount_core::span::{Span, normalize};
use housecount_core::time::UnixMs;

/// A viewer's time on a stage within a range, or within a piece of it.
///
/// ```
/// use housecount_ledger::watch::WatchTime;
/// use housecount_core::time::UnixMs;
///
/// let (first_at, last_at) = (UnixMs(0), UnixMs(90_000));
/// let time = WatchTime { piece: 0, watch_ms: 60_000, first_at, last_at, intervals: Vec::new() };
/// assert!(time.watch_ms <= time.last_at.since(time.first_at));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchTime {
    /// Number of the stage's cuts at or before the piece.
    pub piece: usize,
    /// Proven time.
    pub watch_ms: u64,
    /// Start of the first proven span.
    pub first_at: UnixMs,
    /// End of the last proven span.
    pub last_at: UnixMs,
    /// All proven spans, if they were requested.
    pub intervals: Vec<Span>,
}

/// Stage and viewer.
pub type StageViewer = (Box<str>, Box<str>);

/// Times, ascending, at which a stage's rows are cut into a row per piece, by stage.
pub type Cuts = BTreeMap<Box<str>, Vec<UnixMs>>;

/// Selection of the spans that are added up.
#[derive(Clone, Debug, Default)]
pub struct WatchFilter {
    /// Selects this stage only.
    pub stage: Option<String>,
    /// Selects this viewer only.
    pub viewer: Option<String>,
    /// Selects rows after this one, by stage and viewer.
    pub after: Option<StageViewer>,
    /// Whether intervals are kept.
    pub intervals: bool,
    /// Times at which the rows of a stage are cut.
    pub cuts: Cuts,
    /// Key of a label. Each viewer then has a row per value of it, named by [`of_value`].
    pub by: Option<String>,
}

/// Returns the name of the row of a viewer and a value of a label. Rows are then sorted by viewer
/// and value, because no id has a byte 1.
#[must_use]
pub fn of_value(viewer: &str, value: &str) -> String {
    format!("{viewer}{SEPARATOR}{value}")
}

/// Splits the name of a row into the viewer, and the value if it has one.
#[must_use]
pub fn split_value(name: &str) -> (&str, &str) {
    name.split_once(SEPARATOR).unwrap_or((name, ""))
}

impl WatchFilter {
    fn matches(&self, stage: &str, viewer: &str) -> bool {
        let is =
            |wanted: &Option<String>, id: &str| wanted.as_ref().is_none_or(|wanted| wanted == id);
        is(&self.stage, stage)
            && is(&self.viewer, viewer)
            && self.after.as_ref().is_none_or(|(s, v)| (stage, viewer) > (&**s, &**v))
    }
}

/// A viewer's rows on a stage, one per piece.
type Pieces = SmallVec<[WatchTime; 1]>;

/// First rows of a range, by stage, viewer and piece. Memory is bounded by `limit` rows, however
/// long the range is. A viewer who doesn't fit is dropped, and can't come back, because the set of
/// kept viewers only shrinks. One viewer always fits.
#[derive(Debug, Default)]
pub struct WatchTotals {
    range: Span,
    wanted: WatchFilter,
    limit: usize,
    viewers: BTreeMap<Box<str>, BTreeMap<Box<str>, Pieces>>,
    /// Number of rows of all viewers.
    count: usize,
    /// Last viewer that may be kept. Set once a row didn't fit, or the next one would not.
    last: Option<StageViewer>,
    more: bool,
}

impl WatchTotals {
    /// Creates empty totals.
    #[must_use]
    pub fn new(range: Span, wanted: WatchFilter, limit: usize) -> WatchTotals {
        WatchTotals {
            range,
            wanted,
            limit,
            viewers: BTreeMap::new(),
            count: 0,
            last: None,
            more: false,
        }
    }

    /// Adds a span. No two spans of one viewer on a stage may overlap.
    pub fn add(&mut self, stage: &str, viewer: &str, span: Span) {
        let Some(span) = span.clip(self.range) else { return };
        if !self.wanted.matches(stage, viewer) {
            return;
        }
        let Some(cuts) = self.wanted.cuts.get(stage) else {
            return self.add_to_piece(stage, viewer, 0, span);
        };
        let (mut piece, mut from) = (cuts.partition_point(|cut| *cut <= span.from), span.from);
        let inner: SmallVec<[UnixMs; 2]> =
            cuts[piece..].iter().copied().take_while(|cut| *cut < span.to).collect();
        for to in inner.into_iter().chain([span.to]) {
            self.add_to_piece(stage, viewer, piece, Span::new(from, to));
            (piece, from) = (piece + 1, to);
        }
    }

    fn add_to_piece(&mut self, stage: &str, viewer: &str, piece: usize, span: Span) {
        // Most of a long range is beyond the page.
        if self.last.as_ref().is_some_and(|(s, v)| (stage, viewer) > (&**s, &**v)) {
            self.more = true;
            return;
        }
        let keep_intervals = self.wanted.intervals;
        if !self
            .row(stage, viewer)
            .is_some_and(|pieces| pieces.iter().any(|row| row.piece == piece))
        {
            self.insert(stage, viewer, piece, span.from);
        }
        let row = self
            .row(stage, viewer)
            .and_then(|pieces| pieces.iter_mut().find(|row| row.piece == piece));
        let Some(row) = row else { return };
        row.watch_ms += span.ms();
        row.first_at = row.first_at.min(span.from);
        row.last_at = row.last_at.max(span.to);
        if keep_intervals {
            row.intervals.push(span);
        }
    }

    fn row(&mut self, stage: &str, viewer: &str) -> Option<&mut Pieces> {
        self.viewers.get_mut(stage)?.get_mut(viewer)
    }

    /// Adds a row. Removes the last viewers if there are more rows than the limit.
    fn insert(&mut self, stage: &str, viewer: &str, piece: usize, from: UnixMs) {
        let row =
            WatchTime { piece, watch_ms: 0, first_at: from, last_at: from, intervals: Vec::new() };
        match self.row(stage, viewer) {
            Some(pieces) => pieces.insert(pieces.partition_point(|row| row.piece < piece), row),
            None => {
                let pieces = SmallVec::from_iter([row]);
                drop(self.viewers.entry(stage.into()).or_default().insert(viewer.into(), pieces));
            }
        }
        self.count += 1;
        let mut has_dropped = false;
        while self.count > self.limit && self.drop_last() {
            has_dropped = true;
        }
        self.more |= has_dropped;
        if has_dropped || self.count >= self.limit {
            let last = self.viewers.last_key_value();
            self.last = last.and_then(|(stage, viewers)| {
                Some((stage.clone(), viewers.last_key_value()?.0.clone()))
            });
        }
    }

    /// Removes the last viewer, unless it is the only one. Returns whether it was removed.
    fn drop_last(&mut self) -> bool {
        let is_only =
            self.viewers.len() == 1 && self.viewers.values().all(|viewers| viewers.len() == 1);
        let Some(mut stage) = self.viewers.last_entry() else { return false };
        if is_only {
            return false;
        }
        if let Some((_, pieces)) = stage.get_mut().pop_last() {
            self.count -= pieces.len();
        }
        if stage.get().is_empty() {
            stage.remove();
        }
        true
    }

    /// Returns the rows in order, and whether more follow.
    #[must_use]
    pub fn finish(self) -> (Vec<(StageViewer, WatchTime)>, bool) {
        let mut rows = Vec::with_capacity(self.count);
        for (stage, viewers) in self.viewers {
            for (viewer, mut pieces) in viewers {
                pieces.iter_mut().for_each(|row| normalize(&mut row.intervals));
                let last = pieces.pop();
                rows.extend(pieces.into_iter().map(|row| ((stage.clone(), viewer.clone()), row)));
                rows.extend(last.map(|row| ((stage.clone(), viewer), row)));
            }
        }
        (rows, self.more)
    }
}

impl SpanVisitor for WatchTotals {
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }

    fn owned_span_closed(&mut self, owner: &SpanOwner<'_>, span: Span) {
        let Some(key) = self.wanted.by.take() else {
            if !owner.is_extra {
                self.add(owner.stage, owner.viewer, span);
            }
            return;
        };
        for value in owner.values(&key) {
            self.add(owner.stage, &of_value(owner.viewer, value), span);
        }
        self.wanted.by = Some(key);
    }

    fn owned_late_span(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.owned_span_closed(owner, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use housecount_core::labels::ViewerLabels;
    use proptest::prelude::*;

    const RANGE: Span = Span { from: UnixMs(10), to: UnixMs(90) };

    proptest! {
        /// Pages equal the whole list, and a sum over the single spans.
        #[test]
        fn pages_are_parts_of_the_whole(
            spans in proptest::collection::vec((0..4u64, 0..9u64, 0..20u64), 0..60), limit in 1..7usize,
        ) {
            // Spans of one viewer on a stage don't overlap: the n-th is in the n-th five
            // milliseconds.
            let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
            let spans: std::collections::BTreeSet<_> = spans.into_iter().collect();
            let spans: Vec<_> = spans.into_iter().map(|(stage, viewer, n)| {
                let span = Span::new(UnixMs(n * 5), UnixMs(n * 5 + 1 + (stage + viewer) % 5));
                (format!("s/{stage}"), format!("v{viewer}"), span)
            }).collect();
            for (stage, viewer, span) in &spans {
                if let Some(span) = span.clip(RANGE) {
                    *sums.entry((stage.clone(), viewer.clone())).or_default() += span.ms();
                }
            }
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let mut watch = WatchTotals::new(RANGE, WatchFilter { after: after.clone(), ..WatchFilter::default() }, limit);
                spans.iter().for_each(|(stage, viewer, span)| watch.add(stage, viewer, *span));
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

    proptest! {
        /// Cut into pieces and read page by page, each row equals the spans in its piece, and each
        /// row comes once.
        #[test]
        fn pieces_are_parts_of_rows(
            spans in proptest::collection::btree_set((0..3u64, 0..5u64, 0..20u64), 0..60),
            cuts in proptest::collection::btree_map(0..3u64, proptest::collection::btree_set(0..110u64, 0..6), 0..3),
            limit in 1..7usize,
        ) {
            let cuts: Cuts = cuts.into_iter().map(|(stage, cuts)| {
                (format!("s/{stage}").into(), cuts.into_iter().map(UnixMs).collect())
            }).collect();
            let spans: Vec<_> = spans.into_iter().map(|(stage, viewer, n)| {
                let span = Span::new(UnixMs(n * 5), UnixMs(n * 5 + 1 + (stage + viewer) % 5));
                (format!("s/{stage}"), format!("v{viewer}"), span)
            }).collect();
            // The expected rows, counted millisecond by millisecond.
            let mut expected: BTreeMap<(String, String, usize), (u64, u64, u64)> = BTreeMap::new();
            for (stage, viewer, span) in &spans {
                for at in span.from.0.max(RANGE.from.0)..span.to.0.min(RANGE.to.0) {
                    let before = |cuts: &Vec<UnixMs>| cuts.iter().filter(|cut| cut.0 <= at).count();
                    let piece = cuts.get(stage.as_str()).map_or(0, before);
                    let row = expected.entry((stage.clone(), viewer.clone(), piece)).or_insert((0, at, 0));
                    *row = (row.0 + 1, row.1.min(at), row.2.max(at + 1));
                }
            }
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let wanted = WatchFilter { after: after.clone(), cuts: cuts.clone(), ..WatchFilter::default() };
                let mut watch = WatchTotals::new(RANGE, wanted, limit);
                spans.iter().for_each(|(stage, viewer, span)| watch.add(stage, viewer, *span));
                let (rows, more) = watch.finish();
                let viewers: std::collections::BTreeSet<_> = rows.iter().map(|(who, _)| who.clone()).collect();
                prop_assert!(rows.len() <= limit || viewers.len() == 1);
                after = rows.last().map(|(who, _)| who.clone());
                all.extend(rows.into_iter().map(|((stage, viewer), row)| {
                    ((stage.to_string(), viewer.to_string(), row.piece), (row.watch_ms, row.first_at.0, row.last_at.0))
                }));
                if !more {
                    break;
                }
            }
            prop_assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
        }
    }

    /// A viewer has a row for each value, and each row has the time of its value.
    #[test]
    fn a_viewer_has_a_row_for_each_value() {
        let of = |pairs: &[(&str, &str)]| ViewerLabels::collect(pairs.iter().copied());
        let (phone, both) =
            (of(&[("device", "phone")]), of(&[("device", "phone"), ("device", "tv")]));
        let (tv, none) = (of(&[("device", "tv")]), ViewerLabels::default());
        let spans = [(&phone, 10, 20, false), (&both, 20, 30, false), (&none, 30, 35, false)];
        let spans = spans.into_iter().chain([(&tv, 12, 15, true)]);
        let mut rows = Vec::new();
        for by in [Some("device"), Some("plan"), None] {
            let by = by.map(str::to_string);
            let wanted = WatchFilter { by, ..WatchFilter::default() };
            let mut watch = WatchTotals::new(RANGE, wanted, 10);
            for (labels, from, to, is_extra) in spans.clone() {
                let owner = SpanOwner { stage: "s", viewer: "ann", labels, is_extra };
                watch.owned_span_closed(&owner, Span::new(UnixMs(from), UnixMs(to)));
            }
            let found = watch.finish().0.into_iter();
            rows.push(found.map(|((_, name), row)| (name, row.watch_ms)).collect::<Vec<_>>());
        }
        let row = |value, ms| (of_value("ann", value).into_boxed_str(), ms);
        assert_eq!(rows[0], [row("", 5), row("phone", 20), row("tv", 13)]);
        assert_eq!(rows[1], [row("", 25)]);
        assert_eq!(rows[2], [("ann".into(), 25)]);
        assert_eq!(split_value(&rows[0][1].0), ("ann", "phone"));
    }

    #[test]
    fn touching_intervals_are_one() {
        let wanted =
            WatchFilter { stage: Some("s".into()), intervals: true, ..WatchFilter::default() };
        let mut watch = WatchTotals::new(RANGE, wanted, 10);
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
