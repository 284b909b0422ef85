//! Reads of the ledger for callers of the API. Few run at once, each on a thread of its own, and
//! later pages come from rows that were made once.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::threads::blocking::{run_at_low_priority, run_future_at_low_priority};
use housecount_core::limits::{
    PAGE_STEPS_MAX, SCAN_KEPT_MS_MAX, SCAN_LONG_ROWS_MAX, SCAN_ROWS_MAX, SCANS_MAX,
};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::totals::{StageTotal, StageTotals};
use housecount_ledger::watch::{StageViewer, WatchFilter, WatchTime};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::proofs::Proofs;
use super::rows::{LedgerRow, RowCache, RowPage, RowSet};
use super::scan;

/// Number of pages for which the first page makes rows. Later pages make as many rows as allowed.
const PAGES_AHEAD: usize = 16;

/// A range as the caller requested it. An omitted end moves from call to call, and the pages still
/// belong to one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedRange {
    /// Start of the range, if given.
    pub from: Option<UnixMs>,
    /// End of the range, if given.
    pub to: Option<UnixMs>,
}

/// A list of watch times, with all that distinguishes it from other lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchList {
    /// Range of the list.
    pub range: AskedRange,
    /// Only this stage.
    pub stage: Option<String>,
    /// Only this viewer.
    pub viewer: Option<String>,
    /// Whether rows have intervals.
    pub intervals: bool,
}

/// A list of stages' watch times, with all that distinguishes it from other lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageList {
    /// Range of the list.
    pub range: AskedRange,
    /// Length of a step in ms, if rows have steps.
    pub step_ms: Option<u64>,
}

/// Stores that a scan reads.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The ledger.
    pub cold: Arc<dyn Cold>,
    /// Proof, including what is later than the ledger.
    pub proofs: Arc<Proofs>,
}

/// Scans of a node. Rows are made, kept and dropped on background threads only, since a list has up
/// to 100,000 of them.
#[derive(Debug)]
pub struct Scans {
    /// Permits for scans to begin.
    pub open: Arc<Semaphore>,
    runtime: Handle,
    viewers: Arc<RowCache<WatchList, (StageViewer, WatchTime)>>,
    stages: Arc<RowCache<StageList, (Box<str>, StageTotal)>>,
}

impl Scans {
    /// Creates scans that do their reading and writing on the caller's runtime.
    #[must_use]
    pub fn new() -> Scans {
        Scans {
            open: Arc::new(Semaphore::new(SCANS_MAX)),
            runtime: Handle::current(),
            viewers: Arc::default(),
            stages: Arc::default(),
        }
    }

