//! The times in which stages had a customer: the part of the ledger for a key of that customer.

use std::collections::HashSet;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_core::span::Span;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::SpanVisitor;

use crate::configs::Configs;
use crate::filter::{ALL_TIME, IdRule, SpanFilter, StageTimes};
use crate::read::Sources;

/// Reason why a range can't be filtered: it has too many stages for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyStages;

/// Ids of the stages whose time is looked up.
#[derive(Clone)]
pub struct StageChoice {
    /// Rule that the ids meet.
    pub ids: IdRule,
    /// Number of stages that may be looked up:
    /// [`KEY_STAGES_MAX`](housecount_core::limits::KEY_STAGES_MAX).
    pub stages_max: usize,
}

/// Creates the filter of the times in which stages had a customer.
///
/// Reads the range once for the ids of its stages, or of those that `viewer` watched. Then it
/// reads the versions of their configurations.
///
/// # Errors
/// Returns the errors of the scan and of [`Configs::of`]. Returns [`TooManyStages`] if more
/// than `stages_max` stages match.
pub async fn filter_of_customer(
    sources: &Sources,
    range: Span,
    viewer: Option<&str>,
    customer: &str,
    StageChoice { ids, stages_max }: StageChoice,
) -> StoreResult<Result<SpanFilter, TooManyStages>> {
    let found = StageIds { ids: Some(ids), stages_max, found: HashSet::new() };
    let (found, _) = sources.fold(range, viewer, found, &mut |_| ()).await?;
    if found.is_full() {
        return Ok(Err(TooManyStages));
    }
    let mut configs = Configs::new(&sources.cold, ALL_TIME);
    let mut times = StageTimes::new();
    for stage in found.found {
        let of_stage = configs.of(&stage).await?.customer_spans(customer);
        if !of_stage.is_empty() {
            times.insert(stage, of_stage);
        }
    }
    Ok(Ok(SpanFilter::Times(Arc::new(times))))
}

/// Creates the filter of the times in which one stage had a customer. Returns `None` if it
/// never had.
///
/// # Errors
/// Returns the errors of [`Configs::of`].
pub async fn filter_of_stage(
    cold: &Arc<dyn Cold>,
    stage: &str,
    customer: &str,
) -> StoreResult<Option<SpanFilter>> {
    let mut configs = Configs::new(cold, ALL_TIME);
    let times = configs.of(stage).await?.customer_spans(customer);
    let is_known = !times.is_empty();
    Ok(is_known.then(|| SpanFilter::Times(Arc::new([(stage.into(), times)].into()))))
}

/// Fold of spans into the ids of their stages.
#[derive(Default)]
struct StageIds {
    ids: Option<IdRule>,
    stages_max: usize,
    found: HashSet<Box<str>>,
}

impl SpanVisitor for StageIds {
    fn span_closed(&mut self, stage: &str, _viewer: &str, _span: Span) {
        let is_new = !self.found.contains(stage) && self.ids.as_ref().is_some_and(|ids| ids(stage));
        if is_new && !self.is_full() {
            self.found.insert(stage.into());
        }
    }
}

impl RangeFold for StageIds {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.span_closed(stage, viewer, span);
    }

    fn is_full(&self) -> bool {
        self.found.len() > self.stages_max
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    fn span(from: u64, to: u64) -> Span {
        Span::new(UnixMs(from), UnixMs(to))
    }

    #[test]
    fn key_stages_max_bounds_the_stages_of_a_customer() {
        let mut ids =
            StageIds { ids: Some(Arc::new(|_| true)), stages_max: 2, found: HashSet::new() };
        for stage in ["a", "a", "b", "b", "a"] {
            ids.span_closed(stage, "ann", span(1, 2));
        }
        assert!(!ids.is_full());
        ids.add_proven("c", "ann", span(1, 2));
        assert!(ids.is_full());
        for stage in ["d", "e"] {
            ids.add_proven(stage, "ann", span(1, 2));
        }
        // Hits the bound that the server gives: `KEY_STAGES_MAX`.
        assert_eq!(ids.found.len(), 3, "no more are held than show that it is full");
    }
}
