//! Broadcasts: the times at which a stage has an audience.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::SpanVisitor;

use crate::views::OpenViews;

/// Fold of a stage's spans into its broadcasts: maximal spans with an audience, in which no gap
/// without one is longer than the given one.
#[derive(Debug, Default)]
pub struct Broadcasts {
    range: Span,
    stage: String,
    gap_ms: u64,
    spans: OpenViews,
}

impl Broadcasts {
    /// Creates broadcasts of a stage.
    #[must_use]
    pub fn new(range: Span, stage: String, gap_ms: u64) -> Broadcasts {
        Broadcasts { range, stage, gap_ms, spans: OpenViews::default() }
    }

    fn add(&mut self, stage: &str, span: Span) {
        if stage == self.stage
            && let Some(span) = span.clip(self.range).filter(|_| !span.is_empty())
        {
            self.spans.add(span, self.gap_ms);
        }
    }

    /// Returns the broadcasts in order of time.
    pub fn finish(mut self) -> Vec<Span> {
        std::iter::from_fn(|| self.spans.pop()).collect()
    }
}

impl SpanVisitor for Broadcasts {
    fn span_closed(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

impl RangeFold for Broadcasts {
    fn add_proven(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

/// Fold of a stage's spans into the first moment of a range with a viewer. It needs the chunks up
/// to that moment only.
#[derive(Debug, Default)]
pub struct FirstMoment {
    range: Span,
    stage: String,
    complete_to: UnixMs,
    /// Number of spans that began before the range and have not ended yet.
    open_before: u64,
    found: Option<UnixMs>,
}

impl FirstMoment {
    /// Creates the fold of a stage.
    #[must_use]
    pub fn new(range: Span, stage: String) -> FirstMoment {
        FirstMoment { range, stage, ..FirstMoment::default() }
    }

    fn add(&mut self, at: UnixMs) {
        let at = at.max(self.range.from);
        if at < self.range.to && self.found.is_none_or(|found| at < found) {
            self.found = Some(at);
        }
    }

    fn add_whole(&mut self, stage: &str, span: Span) {
        if stage == self.stage && !span.is_empty() && span.to > self.range.from {
            self.add(span.from);
        }
    }

    /// Returns the moment; `None` if the range has no viewer.
    #[must_use]
    pub fn found(&self) -> Option<UnixMs> {
        self.found
    }
}

impl SpanVisitor for FirstMoment {
    fn span_opened(&mut self, stage: &str, _viewer: &str, at: UnixMs) {
        if stage != self.stage {
            return;
        }
        if at < self.range.from {
            self.open_before += 1;
        } else {
            self.add(at);
        }
    }

    fn span_closed(&mut self, stage: &str, _viewer: &str, span: Span) {
        if stage == self.stage && span.from < self.range.from {
            self.open_before = self.open_before.saturating_sub(1);
        }
        self.add_whole(stage, span);
    }

    fn late_span(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add_whole(stage, span);
    }
}

impl RangeFold for FirstMoment {
    fn add_proven(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add_whole(stage, span);
    }

    fn advance(&mut self, to: UnixMs) {
        self.complete_to = to;
        // Of the spans that began before the range, those that are open now end after its start.
        if to > self.range.from && self.open_before > 0 {
            self.add(self.range.from);
        }
    }

    fn is_full(&self) -> bool {
        self.found.is_some_and(|found| found == self.range.from || found < self.complete_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Span = Span { from: UnixMs(100), to: UnixMs(900) };

    fn span(from: u64, to: u64) -> Span {
        Span::new(UnixMs(from), UnixMs(to))
    }

    #[test]
    fn a_broadcast_has_no_longer_gap() {
        let mut found = Broadcasts::new(RANGE, "s".to_string(), 50);
        for (stage, from, to) in
            [("s", 300, 400), ("s", 0, 150), ("s", 200, 210), ("t", 500, 600), ("s", 451, 452)]
        {
            found.span_closed(stage, "v", span(from, to));
        }
        found.add_proven("s", "v", span(880, 2_000));
        let expected = [span(100, 210), span(300, 400), span(451, 452), span(880, 900)];
        assert_eq!(found.finish(), expected);
    }

    #[test]
    fn the_first_moment_is_that_of_a_viewer_within_the_range() {
        let mut first = FirstMoment::new(RANGE, "s".to_string());
        first.span_opened("s", "a", UnixMs(10));
        first.span_closed("s", "a", span(10, 90));
        first.span_opened("t", "b", UnixMs(20));
        first.advance(UnixMs(200));
        assert_eq!((first.found(), first.is_full()), (None, false), "no viewer was there");
        first.span_opened("s", "c", UnixMs(300));
        first.late_span("s", "d", span(250, 260));
        first.advance(UnixMs(250));
        assert_eq!((first.found(), first.is_full()), (Some(UnixMs(250)), false));
        first.advance(UnixMs(251));
        assert!(first.is_full());
    }

    #[test]
    fn a_viewer_who_stays_is_there_at_the_start() {
        let mut first = FirstMoment::new(RANGE, "s".to_string());
        first.span_opened("s", "a", UnixMs(10));
        first.advance(UnixMs(100));
        assert_eq!(first.found(), None, "the viewer may leave before the range");
        first.advance(UnixMs(101));
        assert_eq!((first.found(), first.is_full()), (Some(UnixMs(100)), true));
        assert_eq!(FirstMoment::new(RANGE, "s".to_string()).found(), None);
    }
}
