//! Reads of the ledger that fill reports.

use std::fmt;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::{StoreError, StoreResult};
use housecount_core::limits::{REPORT_VALUES_MAX, REPORT_VIEWERS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{Proofs, scan};

use crate::audience::Audience;
use crate::broadcasts::{Broadcasts, FirstMoment};
use crate::by_value::ByValue;
use crate::figures::{Report, ReportHead};
use crate::filter::{FilteredFold, SpanFilter};
use crate::labelled::{LabelReport, LabelTotals, LabelTotalsRequest};
use crate::ranking::{RankedRow, Ranking, RankingOf, RankingPage};
use crate::request::ReportRequest;
use crate::value_totals::ValueTotals;

/// Reason why there is no report.
#[derive(Debug)]
pub enum ReportError {
    /// The range has more than [`REPORT_VIEWERS_MAX`] viewers.
    TooManyViewers,
    /// The range has more than [`REPORT_VALUES_MAX`] values of a label, or more viewers than a
    /// report may have.
    TooManyValues,
    /// The ledger can't be read.
    Store(StoreError),
}

impl From<StoreError> for ReportError {
    fn from(error: StoreError) -> ReportError {
        ReportError::Store(error)
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::TooManyViewers => write!(
                f,
                "the range has more than {REPORT_VIEWERS_MAX} viewers; choose a shorter range, or \
                 one stage"
            ),
            ReportError::TooManyValues => write!(
                f,
                "the range has more than {REPORT_VALUES_MAX} values of the label, or more than \
                 {REPORT_VIEWERS_MAX} viewers; choose a shorter range, or one stage"
            ),
            ReportError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReportError {}

/// Sources of a report.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The ledger.
    pub cold: Arc<dyn Cold>,
    /// Proof since the ledger's end, and the time up to which the node knows it. Without it, the
    /// report ends with the ledger.
    pub proofs: Option<(Arc<Proofs>, UnixMs)>,
    /// Part of the ledger that the reader may see.
    pub filter: SpanFilter,
}

impl Sources {
    /// Folds the spans of a range, as far as the reader may see them. Also returns the time up to
    /// which the ledger is committed.
    ///
    /// # Errors
    /// Returns the errors of the scan.
    pub async fn fold<T: scan::RangeFold>(
        &self,
        range: Span,
        viewer: Option<&str>,
        to: T,
        progress: &mut (impl FnMut(f64) + Send),
    ) -> StoreResult<(T, UnixMs)> {
        let proofs = self.proofs.as_ref().map(|(proofs, _)| proofs);
        if self.filter.is_all() {
            return scan::fold(&self.cold, proofs, range, viewer, to, progress).await;
        }
        let to = FilteredFold::new(to, self.filter.clone());
        let (to, committed_to) =
            scan::fold(&self.cold, proofs, range, viewer, to, progress).await?;
        Ok((to.into_inner(), committed_to))
    }

    /// Returns the time up to which all proof is known, given how far the ledger is committed.
    fn known_to(&self, committed_to: UnixMs) -> UnixMs {
        self.proofs.as_ref().map_or(committed_to, |(_, known_to)| *known_to)
    }
}

/// A result, and the time up to which the ledger has its range for good.
#[derive(Clone, Debug)]
pub struct Covered<T> {
    /// The result.
    pub value: T,
    /// Time up to which the ledger is committed; zero if nothing is committed yet.
    pub committed_to: UnixMs,
}

/// Reads a report. `progress` is called with the part that has been read.
///
/// # Errors
/// Returns `TooManyViewers`, or the error of the scan.
pub async fn report(
    sources: &Sources,
    request: ReportRequest,
    progress: &mut (impl FnMut(f64) + Send),
) -> Result<Covered<Report>, ReportError> {
    let started_at = match &request.stage {
        Some(stage) => {
            let first = FirstMoment::new(request.range, stage.clone());
            sources.fold(request.range, None, first, &mut |_| ()).await?.0.found()
        }
        None => None,
    };
    let reads = request.reads();
    let audience = Audience::new(request, started_at, REPORT_VIEWERS_MAX);
    let (audience, committed_to) = sources.fold(reads, None, audience, progress).await?;
    let report =
        audience.finish(sources.known_to(committed_to)).ok_or(ReportError::TooManyViewers)?;
    Ok(Covered { value: report, committed_to })
}

/// Reads the main figures of a report by each value of a label's key. Values with fewer viewers
/// than `floor` are left out.
///
/// # Errors
/// Returns `TooManyValues`, or the error of the scan.
pub async fn report_by(
    sources: &Sources,
    request: &ReportRequest,
    key: &str,
    floor: u64,
    progress: &mut (impl FnMut(f64) + Send),
) -> Result<Covered<LabelReport>, ReportError> {
    let of = request.clone();
    let make = move || Audience::new(of.clone(), None, REPORT_VIEWERS_MAX);
    let fold = ByValue::new(key.to_string(), REPORT_VIEWERS_MAX, make);
    let (fold, committed_to) = sources.fold(request.reads(), None, fold, progress).await?;
    let known_to = sources.known_to(committed_to);
    let folds = fold.finish().ok_or(ReportError::TooManyValues)?.into_iter();
    let heads = folds.filter_map(|(value, fold)| Some((value, fold.finish(known_to)?.head)));
    Ok(Covered { value: LabelReport::new(key, heads, floor), committed_to })
}

/// Reads watch time and concurrency by each value of a label's key. Values with fewer viewers than
/// `floor` are left out.
///
/// # Errors
/// Returns `TooManyValues`, or the error of the scan.
pub async fn totals_by(
    sources: &Sources,
    request: &LabelTotalsRequest,
) -> Result<Covered<LabelTotals>, ReportError> {
    let LabelTotalsRequest { range, step_ms, stage, key, .. } = request.clone();
    // Without a history, one step has the peak.
    let length_ms = step_ms.unwrap_or_else(|| range.ms().max(1));
    let make = move || ValueTotals::new(range, length_ms, stage.clone());
    let fold = ByValue::new(key, REPORT_VIEWERS_MAX, make);
    let (fold, committed_to) = sources.fold(range, None, fold, &mut |_| ()).await?;
    let folds = fold.finish().ok_or(ReportError::TooManyValues)?;
    Ok(Covered { value: LabelTotals::new(request, folds), committed_to })
}

/// A broadcast of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadcast {
    /// Time from its first viewer to its last.
    pub span: Span,
    /// Whether it may still go on.
    pub is_ongoing: bool,
    /// Its main figures.
    pub head: ReportHead,
}

/// Reads the latest broadcasts of a stage, at most `limit`, newest first.
///
/// `view_gap_ms` is the largest gap within a view, and `gap_ms` that within a broadcast.
///
/// # Errors
/// Returns the errors of [`report`].
pub async fn broadcasts(
    sources: &Sources,
    range: Span,
    stage: &str,
    (view_gap_ms, gap_ms): (u64, u64),
    limit: usize,
) -> Result<Covered<Vec<Broadcast>>, ReportError> {
    let fold = Broadcasts::new(range, stage.to_string(), gap_ms);
    let (fold, committed_to) = sources.fold(range, None, fold, &mut |_| ()).await?;
    let known_to = sources.known_to(committed_to);
    let mut found = Vec::new();
    for span in fold.finish().into_iter().rev().take(limit) {
        let request = ReportRequest {
            stage: Some(stage.to_string()),
            range: span,
            step_ms: span.ms().max(1),
            gap_ms: view_gap_ms,
            ..ReportRequest::default()
        };
        let head = report(sources, request, &mut |_| ()).await?.value.head;
        let is_ongoing = span.to.plus(gap_ms) >= known_to;
        found.push(Broadcast { span, is_ongoing, head });
    }
    Ok(Covered { value: found, committed_to })
}

/// Reads a page of a ranking. Each page reads the whole range.
///
/// # Errors
/// Returns `TooManyViewers`, or the error of the scan.
pub async fn ranking(
    sources: &Sources,
    range: Span,
    of: RankingOf,
    page: &RankingPage,
) -> Result<Covered<(Vec<RankedRow>, bool)>, ReportError> {
    let viewer = match &of {
        RankingOf::Stages { viewer } => Some(viewer.clone()),
        RankingOf::Viewers { .. } => None,
    };
    let fold = Ranking::new(of, range, REPORT_VIEWERS_MAX);
    let (fold, committed_to) = sources.fold(range, viewer.as_deref(), fold, &mut |_| ()).await?;
    let value = fold.page(page).ok_or(ReportError::TooManyViewers)?;
    Ok(Covered { value, committed_to })
}
