//! Concurrency of proven presence, summed up by steps of time.
//!
//! It is computed from the times at which viewers come and leave, and not from any viewer's total.
//! Its integral and the sum of all watch times are therefore two ways to one number (`housecount
//! verify`).

use std::collections::BTreeMap;

use super::book::SpanVisitor;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

/// Concurrency over one step of time.
///
/// ```
/// use housecount_ledger::curve::Step;
/// use housecount_core::span::Span;
/// use housecount_core::time::UnixMs;
///
/// let span = Span::new(UnixMs(0), UnixMs(60_000));
/// let step = Step { span, integral_ms: 90_000, min: 1, max: 2 };
/// assert_eq!(step.integral_ms as f64 / step.span.ms() as f64, 1.5); // viewers on average
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step, cut off at the ends of the range.
    pub span: Span,
    /// Viewer-milliseconds. Divided by the span's length they are the average.
    pub integral_ms: u64,
    /// Minimum of concurrent viewers.
    pub min: u64,
    /// Maximum of concurrent viewers.
    pub max: u64,
}

/// Steps of a range, computed as far as all changes are known. It stores only the times of changes
/// that may still grow in number.
#[derive(Debug, Default)]
pub struct Curve {
    range: Span,
    step_ms: u64,
    stage: Option<String>,
    changes: BTreeMap<UnixMs, i64>,
    at: UnixMs,
    level: i64,
    step: Option<Step>,
    steps: Vec<Step>,
    peak: Peak,
}

/// Largest number of concurrent viewers, and the first moment that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Number of viewers.
    pub viewers: u64,
    /// First moment with that number; zero if there is no viewer.
    pub at: UnixMs,
}

impl Curve {
    /// Creates the curve of one stage, or of all together, by steps aligned to the epoch.
    #[must_use]
    pub fn new(range: Span, step_ms: u64, stage: Option<String>) -> Curve {
        let at = range.from;
        Curve {
            range,
            step_ms,
            stage,
            changes: BTreeMap::new(),
            at,
            level: 0,
            step: None,
            steps: Vec::new(),
            peak: Peak::default(),
        }
    }

    /// Adds a span of one viewer.
    pub fn add(&mut self, stage: &str, span: Span) {
        self.change(stage, span.from, 1);
        self.change(stage, span.to, -1);
    }

    fn change(&mut self, stage: &str, at: UnixMs, by: i64) {
        if self.stage.as_ref().is_some_and(|wanted| wanted != stage) || at >= self.range.to {
            return;
        }
        debug_assert!(at >= self.at || at < self.range.from, "a final step has changed");
        *self.changes.entry(at.max(self.at)).or_default() += by;
    }

    /// Computes the steps up to `to`. The caller knows all changes before `to`.
    pub fn advance(&mut self, to: UnixMs) {
        let to = to.min(self.range.to);
        while let Some(change) = self.changes.first_entry().filter(|change| *change.key() < to) {
            let (at, by) = change.remove_entry();
            self.run_to(at);
            self.level += by;
        }
        self.run_to(to);
    }

    /// Extends the curve to `to` at the present level.
    fn run_to(&mut self, to: UnixMs) {
        while self.at < to {
            let level = u64::try_from(self.level).unwrap_or(0);
            if level > self.peak.viewers {
                self.peak = Peak { viewers: level, at: self.at };
            }
            debug_assert!(self.level >= 0, "a negative count");
            let whole = self.at.aligned(self.step_ms).plus(self.step_ms.max(1)).min(self.range.to);
            let new =
                Step { span: Span::new(self.at, whole), integral_ms: 0, min: level, max: level };
            let step = self.step.get_or_insert(new);
            let until = whole.min(to);
            step.integral_ms += level * until.since(self.at);
            step.min = step.min.min(level);
            step.max = step.max.max(level);
            self.at = until;
            if until == whole {
                self.steps.extend(self.step.take());
            }
        }
    }

    /// Removes the finished steps and returns them.
    pub fn take(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Returns the viewer-milliseconds of the whole range. All changes must be known, and none
    /// advanced over.
    #[must_use]
    pub fn integral(&self) -> u64 {
        let (mut at, mut level, mut sum) = (self.range.from, 0i64, 0);
        for (change, by) in &self.changes {
            sum += u64::try_from(level).unwrap_or(0) * change.since(at);
            (at, level) = (*change, level + by);
        }
        sum + u64::try_from(level).unwrap_or(0) * self.range.to.since(at)
    }

    /// Returns the peak of what has been computed.
    #[must_use]
    pub fn peak(&self) -> Peak {
        self.peak
    }

    /// Computes the last steps. The caller knows all changes.
    #[must_use]
    pub fn finish(mut self) -> Vec<Step> {
        self.advance(self.range.to);
        self.steps
    }
}

impl SpanVisitor for Curve {
    fn span_opened(&mut self, stage: &str, _viewer: &str, at: UnixMs) {
        self.change(stage, at, 1);
    }

    fn span_closed(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.change(stage, span.to, -1);
    }

    fn late_span(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: Span = Span { from: UnixMs(13), to: UnixMs(95) };

    fn curve_of(spans: &[Span], step_ms: u64) -> Curve {
        let mut curve = Curve::new(RANGE, step_ms, None);
        spans.iter().for_each(|span| curve.add("s", *span));
        curve
    }

    proptest! {
        /// Compares with a count of every single millisecond.
        #[test]
        fn counts_every_millisecond(spans in proptest::collection::vec((0u64..100, 0u64..40), 0..30), step_ms in 1u64..30) {
            let spans: Vec<Span> = spans.into_iter().map(|(at, ms)| Span::new(UnixMs(at), UnixMs(at + ms))).collect();
            let mut curve = Curve::new(RANGE, step_ms, Some("s".into()));
            spans.iter().for_each(|span| curve.add("s", *span));
            curve.add("other", RANGE);
            let integral = curve.integral();
            let mut whole = curve_of(&spans, step_ms);
            whole.advance(RANGE.to);
            curve.advance(UnixMs(50));
            let mut steps = curve.take();
            steps.extend(curve.finish());
            prop_assert_eq!(integral, steps.iter().map(|step| step.integral_ms).sum::<u64>());
            let level = |ms: u64| spans.iter().filter(|span| (span.from.0..span.to.0).contains(&ms)).count() as u64;
            prop_assert_eq!(steps.first().map(|s| s.span.from), Some(RANGE.from));
            prop_assert_eq!(steps.last().map(|s| s.span.to), Some(RANGE.to));
            let most = (RANGE.from.0..RANGE.to.0).map(level).max().unwrap_or(0);
            let first = (RANGE.from.0..RANGE.to.0).find(|at| level(*at) == most);
            let peak = Peak { viewers: most, at: UnixMs(first.filter(|_| most > 0).unwrap_or(0)) };
            prop_assert_eq!(whole.peak(), peak);
            for step in &steps {
                let levels: Vec<u64> = (step.span.from.0..step.span.to.0).map(level).collect();
                prop_assert_eq!(step.integral_ms, levels.iter().sum::<u64>());
                prop_assert_eq!((Some(&step.min), Some(&step.max)), (levels.iter().min(), levels.iter().max()));
            }
        }
    }
}
