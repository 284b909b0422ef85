//! Rows of a range, made once and kept for a while for the pages after the first.
//!
//! A cursor holds where a page ended, not when it was made, so any client's cursor may come to any
//! node. Kept rows are used for a cursor only where the result is exact. Rows of a *sealed* range
//! never change, and fit each cursor. Rows of a range that may still change only continue a page
//! that came from the same rows. A first page makes its rows again, and drops earlier ones of the
//! same query. So a client never sees rows older than its first page.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use housecount_core::limits::{SCAN_KEPT_BYTES_MAX, SCAN_KEPT_MS_MAX, SCAN_KEPT_SETS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::totals::StageTotal;
use housecount_ledger::watch::{StageViewer, WatchTime};
use parking_lot::Mutex;

/// A row of a list that is read page by page.
pub trait LedgerRow: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Place of a row in the order. No two rows have the same key.
    type Key: Ord + Clone + std::fmt::Debug + Send + Sync + 'static;
    /// Key of the row.
    fn key(&self) -> &Self::Key;
    /// Approximate size of the row in memory.
    fn bytes(&self) -> usize;
}

impl LedgerRow for (StageViewer, WatchTime) {
    type Key = StageViewer;
    fn key(&self) -> &StageViewer {
        &self.0
    }
    fn bytes(&self) -> usize {
        let (stage, viewer) = &self.0;
        size_of::<Self>() + stage.len() + viewer.len() + size_of::<Span>() * self.1.intervals.len()
    }
}

impl LedgerRow for (Box<str>, StageTotal) {
    type Key = Box<str>;
    fn key(&self) -> &Box<str> {
        &self.0
    }
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len() + size_of::<u64>() * self.1.steps_ms.len()
    }
}

/// Consecutive rows of a list, as of one moment.
#[derive(Debug)]
pub struct RowSet<R: LedgerRow> {
    /// Range of the rows.
    pub range: Span,
    /// Key after which the rows begin; `None` if they begin with the first row.
    pub after: Option<R::Key>,
    /// The rows, sorted by key.
    pub rows: Vec<R>,
    /// Whether the list has more rows after them.
    pub more: bool,
    /// Time up to which the ledger has the range.
    pub committed_to: UnixMs,
    /// Whether the rows never change any more.
    pub is_sealed: bool,
}

/// A page of rows. It shares them with the cache, because a worker makes the page, and copying a
/// thousand rows would delay heartbeats.
#[derive(Clone, Debug)]
pub struct RowPage<R: LedgerRow> {
    set: Arc<RowSet<R>>,
    places: Range<usize>,
    /// Whether the list has more rows after them.
    pub more: bool,
    /// Range of the rows.
    pub range: Span,
    /// Time up to which the ledger has the range.
    pub committed_to: UnixMs,
}

impl<R: LedgerRow> RowPage<R> {
    /// Creates a page of rows that are not kept for later pages. They are sorted by key.
    #[must_use]
    pub fn of_rows(range: Span, rows: Vec<R>, more: bool, committed_to: UnixMs) -> RowPage<R> {
        let limit = rows.len();
        let set = RowSet { range, after: None, rows, more, committed_to, is_sealed: false };
        RowPage::new(Arc::new(set), 0, limit)
    }

    fn new(set: Arc<RowSet<R>>, start: usize, limit: usize) -> RowPage<R> {
        let end = set.rows.len().min(start + limit);
        let more = set.more || end < set.rows.len();
        let (range, committed_to) = (set.range, set.committed_to);
        RowPage { set, places: start..end, more, range, committed_to }
    }

    /// The rows, sorted by key.
    #[must_use]
    pub fn rows(&self) -> &[R] {
        self.set.rows.get(self.places.clone()).unwrap_or_default()
    }
}

/// Sequence number of requests. Rows are never older than the request that they were made for.
pub type ScanNumber = u64;

/// Rows that were made for a query, or the mark that its first page was requested.
#[derive(Debug)]
struct CachedRows<Q, R: LedgerRow> {
    query: Q,
    began: ScanNumber,
    began_ms: u64,
    bytes: usize,
    /// `None` for a mark.
    set: Option<Arc<RowSet<R>>>,
    /// Places of rows at which a page ended.
    given: BTreeSet<usize>,
}

/// Recent row sets, within [`SCAN_KEPT_BYTES_MAX`].
#[derive(Debug)]
pub struct RowCache<Q, R: LedgerRow> {
    inner: Mutex<Inner<Q, R>>,
}

#[derive(Debug)]
struct Inner<Q, R: LedgerRow> {
    kept: VecDeque<CachedRows<Q, R>>,
    bytes: usize,
    began: ScanNumber,
    /// Marks of requests before this were dropped, so rows of earlier requests are not kept.
    floor: ScanNumber,
}

impl<Q, R: LedgerRow> Default for RowCache<Q, R> {
    fn default() -> RowCache<Q, R> {
        let inner = Inner { kept: VecDeque::new(), bytes: 0, began: 0, floor: 0 };
        RowCache { inner: Mutex::new(inner) }
    }
}

