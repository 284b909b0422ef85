//! A viewer's views on a stage, of which those that may still grow are held.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use smallvec::SmallVec;

/// Views that may still grow, in order of time. Any two are more than the largest gap apart.
#[derive(Debug, Default)]
pub struct OpenViews {
    views: SmallVec<[Span; 1]>,
    /// Number of spans that have begun and whose end is not known yet. They may join any of the
    /// views. Where a viewer's labels change, one span may begin before the one before it has
    /// ended.
    spans_open: u32,
}

impl OpenViews {
    /// Learns that a span has begun.
    pub fn open(&mut self) {
        self.spans_open += 1;
    }

    /// Learns that the span that had begun has ended.
    pub fn close(&mut self) {
        self.spans_open = self.spans_open.saturating_sub(1);
    }

    /// Adds a proven span, and joins it with the views near it.
    pub fn add(&mut self, span: Span, gap_ms_max: u64) {
        let views = &mut self.views;
        let first = views.partition_point(|view| view.to.plus(gap_ms_max) < span.from);
        let near =
            views[first..].iter().take_while(|view| view.from <= span.to.plus(gap_ms_max)).count();
        if near == 0 {
            views.insert(first, span);
            return;
        }
        let last = views[first + near - 1];
        views[first] = Span::new(views[first].from.min(span.from), last.to.max(span.to));
        views.drain(first + 1..first + near);
    }

    /// Removes and returns the first view if it can't grow any more, because all spans that end
    /// before `complete_to` have been added.
    pub fn pop_final(&mut self, complete_to: UnixMs, gap_ms_max: u64) -> Option<Span> {
        let first = *self.views.first()?;
        let is_final = self.spans_open == 0 && first.to.plus(gap_ms_max) < complete_to;
        is_final.then(|| self.views.remove(0))
    }

    /// Removes and returns the first view.
    pub fn pop(&mut self) -> Option<Span> {
        (!self.views.is_empty()).then(|| self.views.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GAP_MS: u64 = 10;

    fn span(from: u64, to: u64) -> Span {
        Span::new(UnixMs(from), UnixMs(to))
    }

    proptest! {
        /// Compares with the sorted spans, whatever their order.
        #[test]
        fn spans_of_any_order_make_the_same_views(
            spans in proptest::collection::vec((0u64..300, 1u64..20), 0..30),
        ) {
            let mut views = OpenViews::default();
            let mut sorted: Vec<Span> = spans.iter().map(|(at, ms)| span(*at, at + ms)).collect();
            sorted.iter().for_each(|span| views.add(*span, GAP_MS));
            sorted.sort_unstable();
            let mut expected: Vec<Span> = Vec::new();
            for span in sorted {
                match expected.last_mut() {
                    Some(last) if span.from.0 <= last.to.0 + GAP_MS => {
                        last.to = last.to.max(span.to);
                    }
                    _ => expected.push(span),
                }
            }
            let found: Vec<Span> = std::iter::from_fn(|| views.pop()).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_view_is_final_once_no_later_span_can_join_it() {
        let mut views = OpenViews::default();
        views.add(span(0, 5), GAP_MS);
        views.add(span(30, 40), GAP_MS);
        assert_eq!(views.pop_final(UnixMs(15), GAP_MS), None, "a span may begin at 15");
        views.open();
        assert_eq!(views.pop_final(UnixMs(16), GAP_MS), None, "an open span may have begun there");
        views.close();
        assert_eq!(views.pop_final(UnixMs(16), GAP_MS), Some(span(0, 5)));
        assert_eq!(views.pop_final(UnixMs(16), GAP_MS), None);
    }
}
