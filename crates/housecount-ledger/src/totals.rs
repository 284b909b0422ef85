//! Watch time per stage: spans added up by stage, and on request by steps of time.

use std::collections::BTreeMap;

use super::book::SpanVisitor;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

/// Watch time of a stage within a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageTotal {
    /// Proven time of all viewers together.
    pub watch_ms: u64,
    /// Proven time by step; empty without steps. Divided by a step's length it is the average
    /// concurrency.
    pub steps_ms: Vec<u64>,
}

/// Stages and their watch time.
pub type StageTotalRows = Vec<(Box<str>, StageTotal)>;

/// Watch time of the first stages of a range after `after`, by id. Memory is bounded by `limit`
/// stages with their steps. A stage that doesn't fit is dropped, and can't come back.
#[derive(Debug, Default)]
pub struct StageTotals {
    range: Span,
    step_ms: Option<u64>,
    after: Option<String>,
    limit: usize,
    rows: BTreeMap<Box<str>, StageTotal>,
    more: bool,
}

impl StageTotals {
    /// Creates empty totals. Steps are aligned to the epoch.
    #[must_use]
    pub fn new(
        range: Span,
        step_ms: Option<u64>,
        after: Option<String>,
        limit: usize,
    ) -> StageTotals {
        let step_ms = step_ms.map(|step_ms| step_ms.max(1));
        StageTotals { range, step_ms, after, limit, rows: BTreeMap::new(), more: false }
    }

    /// Returns the number of steps of a range.
    #[must_use]
    pub fn steps(range: Span, step_ms: u64) -> u64 {
        let from = range.from.aligned(step_ms.max(1));
        range.to.since(from).div_ceil(step_ms.max(1))
    }

    /// Adds a span of one viewer. No two spans of one viewer on a stage may overlap.
    pub fn add(&mut self, stage: &str, span: Span) {
        let Some(span) = span.clip(self.range) else { return };
        if self.after.as_deref().is_some_and(|after| stage <= after) {
            return;
        }
        if !self.rows.contains_key(stage) && !self.make_room(stage) {
            self.more = true;
            return;
        }
        let steps =
            self.step_ms.map_or(0, |step_ms| StageTotals::steps(self.range, step_ms) as usize);
        let row = self.rows.entry(stage.into()).or_default();
        row.watch_ms += span.ms();
        if let Some(step_ms) = self.step_ms {
            row.steps_ms.resize(steps, 0);
            share(&mut row.steps_ms, self.range.from.aligned(step_ms), step_ms, span);
        }
    }

    /// Makes room for a stage, unless it is beyond the last one of a full page. Returns whether
    /// there is room.
    fn make_room(&mut self, stage: &str) -> bool {
        if self.rows.len() < self.limit {
            return true;
        }
        self.more = true;
        let is_near = self.rows.last_key_value().is_some_and(|(last, _)| stage < &**last);
        if is_near {
            self.rows.pop_last();
        }
        is_near
    }

    /// Returns the stages in order, and whether more follow.
    #[must_use]
    pub fn finish(self) -> (StageTotalRows, bool) {
        (self.rows.into_iter().collect(), self.more)
    }
}

/// Distributes a span over the steps that it covers.
fn share(steps_ms: &mut [u64], first: UnixMs, step_ms: u64, span: Span) {
    let mut at = span.from;
    while at < span.to {
        let step = at.since(first) / step_ms;
        let until = first.plus((step + 1) * step_ms).min(span.to);
        if let Some(sum) = steps_ms.get_mut(step as usize) {
            *sum += until.since(at);
        }
        at = until;
    }
}

impl SpanVisitor for StageTotals {
    fn span_closed(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: Span = Span { from: UnixMs(13), to: UnixMs(95) };

    proptest! {
        /// Compares pages with a count of every single millisecond.
        #[test]
        fn counts_every_millisecond(
            spans in proptest::collection::vec((0..5u64, 0u64..100, 0u64..40), 0..40), step_ms in 1u64..30, limit in 1..4usize,
        ) {
            let spans: Vec<(String, Span)> = spans.into_iter()
                .map(|(stage, at, ms)| (format!("s/{stage}"), Span::new(UnixMs(at), UnixMs(at + ms)))).collect();
            let mut sums: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            for (stage, span) in &spans {
                for ms in span.from.0..span.to.0 {
                    if (RANGE.from.0..RANGE.to.0).contains(&ms) {
                        let steps = StageTotals::steps(RANGE, step_ms) as usize;
                        let sums = sums.entry(stage).or_insert_with(|| vec![0; steps]);
                        sums[(ms / step_ms - RANGE.from.0 / step_ms) as usize] += 1;
                    }
                }
            }
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let mut totals = StageTotals::new(RANGE, Some(step_ms), after.clone(), limit);
                spans.iter().for_each(|(stage, span)| totals.add(stage, *span));
                let (rows, more) = totals.finish();
                prop_assert!(rows.len() <= limit && (rows.len() == limit || !more));
                after = rows.last().map(|(stage, _)| stage.to_string());
                all.extend(rows);
                if !more {
                    break;
                }
            }
            let found: Vec<(&str, Vec<u64>)> = all.iter().map(|(s, row)| (&**s, row.steps_ms.clone())).collect();
            prop_assert_eq!(found, sums.into_iter().collect::<Vec<_>>());
            prop_assert!(all.iter().all(|(_, row)| row.watch_ms == row.steps_ms.iter().sum::<u64>()));
        }
    }

    #[test]
    fn without_steps_there_are_none() {
        let mut totals = StageTotals::new(RANGE, None, None, 9);
        totals.add("s", Span::new(UnixMs(0), UnixMs(20)));
        assert_eq!(
            totals.finish(),
            (vec![("s".into(), StageTotal { watch_ms: 7, steps_ms: Vec::new() })], false)
        );
    }
}
