//! Pages of the ledger that a node has read, so that a dashboard that stays open does not read them
//! again and again.
//!
//! A chain only grows at its end, so a page that has later rows behind it never changes. There are
//! two exceptions. Rows expire, which readers check. And `housecount forget` rewrites chunks, and
//! then changes the item that names the series. Every scan reads that item first, and drops all
//! pages when it is another one.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use housecount_core::item::Item;
use housecount_core::keys::{Key, KeyRange, Series};
use housecount_core::limits::{LEDGER_CACHE_BYTES_MAX, LEDGER_CACHE_IDLE_MS, LEDGER_CACHE_MS_MAX};
use housecount_core::time::UnixMs;
use housecount_core::units::item_bytes;
use parking_lot::Mutex;

use crate::clock::mono_ms;
use crate::cold::{
    Cold, Condition, KeyedItem, KeyedRow, Meter, Page, Purpose, PutOutcome, TransactOutcome, Write,
};
use crate::error::StoreResult;

/// A cold tier that keeps pages of the ledger.
#[derive(Debug)]
pub struct CachedCold {
    cold: Arc<dyn Cold>,
    pages: Arc<Mutex<LedgerPages>>,
}

impl CachedCold {
    /// Keeps pages of a cold tier, for reads by callers of the API.
    #[must_use]
    pub fn of_reads(cold: Arc<dyn Cold>) -> Arc<dyn Cold> {
        Arc::new(CachedCold { cold: cold.metered_as_reads(), pages: Arc::default() })
    }

    async fn query_ledger(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        let key = PageKey::new(range, page);
        let generation = {
            let mut pages = self.pages.lock();
            if let Some(rows) = pages.get(&key, mono_ms()) {
                return Ok(rows);
            }
            pages.generation
        };
        let rows = self.cold.query(range, page).await?;
        self.pages.lock().insert(key, range, page, &rows, generation, mono_ms());
        Ok(rows)
    }
}

/// Request that a page answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PageKey {
    pk: String,
    /// First key of the range. Where the page continues after a key, it does not matter.
    first: String,
    last: String,
    after: Option<String>,
    limit: usize,
    is_backward: bool,
}

impl PageKey {
    fn new(range: &KeyRange, page: &Page) -> PageKey {
        let is_start = page.after.is_none() || page.backwards;
        PageKey {
            pk: range.pk.clone(),
            first: if is_start { range.first.clone() } else { String::new() },
            last: range.last.clone(),
            after: page.after.clone(),
            limit: page.limit,
            is_backward: page.backwards,
        }
    }
}

#[derive(Debug)]
struct LedgerPage {
    rows: Vec<KeyedRow>,
    bytes: usize,
    read_ms: u64,
    used_ms: u64,
}

/// Pages that never change, within [`LEDGER_CACHE_BYTES_MAX`].
#[derive(Debug, Default)]
struct LedgerPages {
    pages: HashMap<PageKey, LedgerPage>,
    bytes: usize,
    /// Greatest sort key that was seen of each chain.
    ends: HashMap<String, String>,
    /// Last content of the items that name the series.
    series: Vec<KeyedRow>,
    /// Number of times that all pages were dropped. A page that was requested before is not kept.
    generation: u64,
    swept_ms: u64,
}

impl LedgerPages {
    fn get(&mut self, key: &PageKey, now_ms: u64) -> Option<Vec<KeyedRow>> {
        let page = self.pages.get_mut(key)?;
        if now_ms.saturating_sub(page.read_ms) >= LEDGER_CACHE_MS_MAX {
            return None;
        }
        page.used_ms = now_ms;
        Some(page.rows.clone())
    }