impl<Q: PartialEq, R: LedgerRow> RowCache<Q, R> {
    /// Returns the page after `after` from kept rows, if that is exact.
    ///
    /// `now_ms` is on the node's own clock. Old rows are skipped, and [`Self::expire`] drops them.
    pub fn page(
        &self,
        query: &Q,
        after: Option<&R::Key>,
        limit: usize,
        now_ms: u64,
    ) -> Option<RowPage<R>> {
        let (set, start) = {
            let mut inner = self.inner.lock();
            // Scans overlap, so rows of an earlier request may be behind those of a later one.
            let of_query = inner.kept.iter_mut().rev();
            let of_query = of_query.filter(|kept| kept.query == *query && !kept.is_old(now_ms));
            of_query.filter_map(|kept| kept.give(after, limit)).next()?
        };
        Some(RowPage::new(set, start, limit))
    }

    /// Registers a request that makes rows. A first page drops earlier rows of the same query.
    pub fn begin(&self, query: Q, is_first: bool, now_ms: u64) -> ScanNumber {
        let mut inner = self.inner.lock();
        inner.expire(now_ms);
        inner.began += 1;
        let began = inner.began;
        if is_first {
            inner.kept.retain(|kept| {
                kept.query != query || kept.set.as_ref().is_some_and(|set| set.is_sealed)
            });
            inner.push(CachedRows {
                query,
                began,
                began_ms: now_ms,
                bytes: 0,
                set: None,
                given: BTreeSet::new(),
            });
            inner.bytes = inner.kept.iter().map(|kept| kept.bytes).sum();
        }
        began
    }

    /// Keeps the rows of a request that began at `began_ms`, and returns its page.
    ///
    /// The rows are not kept if a first page of the same query began after them, or if they are too
    /// large.
    pub fn keep(
        &self,
        query: Q,
        began: ScanNumber,
        set: RowSet<R>,
        limit: usize,
        began_ms: u64,
    ) -> RowPage<R> {
        let set = Arc::new(set);
        let page = RowPage::new(set.clone(), 0, limit);
        let bytes = size_of::<RowSet<R>>() + set.rows.iter().map(LedgerRow::bytes).sum::<usize>();
        let given =
            page.more.then(|| limit.min(set.rows.len()).saturating_sub(1)).into_iter().collect();
        let mut inner = self.inner.lock();
        let is_newer = |kept: &CachedRows<Q, R>| {
            kept.query == query && kept.set.is_none() && kept.began > began
        };
        let is_late = began < inner.floor || inner.kept.iter().any(is_newer);
        if bytes <= SCAN_KEPT_BYTES_MAX && (set.is_sealed || !is_late) {
            inner.push(CachedRows { query, began, began_ms, bytes, set: Some(set), given });
        }
        page
    }

    /// Drops old rows.
    pub fn expire(&self, now_ms: u64) {
        self.inner.lock().expire(now_ms);
    }

    /// Bytes of the kept rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// Number of kept row sets, and of marks of requests.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.inner.lock().kept.len()
    }
}

impl<Q, R: LedgerRow> Inner<Q, R> {
    fn push(&mut self, kept: CachedRows<Q, R>) {
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
        while self.bytes > SCAN_KEPT_BYTES_MAX || self.kept.len() > SCAN_KEPT_SETS_MAX {
            let oldest = self.kept.pop_front();
            self.forget(oldest);
        }
    }

    fn expire(&mut self, now_ms: u64) {
        while self.kept.front().is_some_and(|kept| kept.is_old(now_ms)) {
            let oldest = self.kept.pop_front();
            self.forget(oldest);
        }
    }

    fn forget(&mut self, oldest: Option<CachedRows<Q, R>>) {
        let Some(oldest) = oldest else { return };
        self.bytes -= oldest.bytes;
        if oldest.set.is_none() {
            self.floor = self.floor.max(oldest.began);
        }
    }
}

impl<Q, R: LedgerRow> CachedRows<Q, R> {
    fn is_old(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.began_ms) >= SCAN_KEPT_MS_MAX
    }

    /// Returns where a page after `after` starts in the rows, if they fit the cursor and hold the
    /// whole page.
    fn give(&mut self, after: Option<&R::Key>, limit: usize) -> Option<(Arc<RowSet<R>>, usize)> {
        let set = self.set.as_ref()?;
        let start = match (after, &set.after) {
            (None, None) if set.is_sealed => 0,
            (None, _) => return None,
            (Some(after), begin) if set.is_sealed => {
                if begin.as_ref().is_some_and(|begin| begin > after) {
                    return None;
                }
                set.rows.partition_point(|row| row.key() <= after)
            }
            (Some(after), _) => {
                let place = set.rows.binary_search_by(|row| row.key().cmp(after)).ok()?;
                self.given.contains(&place).then_some(place + 1)?
            }
        };
        let left = set.rows.len() - start;
        if left < limit && set.more {
            return None;
        }
        if left > limit || set.more {
            self.given.insert(start + limit - 1);
        }
        Some((set.clone(), start))
    }
}
