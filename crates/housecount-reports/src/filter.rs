//! The part of the ledger that a reader may see: stages by their ids, and times by the customer in
//! force.
//!
//! A filter stands between a scan and its fold. The fold gets the spans as if the stage had been
//! watched within the reader's times only.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use housecount_core::labels::ViewerLabels;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::{SpanOwner, SpanVisitor};

/// Whether a reader may see stages of an id.
pub type IdRule = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// Times of each stage that a reader may see, sorted and apart from each other.
pub type StageTimes = HashMap<Box<str>, Vec<Span>>;

/// Part of the ledger that a reader may see.
#[derive(Clone, Default)]
pub enum SpanFilter {
    /// All of it.
    #[default]
    All,
    /// Stages by their ids.
    Ids(IdRule),
    /// Some times of some stages.
    Times(Arc<StageTimes>),
}

impl fmt::Debug for SpanFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpanFilter::All => f.write_str("All"),
            SpanFilter::Ids(_) => f.write_str("Ids"),
            SpanFilter::Times(times) => f.debug_tuple("Times").field(times).finish(),
        }
    }
}

impl SpanFilter {
    /// Whether the reader may see all of the ledger.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self, SpanFilter::All)
    }

    /// Returns the times of a stage that the reader may see.
    #[must_use]
    pub fn times_of(&self, stage: &str) -> &[Span] {
        match self {
            SpanFilter::All => &[ALL_TIME],
            SpanFilter::Ids(rule) => {
                if rule(stage) {
                    &[ALL_TIME]
                } else {
                    &[]
                }
            }
            SpanFilter::Times(times) => times.get(stage).map_or(&[], Vec::as_slice),
        }
    }
}

/// All of time.
pub const ALL_TIME: Span = Span { from: UnixMs::ZERO, to: UnixMs::MAX };

/// A viewer's open span on a stage that has further ends of times after the span's start.
#[derive(Clone, Copy, Debug)]
struct OpenSpan {
    from: UnixMs,
    /// Index of the first of the stage's times that has not ended yet.
    next: usize,
    /// Whether the fold knows the span as open.
    is_reported: bool,
}

/// Owner of an open span, as a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OwnerKey {
    stage: Box<str>,
    viewer: Box<str>,
    labels: ViewerLabels,
    is_extra: bool,
}

impl OwnerKey {
    fn of(owner: &SpanOwner<'_>) -> OwnerKey {
        let SpanOwner { stage, viewer, labels, is_extra } = *owner;
        OwnerKey { stage: stage.into(), viewer: viewer.into(), labels: labels.clone(), is_extra }
    }

    fn owner(&self) -> SpanOwner<'_> {
        let OwnerKey { stage, viewer, labels, is_extra } = self;
        SpanOwner { stage, viewer, labels, is_extra: *is_extra }
    }
}

/// A fold behind a filter.
///
/// A span that is cut at an end of a time may be reported to the fold before it is complete. So
/// memory is bounded by the number of viewers at once, as it is in the ledger's own book.
#[derive(Debug, Default)]
pub struct FilteredFold<F> {
    inner: F,
    filter: SpanFilter,
    open: HashMap<OwnerKey, OpenSpan>,
    /// All ends of times that have not been passed yet.
    ends: BTreeSet<UnixMs>,
}

impl<F: RangeFold> FilteredFold<F> {
    /// Creates the fold.
    #[must_use]
    pub fn new(inner: F, filter: SpanFilter) -> FilteredFold<F> {
        let ends = match &filter {
            SpanFilter::All | SpanFilter::Ids(_) => BTreeSet::new(),
            SpanFilter::Times(times) => {
                let all = times.values().flatten();
                all.flat_map(|time| [time.from, time.to]).collect()
            }
        };
        FilteredFold { inner, filter, open: HashMap::new(), ends }
    }

    /// Returns the fold that has got the spans.
    pub fn into_inner(self) -> F {
        self.inner
    }