    /// Keeps a page if nothing can be added to it: it is full, or its chain has a later row.
    fn insert(
        &mut self,
        key: PageKey,
        range: &KeyRange,
        page: &Page,
        rows: &[KeyedRow],
        generation: u64,
        now_ms: u64,
    ) {
        if let Some(last) = rows.iter().map(|(sk, _)| sk).max() {
            let end = self.ends.entry(key.pk.clone()).or_default();
            if *end < *last {
                last.clone_into(end);
            }
        }
        let is_full = !page.backwards && rows.len() == page.limit;
        let has_later = self.ends.get(&key.pk).is_some_and(|end| *end > range.last);
        if generation != self.generation || !(is_full || has_later) {
            return;
        }
        self.sweep(now_ms);
        let size = |(sk, item): &KeyedRow| item_bytes(&key.pk, sk, item);
        let bytes = usize::try_from(rows.iter().map(size).sum::<u64>()).unwrap_or(usize::MAX);
        // Pages in use stay. A scan of more than fits would otherwise drop each before its next
        // use.
        if self.bytes.saturating_add(bytes) > LEDGER_CACHE_BYTES_MAX {
            return;
        }
        let page = LedgerPage { rows: rows.to_vec(), bytes, read_ms: now_ms, used_ms: now_ms };
        self.bytes += bytes;
        if let Some(before) = self.pages.insert(key, page) {
            self.bytes -= before.bytes;
        }
    }

    /// Drops pages that are not used any more, or are old.
    fn sweep(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.swept_ms) < LEDGER_CACHE_IDLE_MS / 4 {
            return;
        }
        self.swept_ms = now_ms;
        self.pages.retain(|_, page| {
            now_ms.saturating_sub(page.used_ms) < LEDGER_CACHE_IDLE_MS
                && now_ms.saturating_sub(page.read_ms) < LEDGER_CACHE_MS_MAX
        });
        self.bytes = self.pages.values().map(|page| page.bytes).sum();
    }

    /// Compares the items that name the series with the last ones. Drops all pages if they differ.
    fn note_series(&mut self, rows: &[KeyedRow]) {
        if self.series != rows {
            let (series, generation) = (rows.to_vec(), self.generation + 1);
            *self = LedgerPages { series, generation, ..LedgerPages::default() };
        }
    }
}

#[async_trait]
impl Cold for CachedCold {
    async fn check(&self) -> StoreResult<()> {
        self.cold.check().await
    }

    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()> {
        self.cold.put(records).await
    }

    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome> {
        self.cold.put_if(record, condition).await
    }

    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome> {
        self.cold.transact(writes).await
    }

