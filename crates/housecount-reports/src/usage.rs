//! Watch time of customers: sums by stage and period, under the customer in force at the time.
//!
//! No viewer is held, so a range of any audience takes one pass over the ledger. It takes a second
//! pass if a stage changed its customer within a period, and more if the sums don't fit.

use std::collections::BTreeMap;

use housecount_backend::error::StoreResult;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::SpanVisitor;
use housecount_ledger::watch::Cuts;

use crate::configs::Configs;
use crate::read::Sources;

/// Request of usage.
#[derive(Clone, Debug, Default)]
pub struct UsageRequest {
    /// Range to read.
    pub range: Span,
    /// Only stage to read; `None` for all.
    pub stage: Option<String>,
    /// Starts of the periods, ascending. The first is the start of the range.
    pub starts: Vec<UnixMs>,
    /// Sums held in memory at once:
    /// [`USAGE_SUMS_MAX`](housecount_core::limits::USAGE_SUMS_MAX).
    pub sums_max: usize,
}

/// Watch time of a stage within a period, under one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageUsage<'a> {
    /// The stage.
    pub stage: &'a str,
    /// Customer in force when the time was watched; `None` if the stage had none.
    pub customer: Option<&'a str>,
    /// Index of the period.
    pub period: usize,
    /// Sum of the viewers' proven time, more than zero.
    pub watch_ms: u64,
}

/// Reader of usage, with the configurations that it has read.
#[derive(Debug)]
pub struct UsageReader<'a> {
    sources: &'a Sources,
    configs: Configs<'a>,
}

impl<'a> UsageReader<'a> {
    /// Creates a reader of one or more parts of a range.
    #[must_use]
    pub fn new(sources: &'a Sources, range: Span) -> UsageReader<'a> {
        UsageReader { sources, configs: Configs::new(&sources.cold, range) }
    }

    /// Calls `each` for all usage of a request, ordered by stage, period and customer. Each
    /// combination comes once.
    ///
    /// `progress` is called with the part that has been read. Returns the time up to which the
    /// ledger is committed.
    ///
    /// # Errors
    /// Returns the errors of the scan, of [`Configs::of`], and of `each`.
    pub async fn read(
        &mut self,
        request: &UsageRequest,
        progress: &mut (impl FnMut(f64) + Send),
        mut each: impl FnMut(StageUsage<'_>) -> StoreResult<()> + Send,
    ) -> StoreResult<UnixMs> {
        let (mut after, mut cuts) = (None, Cuts::new());
        loop {
            let sums = StageSums::new(request.clone(), after.clone(), cuts.clone());
            let (sums, committed_to) =
                self.sources.fold(request.range, None, sums, progress).await?;
            if self.find_cuts(&sums, &mut cuts).await? {
                continue;
            }
            for (stage, by_start) in &sums.stages {
                let configs = self.configs.of(stage).await?;
                let mut usage: BTreeMap<(usize, Option<&str>), u64> = BTreeMap::new();
                for (start, ms) in by_start {
                    let period = request.period_of(*start);
                    *usage.entry((period, configs.customer_at(*start))).or_default() += ms;
                }
                for ((period, customer), watch_ms) in usage {
                    each(StageUsage { stage, customer, period, watch_ms })?;
                }
            }
            if !sums.more {
                return Ok(committed_to);
            }
            after = sums.stages.last_key_value().map(|(stage, _)| stage.clone());
            cuts.clear();
        }
    }

    /// Adds to `cuts` the stages whose customer changes within a period. Returns whether it added
    /// any. The range must then be read again, with the new cuts.
    async fn find_cuts(&mut self, sums: &StageSums, cuts: &mut Cuts) -> StoreResult<bool> {
        let before = cuts.len();
        for stage in sums.stages.keys() {
            if cuts.contains_key(stage) {
                continue;
            }
            let mut found = self.configs.of(stage).await?.customer_cuts(sums.request.range);
            found.retain(|cut| sums.request.starts.binary_search(cut).is_err());
            if !found.is_empty() {
                cuts.insert(stage.clone(), found);
            }
        }
        Ok(cuts.len() > before)
    }
}

impl UsageRequest {
    /// Index of the period that contains a time.
    fn period_of(&self, at: UnixMs) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }
}

/// Fold of spans into sums by stage and slot: a period, cut where the customer changes. Memory is
/// bounded by the number of sums. A stage that doesn't fit is dropped and can't come back. One
/// stage always fits.
#[derive(Debug, Default)]
struct StageSums {
    request: UsageRequest,
    after: Option<Box<str>>,
    cuts: Cuts,
    /// Sums by stage and start of the slot.
    stages: BTreeMap<Box<str>, BTreeMap<UnixMs, u64>>,
    /// Number of sums of all stages.
    count: usize,
    /// Last stage that may be kept. Set once a sum didn't fit, or the next one would not.
    last: Option<Box<str>>,
    more: bool,
}

impl StageSums {
    fn new(request: UsageRequest, after: Option<Box<str>>, cuts: Cuts) -> StageSums {
        StageSums { request, after, cuts, ..StageSums::default() }
    }

