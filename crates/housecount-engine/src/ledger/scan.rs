//! A scan of a range of the ledger: all its chains in step, then later proof.
//!
//! One chunk is held in memory at a time, so a range may be of any length. The visitor bounds the
//! size of the result.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::threads::blocking::{ledger_turn, run_blocking};
use housecount_core::event::partition_of;
use housecount_core::keys::{Chain, Series};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::curve::{Curve, Step};
use housecount_ledger::totals::{StageTotalRows, StageTotals};
use housecount_ledger::views::Views;
use housecount_ledger::watch::{StageViewer, WatchFilter, WatchTime, WatchTotals};
use housecount_ledger::{SpanOwner, SpanVisitor, for_each_owned};

use super::chain::{self, ChainReader};
use super::proofs::Proofs;

/// A chain that is read, and the time up to which all its spans have been reported.
#[derive(Debug)]
struct ChainCursor {
    chain: Chain,
    reading: ChainReader,
    complete_to: UnixMs,
    is_done: bool,
}

/// Chains of a range, read in step.
#[derive(Debug)]
pub struct Scan {
    cold: Arc<dyn Cold>,
    range: Span,
    lanes: Vec<ChainCursor>,
}

impl Scan {
    /// Opens the chains that may have data of the range: all, or those of one viewer.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` if a chain's first chunk can't be read.
    pub async fn open(
        cold: &Arc<dyn Cold>,
        range: Span,
        viewer: Option<&str>,
    ) -> StoreResult<Scan> {
        let mut lanes = Vec::new();
        for chain in chain::all(cold).await? {
            if viewer
                .is_some_and(|viewer| partition_of(viewer, chain.partitions) != chain.partition)
            {
                continue;
            }
            let reading = ChainReader::open(&**cold, chain, range.from).await?;
            lanes.push(ChainCursor { chain, reading, complete_to: UnixMs::ZERO, is_done: false });
        }
        Ok(Scan { cold: cold.clone(), range, lanes })
    }

    /// Reads a chunk of the chain that is furthest behind.
    ///
    /// Returns the time before which all spans have been reported; `None` at the end.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt`, whose text names the invalid item.
    pub async fn next<T: SpanVisitor + Default + Send + 'static>(
        &mut self,
        tell: &mut T,
    ) -> StoreResult<Option<UnixMs>> {
        let behind =
            self.lanes.iter_mut().filter(|lane| !lane.is_done).min_by_key(|lane| lane.complete_to);
        let Some(lane) = behind else { return Ok(None) };
        match lane.reading.next(&*self.cold, tell).await? {
            Some(chunk) => {
                let kept_ms = chunk.kept_ms;
                // Late spans of the range may come this long after it.
                lane.is_done = chunk.window.from >= self.range.to.plus(kept_ms);
                lane.complete_to = lane.reading.book.edge().minus(kept_ms);
            }
            None => {
                // Open spans are reported now, since a ledger that ended long ago must not hold the
                // others back.
                lane.reading.book.close_all(tell);
                lane.is_done = true;
                lane.complete_to = UnixMs::MAX;
            }
        }
        // The proof since the ledger's end comes later.
        let ends: Vec<_> =
            self.lanes.iter().map(|lane| (lane.chain, lane.reading.book.edge())).collect();
        let complete_to = self.lanes.iter().map(|lane| lane.complete_to).min();
        Ok(complete_to.map(|complete_to| complete_to.min(committed_to(&ends))))
    }

    /// Reports the spans that are still open, and returns where each chain ended.
    pub fn finish(mut self, tell: &mut impl SpanVisitor) -> Vec<(Chain, UnixMs)> {
        self.lanes
            .iter_mut()
            .map(|lane| {
                lane.reading.book.close_all(tell);
                (lane.chain, lane.reading.book.edge())
            })
            .collect()
    }
}

