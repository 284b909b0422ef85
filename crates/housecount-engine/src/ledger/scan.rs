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
use housecount_core::ledger::SpanVisitor;
use housecount_core::ledger::curve::{Curve, Step};
use housecount_core::ledger::totals::{StageTotalRows, StageTotals};
use housecount_core::ledger::views::Views;
use housecount_core::ledger::watch::{StageViewer, WatchFilter, WatchTime, WatchTotals};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

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

/// Finishes a scan in its turn, since many spans may be open.
async fn finish(scan: Scan, tell: &mut impl SpanVisitor) -> Vec<(Chain, UnixMs)> {
    let _turn = ledger_turn().await;
    scan.finish(tell)
}

/// Adds the proof since the ledger's end, and returns the time up to which the ledger is committed.
///
/// Not on a background thread, because it holds the fold's lock. Players must not wait until a
/// thread of low priority gets a core.
async fn add_tail<T: Send + 'static>(
    proofs: &Arc<Proofs>,
    ends: Vec<(Chain, UnixMs)>,
    range: Span,
    viewer: Option<String>,
    mut to: T,
    add: fn(&mut T, &str, &str, Span),
) -> StoreResult<(T, UnixMs)> {
    let proofs = proofs.clone();
    let turn = ledger_turn().await;
    let added = run_blocking(move || {
        // Held until the work is done, even if the caller is dropped.
        let _turn = turn;
        let with = |stage: &str, viewer: &str, span| add(&mut to, stage, viewer, span);
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
    mut with: impl FnMut(&str, &str, Span),
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
            |proven| {
                proven.spans.iter().for_each(|span| with(proven.stage, proven.viewer, *span));
            },
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
    let mut scan = Scan::open(cold, range, wanted.viewer.as_deref()).await?;
    let viewer = wanted.viewer.clone();
    let mut watch = WatchTotals::new(range, wanted, limit);
    while scan.next(&mut watch).await?.is_some() {}
    let ends = finish(scan, &mut watch).await;
    let add =
        |watch: &mut WatchTotals, stage: &str, viewer: &str, span| watch.add(stage, viewer, span);
    let (watch, committed_to) = add_tail(proofs, ends, range, viewer, watch, add).await?;
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
    let mut scan = Scan::open(cold, range, wanted.viewer.as_deref()).await?;
    let mut watch = WatchTotals::new(range, wanted, limit);
    while let Some(complete_to) = scan.next(&mut watch).await? {
        progress(complete_to.since(range.from) as f64 / range.ms().max(1) as f64);
    }
    let committed_to = committed_to(&scan.finish(&mut watch));
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
    mut totals: StageTotals,
) -> StoreResult<StagePage> {
    let mut scan = Scan::open(cold, range, None).await?;
    while scan.next(&mut totals).await?.is_some() {}
    let ends = finish(scan, &mut totals).await;
    let add = |totals: &mut StageTotals, stage: &str, _: &str, span| totals.add(stage, span);
    let (totals, committed_to) = add_tail(proofs, ends, range, None, totals, add).await?;
    let (rows, more) = totals.finish();
    Ok(StagePage { rows, more, committed_to })
}

/// Adds the spans of the ledger and of later proof to these views. Stops early once they are full.
///
/// # Errors
/// Returns the errors of [`Scan::next`].
pub async fn views(
    cold: &Arc<dyn Cold>,
    proofs: &Arc<Proofs>,
    mut views: Views,
) -> StoreResult<Views> {
    let (range, viewer) = (views.range(), views.viewer().map(str::to_string));
    let mut scan = Scan::open(cold, range, viewer.as_deref()).await?;
    while !views.is_full() && scan.next(&mut views).await?.is_some() {}
    let ends = finish(scan, &mut views).await;
    let add = |views: &mut Views, stage: &str, viewer: &str, span| views.add(stage, viewer, span);
    let (views, _) = add_tail(proofs, ends, range, viewer, views, add).await?;
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
    let mut scan = Scan::open(cold, range, None).await?;
    let mut curve = Curve::new(range, step_ms, stage.map(str::to_string));
    while let Some(complete_to) = scan.next(&mut curve).await? {
        curve.advance(complete_to);
    }
    let ends = finish(scan, &mut curve).await;
    let add = |curve: &mut Curve, stage: &str, _: &str, span| curve.add(stage, span);
    let (curve, committed_to) = add_tail(proofs, ends, range, None, curve, add).await?;
    Ok((curve.finish(), committed_to))
}