    fn add(&mut self, stage: &str, span: Span) {
        let Some(span) = span.clip(self.request.range).filter(|span| !span.is_empty()) else {
            return;
        };
        let is_before = self.after.as_deref().is_some_and(|after| stage <= after);
        if is_before || self.request.stage.as_deref().is_some_and(|wanted| wanted != stage) {
            return;
        }
        let mut from = span.from;
        while from < span.to {
            let slot = self.slot_of(stage, from);
            let to = slot.to.min(span.to);
            self.add_to_slot(stage, slot.from, to.since(from));
            from = to;
        }
    }

    /// Returns the slot that contains a time.
    fn slot_of(&self, stage: &str, at: UnixMs) -> Span {
        let cuts = self.cuts.get(stage).map_or(&[][..], Vec::as_slice);
        let mut slot = Span::new(self.request.range.from, self.request.range.to);
        for bounds in [&self.request.starts[..], cuts] {
            let next = bounds.partition_point(|bound| *bound <= at);
            let start = next.checked_sub(1).and_then(|n| bounds.get(n));
            slot.from = start.map_or(slot.from, |start| slot.from.max(*start));
            slot.to = bounds.get(next).map_or(slot.to, |end| slot.to.min(*end));
        }
        slot
    }

    fn add_to_slot(&mut self, stage: &str, start: UnixMs, ms: u64) {
        if self.last.as_deref().is_some_and(|last| stage > last) {
            self.more = true;
            return;
        }
        let sums = match self.stages.get_mut(stage) {
            Some(sums) => sums,
            None => self.stages.entry(stage.into()).or_default(),
        };
        if let Some(sum) = sums.get_mut(&start) {
            *sum += ms;
            return;
        }
        sums.insert(start, ms);
        self.count += 1;
        while self.count > self.request.sums_max && self.stages.len() > 1 {
            let dropped = self.stages.pop_last();
            self.count -= dropped.map_or(0, |(_, sums)| sums.len());
            self.more = true;
            self.last = self.last_stage();
        }
        if self.count >= self.request.sums_max {
            self.last = self.last_stage();
        }
    }

    fn last_stage(&self) -> Option<Box<str>> {
        self.stages.last_key_value().map(|(stage, _)| stage.clone())
    }
}

impl SpanVisitor for StageSums {
    fn span_closed(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

impl RangeFold for StageSums {
    fn add_proven(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    const RANGE: Span = Span { from: UnixMs(10), to: UnixMs(90) };

    proptest! {
        /// Pages of a few sums each have every stage, period and piece once. Each sum equals that
        /// of the milliseconds one by one.
        #[test]
        fn usage_sums_max_only_makes_more_pages(
            spans in vec((0..5u64, 0..100u64, 0..40u64), 0..60),
            starts in btree_set(11..90u64, 0..6),
            cuts in btree_map(0..5u64, btree_set(0..100u64, 0..4), 0..4),
            sums_max in 1..9usize,
        ) {
            let starts: Vec<UnixMs> = [10].into_iter().chain(starts).map(UnixMs).collect();
            let cuts: Cuts = cuts.into_iter().map(|(stage, cuts)| {
                (format!("s{stage}").into(), cuts.into_iter().map(UnixMs).collect())
            }).collect();
            let mut expected: BTreeMap<(String, UnixMs), u64> = BTreeMap::new();
            for (stage, from, ms) in &spans {
                let stage = format!("s{stage}");
                for at in (*from).max(10)..(from + ms).min(90) {
                    let cuts = cuts.get(stage.as_str()).map_or(&[][..], Vec::as_slice);
                    let bounds = starts.iter().chain(cuts).filter(|bound| bound.0 <= at);
                    let slot = bounds.max().copied().unwrap_or(RANGE.from).max(RANGE.from);
                    *expected.entry((stage.clone(), slot)).or_default() += 1;
                }
            }
            let request = UsageRequest { range: RANGE, stage: None, starts, sums_max };
            let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let mut sums = StageSums::new(request.clone(), after.clone(), cuts.clone());
                for (stage, from, ms) in &spans {
                    sums.add(&format!("s{stage}"), Span::new(UnixMs(*from), UnixMs(from + ms)));
                }
                prop_assert!(sums.count <= sums_max || sums.stages.len() == 1);
                after = sums.last_stage();
                all.extend(sums.stages.iter().flat_map(|(stage, sums)| {
                    sums.iter().map(|(start, ms)| ((stage.to_string(), *start), *ms))
                }));
                pages += 1;
                if !sums.more {
                    break;
                }
            }
            prop_assert!(pages <= 5, "each page has a stage");
            prop_assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_stage_can_be_selected() {
        let request = UsageRequest {
            range: RANGE,
            stage: Some("s".to_string()),
            starts: vec![UnixMs(10), UnixMs(50)],
            sums_max: 10,
        };
        let mut sums = StageSums::new(request, None, Cuts::new());
        sums.span_closed("s", "ann", Span::new(UnixMs(0), UnixMs(60)));
        sums.add_proven("s", "bob", Span::new(UnixMs(49), UnixMs(50)));
        sums.span_closed("t", "ann", Span::new(UnixMs(20), UnixMs(30)));
        let expected = BTreeMap::from([(UnixMs(10), 41), (UnixMs(50), 10)]);
        assert_eq!(sums.stages, BTreeMap::from([("s".into(), expected)]));
        assert_eq!((sums.count, sums.more), (2, false));
    }
}