/// A result that the spans of a range are folded into.
pub trait RangeFold: SpanVisitor + Default + Send + 'static {
    /// Adds a span that was proven since the ledger's end. It may touch an earlier one.
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span);

    /// Adds such a span with its owner.
    fn add_owned_proven(&mut self, owner: &SpanOwner<'_>, span: Span) {
        self.add_proven(owner.stage, owner.viewer, span);
    }

    /// Learns that all spans which end before `to` have been reported.
    fn advance(&mut self, _to: UnixMs) {}

    /// Number of viewers that it holds in memory.
    fn viewers_held(&self) -> usize {
        0
    }

    /// Whether the result needs no more spans.
    fn is_full(&self) -> bool {
        false
    }
}

/// Folds the spans of a range: the ledger's, and with `proofs` also those proven since.
///
/// `viewer` selects one viewer's partition. `progress` is called with the part that has been read.
/// Also returns the time up to which the ledger is committed.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn fold<T: RangeFold>(
    cold: &Arc<dyn Cold>,
    proofs: Option<&Arc<Proofs>>,
    range: Span,
    viewer: Option<&str>,
    mut to: T,
    progress: &mut (impl FnMut(f64) + Send),
) -> StoreResult<(T, UnixMs)> {
    let mut scan = Scan::open(cold, range, viewer).await?;
    while !to.is_full()
        && let Some(complete_to) = scan.next(&mut to).await?
    {
        to.advance(complete_to);
        progress(complete_to.since(range.from) as f64 / range.ms().max(1) as f64);
    }
    let ends = {
        // In its turn, since many spans may be open.
        let _turn = ledger_turn().await;
        scan.finish(&mut to)
    };
    match proofs {
        Some(proofs) => add_tail(proofs, ends, range, viewer.map(str::to_string), to).await,
        None => Ok((to, committed_to(&ends))),
    }
}

/// Adds the proof since the ledger's end, and returns the time up to which the ledger is committed.
///
/// Not on a background thread, because it holds the fold's lock. Players must not wait until a
/// thread of low priority gets a core.
async fn add_tail<T: RangeFold>(
    proofs: &Arc<Proofs>,
    ends: Vec<(Chain, UnixMs)>,
    range: Span,
    viewer: Option<String>,
    mut to: T,
) -> StoreResult<(T, UnixMs)> {
    let proofs = proofs.clone();
    let turn = ledger_turn().await;
    let added = run_blocking(move || {
        // Held until the work is done, even if the caller is dropped.
        let _turn = turn;
        let with = |owner: &SpanOwner<'_>, span| to.add_owned_proven(owner, span);
        let committed_to = chain_ends(&proofs, &ends, range, viewer.as_deref(), with);
        (to, committed_to)
    });
    added
        .await
        .map_err(|e| StoreError::caused(ErrorKind::Unavailable, "reading proven watch time", e))
}

/// Calls `with` for the spans that were proven since the ends of a ledger's chains.
fn chain_ends(
    proofs: &Proofs,
    ends: &[(Chain, UnixMs)],
    range: Span,
    viewer: Option<&str>,
    mut with: impl FnMut(&SpanOwner<'_>, Span),
) -> UnixMs {
    let edge = |chain| {
        ends.iter().find(|(known, _)| *known == chain).map_or(UnixMs::ZERO, |(_, edge)| *edge)
    };
    let mut committed_to = UnixMs::MAX;
    for chain in Series::Ledger.chains(proofs.partitions()) {
        if viewer.is_some_and(|viewer| partition_of(viewer, chain.partitions) != chain.partition) {
            continue;
        }
        let from = edge(chain);
        // The scan may have stopped before the ledger's end.
        committed_to = committed_to.min(from.max(proofs.committed(chain.partition)));
        if from >= range.to {
            continue; // the ledger has reported all of the range, so no seat is read
        }
        proofs.for_each_proven(
            chain.partition,
            Span::new(from.max(range.from), range.to),
            |proven| for_each_owned(&proven, &mut with),
        );
    }
    committed_to
}

/// Rows of a range, and the time up to which they are committed.
#[derive(Debug)]
pub struct WatchPage {
    /// The rows, sorted.
    pub rows: Vec<(StageViewer, WatchTime)>,
    /// Whether the list has more rows after them.
    pub more: bool,
    /// Time up to which the ledger has the range; zero if nothing is committed yet.
    pub committed_to: UnixMs,
}

/// Reads the watch time of viewers from the ledger and later proof.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn watch(
    cold: &Arc<dyn Cold>,
    proofs: &Arc<Proofs>,
    range: Span,
    wanted: WatchFilter,
    limit: usize,
) -> StoreResult<WatchPage> {
    let (viewer, watch) = (wanted.viewer.clone(), WatchTotals::new(range, wanted, limit));
    let (watch, committed_to) =
        fold(cold, Some(proofs), range, viewer.as_deref(), watch, &mut |_| ()).await?;
    let (rows, more) = watch.finish();
    Ok(WatchPage { rows, more, committed_to })
}