    /// Runs a scan once fewer than [`SCANS_MAX`] run. It ends early if its caller is dropped.
    ///
    /// # Errors
    /// Returns the scan's error, or `Unavailable` if the node is stopping.
    pub async fn run<T: Send + 'static>(
        &self,
        scan: impl Future<Output = StoreResult<T>> + Send + 'static,
    ) -> StoreResult<T> {
        // The semaphore is never closed. The thread holds the permit, so a scan without a caller
        // still counts.
        let permit = self.open.clone().acquire_owned().await.ok();
        let scan = async move {
            let _permit = permit;
            scan.await
        };
        let stopped =
            || StoreError::new(ErrorKind::Unavailable, "the scan of the ledger was stopped");
        run_future_at_low_priority(&self.runtime, scan).await.unwrap_or_else(|| Err(stopped()))
    }

    /// Returns a page of a list of watch times. `range` is the requested range with its ends filled
    /// in.
    ///
    /// # Errors
    /// Returns the errors of [`scan::watch`].
    pub async fn watch(
        &self,
        stores: Stores,
        list: WatchList,
        range: Span,
        after: Option<StageViewer>,
        limit: usize,
    ) -> StoreResult<RowPage<(StageViewer, WatchTime)>> {
        if let Some(page) = self.viewers.page(&list, after.as_ref(), limit, mono_ms()) {
            return Ok(page);
        }
        let (cache, is_first) = (self.viewers.clone(), after.is_none());
        let rows = viewer_rows(is_first, list.intervals, limit);
        let page = async move {
            let began_ms = mono_ms();
            let began = cache.begin(list.clone(), is_first, began_ms);
            let wanted = WatchFilter {
                stage: list.stage.clone(),
                viewer: list.viewer.clone(),
                after: after.clone(),
                intervals: list.intervals,
                ..WatchFilter::default()
            };
            let Stores { cold, proofs } = stores;
            let found = scan::watch(&cold, &proofs, range, wanted, rows).await?;
            let is_sealed = is_sealed(range, &proofs, found.committed_to);
            let (rows, more, committed_to) = (found.rows, found.more, found.committed_to);
            let set = RowSet { range, after, rows, more, committed_to, is_sealed };
            Ok(cache.keep(list, began, set, limit, began_ms))
        };
        let page = self.run(page).await;
        self.expire_later(&self.viewers);
        page
    }

    /// Returns a page of a list of stages. `range` is the requested range with its ends filled in.
    ///
    /// # Errors
    /// Returns the errors of [`scan::stages`].
    pub async fn stages(
        &self,
        stores: Stores,
        list: StageList,
        range: Span,
        after: Option<Box<str>>,
        limit: usize,
    ) -> StoreResult<RowPage<(Box<str>, StageTotal)>> {
        if let Some(page) = self.stages.page(&list, after.as_ref(), limit, mono_ms()) {
            return Ok(page);
        }
        let cache = self.stages.clone();
        let page = async move {
            let began_ms = mono_ms();
            let began = cache.begin(list.clone(), after.is_none(), began_ms);
            let steps = list.step_ms.map_or(1, |step_ms| StageTotals::steps(range, step_ms));
            let rows = stage_rows(steps, limit);
            let last = after.as_deref().map(str::to_string);
            let totals = StageTotals::new(range, list.step_ms, last, rows);
            let Stores { cold, proofs } = stores;
            let found = scan::stages(&cold, &proofs, range, totals).await?;
            let is_sealed = is_sealed(range, &proofs, found.committed_to);
            let (rows, more, committed_to) = (found.rows, found.more, found.committed_to);
            let set = RowSet { range, after, rows, more, committed_to, is_sealed };
            Ok(cache.keep(list, began, set, limit, began_ms))
        };
        let page = self.run(page).await;
        self.expire_later(&self.stages);
        page
    }

    /// Drops rows that have just been made once they are old, even if no page is requested then.
    fn expire_later<Q: PartialEq + Send + 'static, R: LedgerRow>(
        &self,
        cache: &Arc<RowCache<Q, R>>,
    ) {
        let cache = Arc::downgrade(cache);
        self.runtime.spawn(async move {
            sleep(Duration::from_millis(SCAN_KEPT_MS_MAX)).await;
            if let Some(cache) = cache.upgrade() {
                // A node that stops drops all of them.
                let _ = run_at_low_priority(move || cache.expire(mono_ms())).await;
            }
        });
    }

    /// Bytes of the rows that are kept for later pages.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.viewers.bytes() + self.stages.bytes()
    }
}

impl Default for Scans {
    fn default() -> Scans {
        Scans::new()
    }
}

/// Number of rows that a scan of viewers makes, for a page of `limit` and the pages after it.
fn viewer_rows(is_first: bool, intervals: bool, limit: usize) -> usize {
    let rows_max = if intervals { SCAN_LONG_ROWS_MAX } else { SCAN_ROWS_MAX };
    if is_first { rows_max.min(PAGES_AHEAD * limit) } else { rows_max.max(limit) }
}

/// Number of rows that a scan of stages makes, each with `steps` steps: at most 8 MB of steps.
fn stage_rows(steps: u64, limit: usize) -> usize {
    let room = usize::try_from(10 * PAGE_STEPS_MAX / steps.max(1)).unwrap_or(usize::MAX);
    room.min(SCAN_ROWS_MAX).max(limit)
}

/// Whether the ledger will never change a range: not even a late span may reach it.
fn is_sealed(range: Span, proofs: &Proofs, committed_to: UnixMs) -> bool {
    range.to.plus(proofs.kept_ms()) <= committed_to
}

#[cfg(test)]
mod tests {
    use housecount_core::limits::PAGE_ROWS_MAX;

    use super::*;

    #[test]
    fn scan_rows_max() {
        assert_eq!(
            [1, 100, PAGE_ROWS_MAX].map(|limit| viewer_rows(true, false, limit)),
            [16, 1_600, 16_000]
        );
        assert_eq!(
            viewer_rows(false, false, 1),
            SCAN_ROWS_MAX,
            "a reader that will continue gets more rows"
        );
        assert_eq!(
            [0, 1, 31, 1_000].map(|steps| stage_rows(steps, 100)),
            [SCAN_ROWS_MAX, SCAN_ROWS_MAX, SCAN_ROWS_MAX, 1_000]
        );
        assert_eq!(stage_rows(PAGE_STEPS_MAX, 1), 10);
    }

    #[test]
    fn scan_long_rows_max() {
        assert_eq!(
            [1, 100, PAGE_ROWS_MAX].map(|limit| viewer_rows(true, true, limit)),
            [16, 1_600, SCAN_LONG_ROWS_MAX]
        );
        assert_eq!(viewer_rows(false, true, 1), SCAN_LONG_ROWS_MAX);
    }
}