    async fn get(&self, key: &Key) -> StoreResult<Option<Item>> {
        self.cold.get(key).await
    }

    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        if *range == KeyRange::series(Series::Ledger) {
            let rows = self.cold.query(range, page).await?;
            self.pages.lock().note_series(&rows);
            return Ok(rows);
        }
        match Purpose::of_range(range) {
            Purpose::Ledger => self.query_ledger(range, page).await,
            _ => self.cold.query(range, page).await,
        }
    }

    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()> {
        self.cold.delete(keys).await
    }

    fn meter(&self) -> Meter {
        self.cold.meter()
    }

    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold> {
        let cold = self.cold.clone().metered_as_reads();
        Arc::new(CachedCold { cold, pages: self.pages.clone() })
    }

    async fn stored_bytes(&self) -> StoreResult<Option<u64>> {
        self.cold.stored_bytes().await
    }

    async fn sweep(&self, now: UnixMs) -> StoreResult<bool> {
        self.cold.sweep(now).await
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::item::Attr;
    use housecount_core::keys::Chain;

    use super::*;

    const CHAIN: Chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };

    fn rows(windows: std::ops::Range<u64>, size: usize) -> Vec<KeyedRow> {
        let item = Item::from([("chunk".to_string(), Attr::B(vec![7; size]))]);
        windows.map(|n| (format!("{n:013}"), item.clone())).collect()
    }

    fn range(first: u64, last: u64) -> KeyRange {
        KeyRange::chunks(CHAIN, UnixMs(first), UnixMs(last))
    }

    fn page(limit: usize) -> Page {
        Page { consistent: true, ..Page::first(limit) }
    }

    /// Asks, and answers from `stored` if the page is not kept. Returns whether it was kept.
    fn ask(
        pages: &mut LedgerPages,
        range: &KeyRange,
        page: &Page,
        stored: &[KeyedRow],
        now_ms: u64,
    ) -> (Vec<KeyedRow>, bool) {
        let key = PageKey::new(range, page);
        if let Some(rows) = pages.get(&key, now_ms) {
            return (rows, true);
        }
        let generation = pages.generation;
        pages.insert(key, range, page, stored, generation, now_ms);
        (stored.to_vec(), false)
    }

    #[test]
    fn only_pages_that_never_change_are_kept() {
        let mut pages = LedgerPages::default();
        let all = range(0, u64::MAX);
        let full = rows(0..8, 10);
        assert!(!ask(&mut pages, &all, &page(8), &full, 0).1);
        assert_eq!(ask(&mut pages, &all, &page(8), &[], 1), (full.clone(), true));
        // A narrower range that starts alike has a page of its own, which is final as well.
        assert!(!ask(&mut pages, &range(0, 2), &page(8), &full[..3], 1).1);
        assert_eq!(ask(&mut pages, &range(0, 2), &page(8), &[], 1), (full[..3].to_vec(), true));
        assert_eq!(ask(&mut pages, &all, &page(8), &[], 1), (full.clone(), true));
        // The end of the chain may grow.
        let rest = Page { after: Some(full[7].0.clone()), ..page(8) };
        assert!(!ask(&mut pages, &all, &rest, &rows(8..9, 10), 2).1);
        assert!(!ask(&mut pages, &all, &rest, &rows(8..10, 10), 3).1);
        // The last row before a time is final once a later one was seen.
        let last = Page { consistent: true, ..Page::last(1) };
        assert!(!ask(&mut pages, &range(0, 5), &last, &rows(5..6, 10), 4).1);
        assert!(ask(&mut pages, &range(0, 5), &last, &[], 5).1);
        assert!(!ask(&mut pages, &range(0, 50), &last, &rows(9..10, 10), 4).1);
        assert!(!ask(&mut pages, &range(0, 50), &last, &rows(9..10, 10), 5).1);
    }

    #[test]
    fn a_changed_series_drops_all_and_late_answers_are_not_kept() {
        let mut pages = LedgerPages::default();
        let named = |rewritten| {
            vec![("00001".to_string(), Item::from([("rewritten".to_string(), Attr::N(rewritten))]))]
        };
        pages.note_series(&named(1));
        let (all, full) = (range(0, u64::MAX), rows(0..8, 10));
        ask(&mut pages, &all, &page(8), &full, 0);
        pages.note_series(&named(1));
        assert!(ask(&mut pages, &all, &page(8), &full, 0).1);
        let before = pages.generation;
        pages.note_series(&named(2));
        assert_eq!((pages.pages.len(), pages.bytes), (0, 0));
        // The answer to a query that was sent before the change.
        let key = PageKey::new(&all, &page(8));
        pages.insert(key, &all, &page(8), &full, before, 0);
        assert!(pages.pages.is_empty());
    }

    #[test]
    fn ledger_cache_bytes_max_and_ledger_cache_idle_ms_bound_it() {
        let mut pages = LedgerPages::default();
        let size = LEDGER_CACHE_BYTES_MAX / 16;
        let mut kept = 0;
        for n in 0..6 {
            let of = range(n * 8, u64::MAX);
            ask(&mut pages, &of, &page(8), &rows(n * 8..n * 8 + 8, size), 0);
            kept += usize::from(ask(&mut pages, &of, &page(8), &[], 0).1);
        }
        assert_eq!(kept, 1, "each page is half of the room, and a bit");
        assert!(pages.bytes <= LEDGER_CACHE_BYTES_MAX);
        pages.sweep(LEDGER_CACHE_IDLE_MS);
        assert_eq!((pages.pages.len(), pages.bytes), (0, 0));
    }

    #[test]
    fn ledger_cache_ms_max_is_the_age_of_a_page() {
        let mut pages = LedgerPages::default();
        let (all, full) = (range(0, u64::MAX), rows(0..8, 10));
        ask(&mut pages, &all, &page(8), &full, 0);
        assert!(ask(&mut pages, &all, &page(8), &full, LEDGER_CACHE_MS_MAX - 1).1);
        assert!(!ask(&mut pages, &all, &page(8), &full, LEDGER_CACHE_MS_MAX).1);
    }
}