/// Reads the watch time of viewers from the ledger alone, for files that must be final.
///
/// `progress` is called with the part that has been read.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn committed_watch(
    cold: &Arc<dyn Cold>,
    range: Span,
    wanted: WatchFilter,
    limit: usize,
    progress: &mut (impl FnMut(f64) + Send),
) -> StoreResult<WatchPage> {
    let (viewer, watch) = (wanted.viewer.clone(), WatchTotals::new(range, wanted, limit));
    let (watch, committed_to) = fold(cold, None, range, viewer.as_deref(), watch, progress).await?;
    let (rows, more) = watch.finish();
    Ok(WatchPage { rows, more, committed_to })
}

/// Returns the time up to which a ledger exists.
///
/// A ledger reaches as far as its chain that is furthest behind. If the number of partitions has
/// changed, the ledger that continues counts.
#[must_use]
pub fn committed_to(ends: &[(Chain, UnixMs)]) -> UnixMs {
    let mut by_ledger: BTreeMap<u16, UnixMs> = BTreeMap::new();
    for (chain, edge) in ends {
        by_ledger.entry(chain.partitions).and_modify(|to| *to = (*to).min(*edge)).or_insert(*edge);
    }
    by_ledger.into_values().max().unwrap_or_default()
}

/// Stages of a range.
#[derive(Debug)]
pub struct StagePage {
    /// The rows, sorted.
    pub rows: StageTotalRows,
    /// Whether the list has more rows after them.
    pub more: bool,
    /// Time up to which the ledger has the range, as in [`WatchPage`].
    pub committed_to: UnixMs,
}

/// Reads the watch time of each stage from the ledger and later proof.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn stages(
    cold: &Arc<dyn Cold>,
    proofs: &Arc<Proofs>,
    range: Span,
    totals: StageTotals,
) -> StoreResult<StagePage> {
    let (totals, committed_to) = fold(cold, Some(proofs), range, None, totals, &mut |_| ()).await?;
    let (rows, more) = totals.finish();
    Ok(StagePage { rows, more, committed_to })
}

/// Adds the spans of the ledger and of later proof to these views. Stops early once they are full.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn views(cold: &Arc<dyn Cold>, proofs: &Arc<Proofs>, views: Views) -> StoreResult<Views> {
    let (range, viewer) = (views.range(), views.viewer().map(str::to_string));
    let (views, _) = fold(cold, Some(proofs), range, viewer.as_deref(), views, &mut |_| ()).await?;
    Ok(views)
}

/// Reads the concurrent viewers of a stage, or of all stages together, in steps.
///
/// The source is the ledger and later proof. Also returns the time up to which the steps are
/// committed.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn history(
    cold: &Arc<dyn Cold>,
    proofs: &Arc<Proofs>,
    range: Span,
    step_ms: u64,
    stage: Option<&str>,
) -> StoreResult<(Vec<Step>, UnixMs)> {
    let curve = Curve::new(range, step_ms, stage.map(str::to_string));
    let (curve, committed_to) = fold(cold, Some(proofs), range, None, curve, &mut |_| ()).await?;
    Ok((curve.finish(), committed_to))
}

impl RangeFold for WatchTotals {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }
}

impl RangeFold for StageTotals {
    fn add_proven(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }
}

impl RangeFold for Views {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        self.add(stage, viewer, span);
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }
}

impl RangeFold for Curve {
    fn add_proven(&mut self, stage: &str, _viewer: &str, span: Span) {
        self.add(stage, span);
    }

    fn advance(&mut self, to: UnixMs) {
        self.advance(to);
    }
}
