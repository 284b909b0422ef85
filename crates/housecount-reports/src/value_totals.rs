//! Watch time and concurrency of one value of a label.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::SpanVisitor;
use housecount_ledger::curve::{Curve, Peak, Step};

use crate::names::Names;

/// Fold of the spans of a range into a sum, a number of viewers, and a curve.
#[derive(Debug, Default)]
pub struct ValueTotals {
    range: Span,
    stage: Option<String>,
    watch_ms: u64,
    viewers: Names,
    curve: Curve,
}

impl ValueTotals {
    /// Creates totals of a stage, or of all stages, with a curve in steps.
    #[must_use]
    pub fn new(range: Span, step_ms: u64, stage: Option<String>) -> ValueTotals {
        let curve = Curve::new(range, step_ms, stage.clone());
        ValueTotals { range, stage, curve, ..ValueTotals::default() }
    }

    /// Returns the sum of watch time, ms.
    #[must_use]
    pub fn watch_ms(&self) -> u64 {
        self.watch_ms
    }

    /// Returns the number of distinct viewers with watch time.
    #[must_use]
    pub fn viewers(&self) -> u64 {
        self.viewers.len() as u64
    }

    /// Returns the steps of the curve, and its peak.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Step>, Peak) {
        self.curve.advance(self.range.to);
        let peak = self.curve.peak();
        (self.curve.finish(), peak)
    }

    fn add(&mut self, stage: &str, viewer: &str, span: Span) {
        let is_wanted = self.stage.as_deref().is_none_or(|wanted| wanted == stage);
        if let Some(span) = span.clip(self.range).filter(|_| is_wanted) {
            self.watch_ms += span.ms();
            self.viewers.number(viewer);
        }
    }
}

impl SpanVisitor for ValueTotals {
    fn span_opened(&mut self, stage: &str, viewer: &str, at: UnixMs) {
        self.curve.span_opened(stage, viewer, at);
    }

    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        self.curve.span_closed(stage, viewer, span);
        self.add(stage, viewer, span);
    }

    fn late_span(&mut self, stage: &str, viewer: &str, span: Span) {
        self.curve.late_span(stage, viewer, span);
        self.add(stage, viewer, span);
    }
}

impl RangeFold for ValueTotals {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.curve.add(stage, span);
        self.add(stage, viewer, span);
    }

    fn viewers_held(&self) -> usize {
        self.viewers.len()
    }

    fn advance(&mut self, to: UnixMs) {
        self.curve.advance(to);
    }
}
