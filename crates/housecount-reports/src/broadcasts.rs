//! Broadcasts: the times at which a stage has an audience.

use housecount_core::ledger::SpanVisitor;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;

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
    found: Option<UnixMs>,
}

impl FirstMoment {
    /// Creates the fold of a stage.
    #[must_use]
    pub fn new(range: Span, stage: String) -> FirstMoment {
        FirstMoment { range, stage, ..FirstMoment::default() }
    }

    fn add(&mut self, stage: &str, at: UnixMs) {
        let at = at.max(self.range.from);
        if stage == self.stage && at < self.range.to && self.found.is_none_or(|found| at < found) {
            self.found = Some(at);
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
        self.add(stage, at);
    }

    fn span_closed(&mut self, stage: &str, _viewer: &str, span: Span) {
        if span.to > self.range.from && !span.is_empty() {
            self.add(stage, span.from);
        }
    }
}

impl RangeFold for FirstMoment {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.span_closed(stage, viewer, span);
    }

    fn advance(&mut self, to: UnixMs) {
        self.complete_to = to;
    }

    fn is_full(&self) -> bool {
        self.found.is_some_and(|found| found == self.range.from || found < self.complete_to)
    }
}
