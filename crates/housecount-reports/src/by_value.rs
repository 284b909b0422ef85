//! Figures by the values of a label's key: one fold for each value.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use housecount_core::limits::REPORT_VALUES_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::{SpanOwner, SpanVisitor};

/// Fold of the spans of a range into one fold per value. The empty value stands for "none".
///
/// A viewer with two values at once is in both of their folds. So the sum over the values may
/// exceed the whole.
pub struct ByValue<F> {
    key: String,
    make: Option<Arc<dyn Fn() -> F + Send + Sync>>,
    folds: BTreeMap<Box<str>, F>,
    viewers_max: usize,
    advanced_to: UnixMs,
    is_full: bool,
}

impl<F: fmt::Debug> fmt::Debug for ByValue<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByValue").field("key", &self.key).field("folds", &self.folds).finish()
    }
}

impl<F> Default for ByValue<F> {
    fn default() -> ByValue<F> {
        ByValue {
            key: String::new(),
            make: None,
            folds: BTreeMap::new(),
            viewers_max: 0,
            advanced_to: UnixMs::ZERO,
            is_full: false,
        }
    }
}

impl<F: RangeFold> ByValue<F> {
    /// Creates a fold by the values of a key, which holds at most `viewers_max` viewers in memory.
    /// `make` creates the fold of a value.
    #[must_use]
    pub fn new(
        key: String,
        viewers_max: usize,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> ByValue<F> {
        ByValue { key, viewers_max, make: Some(Arc::new(make)), ..ByValue::default() }
    }

    /// Returns the fold of each value, or `None` if there are too many values or viewers.
    #[must_use]
    pub fn finish(self) -> Option<BTreeMap<Box<str>, F>> {
        (!self.is_full).then_some(self.folds)
    }

    /// Calls `with` for the fold of each value that a span counts for.
    fn for_each(&mut self, owner: &SpanOwner<'_>, mut with: impl FnMut(&mut F)) {
        let ByValue { key, make, folds, advanced_to, is_full, .. } = self;
        for value in owner.values(key) {
            if !folds.contains_key(value) {
                *is_full |= folds.len() >= REPORT_VALUES_MAX;
                let Some(make) = make.as_ref().filter(|_| !*is_full) else { return };
                let mut fold = make();
                fold.advance(*advanced_to);
                folds.insert(value.into(), fold);
            }
            if let Some(fold) = folds.get_mut(value) {
                with(fold);
            }
        }
    }
}

impl<F: RangeFold> SpanVisitor for ByValue<F> {
    /// Receives nothing: all spans come with their owners.
    fn span_closed(&mut self, _stage: &str, _viewer: &str, _span: Span) {}

    fn owned_span_opened(&mut self, owner: &SpanOwner<'_>, at: UnixMs) {
        self.for_each(owner, |fold| fold.span_opened(owner.stage, owner.viewer, at));
    }

    fn owned_span_closed(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.for_each(owner, |fold| fold.span_closed(owner.stage, owner.viewer, span));
    }

    fn owned_late_span(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.for_each(owner, |fold| fold.late_span(owner.stage, owner.viewer, span));
    }
}

impl<F: RangeFold> RangeFold for ByValue<F> {
    /// Receives nothing: all spans come with their owners.
    fn add_proven(&mut self, _stage: &str, _viewer: &str, _span: Span) {}

    fn add_owned_proven(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.for_each(owner, |fold| fold.add_proven(owner.stage, owner.viewer, span));
    }

    fn viewers_held(&self) -> usize {
        self.folds.values().map(RangeFold::viewers_held).sum()
    }

    fn advance(&mut self, to: UnixMs) {
        self.advanced_to = to;
        self.folds.values_mut().for_each(|fold| fold.advance(to));
        self.is_full |=
            self.viewers_held() > self.viewers_max || self.folds.values().any(RangeFold::is_full);
    }

    fn is_full(&self) -> bool {
        self.is_full
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::labels::ViewerLabels;

    use super::*;
    use crate::value_totals::ValueTotals;

    const RANGE: Span = Span { from: UnixMs(0), to: UnixMs(1_000) };

    fn fold(viewers_max: usize) -> ByValue<ValueTotals> {
        ByValue::new("city".to_string(), viewers_max, || ValueTotals::new(RANGE, 100, None))
    }

    fn watch(fold: &mut ByValue<ValueTotals>, viewer: &str, pairs: &[(&str, &str)], span: Span) {
        let labels = ViewerLabels::collect(pairs.iter().copied());
        let owner = SpanOwner { stage: "s", viewer, labels: &labels, is_extra: false };
        fold.owned_span_opened(&owner, span.from);
        fold.owned_span_closed(&owner, span);
    }

    /// A fold that is created late has passed the time that the others have.
    #[test]
    fn each_value_has_its_own_figures() {
        let mut fold = fold(10);
        let span = |from, to| Span::new(UnixMs(from), UnixMs(to));
        watch(&mut fold, "ann", &[("city", "Oslo"), ("city", "Bergen")], span(0, 100));
        fold.advance(UnixMs(500));
        watch(&mut fold, "bob", &[("device", "tv")], span(600, 650));
        let folds = fold.finish().unwrap();
        let found: Vec<_> =
            folds.iter().map(|(value, fold)| (&**value, fold.watch_ms(), fold.viewers())).collect();
        assert_eq!(found, [("", 50, 1), ("Bergen", 100, 1), ("Oslo", 100, 1)]);
    }

    #[test]
    fn report_values_max_values_are_held_and_no_more() {
        for (values, is_full) in [(REPORT_VALUES_MAX, false), (REPORT_VALUES_MAX + 1, true)] {
            let mut fold = fold(usize::MAX);
            for n in 0..values {
                watch(&mut fold, "ann", &[("city", &n.to_string())], RANGE);
            }
            assert_eq!((fold.is_full(), fold.finish().is_none()), (is_full, is_full));
        }
    }

    #[test]
    fn viewers_of_all_values_are_bounded_together() {
        for (viewers_max, is_full) in [(2, false), (1, true)] {
            let mut fold = fold(viewers_max);
            watch(&mut fold, "ann", &[("city", "Oslo"), ("city", "Bergen")], RANGE);
            fold.advance(UnixMs(0));
            assert_eq!(fold.is_full(), is_full);
        }
    }
}