    /// Calls `each` for the parts of a whole span that the reader may see.
    fn parts(&mut self, stage: &str, span: Span, mut each: impl FnMut(&mut F, Span)) {
        for time in self.filter.times_of(stage) {
            if let Some(part) = span.clip(*time) {
                each(&mut self.inner, part);
            }
        }
    }
}

/// Reports to a fold what happens to an open span before `to`: it enters and leaves the reader's
/// times.
fn report_open<F: RangeFold>(
    inner: &mut F,
    times: &[Span],
    owner: &SpanOwner<'_>,
    open: &mut OpenSpan,
    to: UnixMs,
) {
    while let Some(time) = times.get(open.next) {
        let from = open.from.max(time.from);
        if !open.is_reported {
            if from >= to {
                return;
            }
            inner.owned_span_opened(owner, from);
            open.is_reported = true;
        }
        if time.to >= to {
            return;
        }
        inner.owned_span_closed(owner, Span::new(from, time.to));
        open.is_reported = false;
        open.next += 1;
    }
}

impl<F: RangeFold> SpanVisitor for FilteredFold<F> {
    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        let labels = ViewerLabels::default();
        let owner = SpanOwner { stage, viewer, labels: &labels, is_extra: false };
        self.owned_span_closed(&owner, span);
    }

    fn skips_spans(&self) -> bool {
        self.inner.skips_spans()
    }

    fn owned_span_opened(&mut self, owner: &SpanOwner<'_>, at: UnixMs) {
        let times = self.filter.times_of(owner.stage);
        let next = times.partition_point(|time| time.to <= at);
        let Some(time) = times.get(next) else { return };
        let is_reported = time.from <= at;
        if is_reported {
            self.inner.owned_span_opened(owner, at);
        }
        if !is_reported || time.to < UnixMs::MAX {
            let open = OpenSpan { from: at, next, is_reported };
            self.open.insert(OwnerKey::of(owner), open);
        }
    }

    fn owned_span_closed(&mut self, owner: &SpanOwner<'_>, span: Span) {
        let FilteredFold { inner, filter, open, .. } = self;
        let times = filter.times_of(owner.stage);
        // Most spans are in no map, so none is looked up.
        let known = match filter {
            SpanFilter::Times(_) if !times.is_empty() => open.remove(&OwnerKey::of(owner)),
            _ => None,
        };
        let Some(mut known) = known else {
            // It began in a time without an end, or after the last one.
            if times.last().is_some_and(|time| time.from <= span.from && time.to == UnixMs::MAX) {
                inner.owned_span_closed(owner, span);
            }
            return;
        };
        report_open(inner, times, owner, &mut known, span.to);
        if let Some(time) = times.get(known.next).filter(|_| known.is_reported) {
            inner.owned_span_closed(owner, Span::new(span.from.max(time.from), span.to));
        }
    }

    fn owned_late_span(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.parts(owner.stage, span, |inner, part| inner.owned_late_span(owner, part));
    }
}

impl<F: RangeFold> RangeFold for FilteredFold<F> {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.parts(stage, span, |inner, part| inner.add_proven(stage, viewer, part));
    }

    fn add_owned_proven(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.parts(owner.stage, span, |inner, part| inner.add_owned_proven(owner, part));
    }

    fn viewers_held(&self) -> usize {
        self.inner.viewers_held()
    }

    fn advance(&mut self, to: UnixMs) {
        // All spans that are open now last until `to` at least.
        if self.ends.first().is_some_and(|end| *end < to) {
            let FilteredFold { inner, filter, open, ends } = self;
            for (key, span) in open.iter_mut() {
                report_open(inner, filter.times_of(&key.stage), &key.owner(), span, to);
            }
            open.retain(|key, span| span.next < filter.times_of(&key.stage).len());
            *ends = ends.split_off(&to);
        }
        self.inner.advance(to);
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }
}

#[cfg(test)]
mod tests;
