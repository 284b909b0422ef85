//! Pages of the ledger that a node has read, so that a dashboard that stays open does not read them
//! again and again.
//!
//! A chain only grows at its end: once a chunk has its main row, no row before it changes. A
//! chunk's further parts are written before that row, and sort after it. So a part proves only that
//! earlier chunks are whole. What counts is what was known before a page was requested, since a
//! read of several rows may miss one that is written meanwhile.
//!
//! There are two exceptions. Rows expire, which readers check. And `housecount forget` rewrites
//! chunks, and then changes the item that names the series. Every scan reads that item first, and
//! drops all pages when it is another one.

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
        let (known, mut rows) = {
            let mut pages = self.pages.lock();
            let kept = pages.get(&key, mono_ms());
            if let Some((rows, true)) = kept {
                return Ok(rows);
            }
            (pages.known(&key), kept.map_or_else(Vec::new, |(rows, _)| rows))
        };
        // Only what may have changed since the rows that are kept.
        let after = rows.last().map(|(sk, _)| sk.clone()).or_else(|| page.after.clone());
        let rest = Page { after, limit: page.limit - rows.len(), ..page.clone() };
        rows.extend(self.cold.query(range, &rest).await?);
        self.pages.lock().insert(key, range, page, &rows, &known, mono_ms());
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

/// Knowledge before a page was requested.
#[derive(Debug)]
struct Known {
    generation: u64,
    /// Sort key before which the chain's rows are final.
    final_before: String,
}

/// Returns the sort key before which rows are final, because this row exists.
fn final_before(sk: &str) -> String {
    match sk.split_once('#') {
        Some((window, _)) => window.to_string(),
        // After the chunk's own parts.
        None => format!("{sk}~"),
    }
}

#[derive(Debug)]
struct LedgerPage {
    rows: Vec<KeyedRow>,
    /// Whether the page has no further rows.
    is_whole: bool,
    bytes: usize,
    read_ms: u64,
    used_ms: u64,
}

/// Rows that never change, within [`LEDGER_CACHE_BYTES_MAX`].
#[derive(Debug, Default)]
struct LedgerPages {
    pages: HashMap<PageKey, LedgerPage>,
    bytes: usize,
    /// Sort key of each chain before which its rows are final.
    final_before: HashMap<String, String>,
    /// Last content of the items that name the series.
    series: Vec<KeyedRow>,
    /// Number of times that all pages were dropped. A page that was requested before is not kept.
    generation: u64,
    swept_ms: u64,
}

impl LedgerPages {
    /// Returns the rows that are kept of a page, and whether they are all of it.
    fn get(&mut self, key: &PageKey, now_ms: u64) -> Option<(Vec<KeyedRow>, bool)> {
        let page = self.pages.get_mut(key)?;
        if now_ms.saturating_sub(page.read_ms) >= LEDGER_CACHE_MS_MAX {
            self.bytes -= page.bytes;
            self.pages.remove(key);
            return None;
        }
        page.used_ms = now_ms;
        Some((page.rows.clone(), page.is_whole))
    }

    fn known(&self, key: &PageKey) -> Known {
        let final_before = self.final_before.get(&key.pk).cloned().unwrap_or_default();
        Known { generation: self.generation, final_before }
    }

    /// Keeps the first rows of a page, as far as nothing can be added between them.
    fn insert(
        &mut self,
        key: PageKey,
        range: &KeyRange,
        page: &Page,
        rows: &[KeyedRow],
        known: &Known,
        now_ms: u64,
    ) {
        if known.generation != self.generation {
            return;
        }
        if let Some(last) = rows.iter().map(|(sk, _)| final_before(sk)).max() {
            let end = self.final_before.entry(key.pk.clone()).or_default();
            *end = last.max(std::mem::take(end));
        }
        if !page.consistent {
            // It may lack a main row whose parts it has.
            return;
        }
        let is_final = |sk: &String| *sk < known.final_before;
        let has_later = is_final(&range.last);
        let count = match page.backwards {
            true => {
                if has_later {
                    rows.len()
                } else {
                    0
                }
            }
            false => rows.iter().take_while(|(sk, _)| is_final(sk)).count(),
        };
        let is_whole = has_later || (!page.backwards && count == page.limit);
        if count == 0 && !is_whole {
            return;
        }
        self.sweep(now_ms);
        let rows = &rows[..count];
        let size = |(sk, item): &KeyedRow| item_bytes(&key.pk, sk, item);
        let bytes = usize::try_from(rows.iter().map(size).sum::<u64>()).unwrap_or(usize::MAX);
        let before = self.pages.get(&key).map_or(0, |page| page.bytes);
        // Pages in use stay. A scan of more than fits would otherwise drop each before its next
        // use.
        if (self.bytes - before).saturating_add(bytes) > LEDGER_CACHE_BYTES_MAX {
            return;
        }
        // The age is that of the oldest row.
        let read_ms = self.pages.get(&key).map_or(now_ms, |page| page.read_ms);
        let (rows, used_ms) = (rows.to_vec(), now_ms);
        self.bytes = self.bytes - before + bytes;
        self.pages.insert(key, LedgerPage { rows, is_whole, bytes, read_ms, used_ms });
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

    /// Asks, and answers from `stored`, which is the chain. Returns the number of rows that were
    /// kept.
    fn ask(
        pages: &mut LedgerPages,
        range: &KeyRange,
        page: &Page,
        stored: &[KeyedRow],
        now_ms: u64,
    ) -> (Vec<KeyedRow>, usize) {
        let key = PageKey::new(range, page);
        let (mut rows, is_whole) = pages.get(&key, now_ms).unwrap_or_default();
        let kept = rows.len();
        if is_whole {
            return (rows, kept);
        }
        let known = pages.known(&key);
        let is_in = |sk: &String| range.first <= *sk && *sk <= range.last;
        let mut found: Vec<_> = stored.iter().filter(|(sk, _)| is_in(sk)).cloned().collect();
        if page.backwards {
            found.reverse();
        }
        let after = rows.last().map(|(sk, _)| sk.clone()).or_else(|| page.after.clone());
        found.retain(|(sk, _)| after.as_ref().is_none_or(|after| sk > after));
        found.truncate(page.limit - kept);
        rows.extend(found);
        pages.insert(key, range, page, &rows, &known, now_ms);
        (rows, kept)
    }

    #[test]
    fn only_rows_that_never_change_are_kept() {
        let mut pages = LedgerPages::default();
        let (all, stored) = (range(0, u64::MAX), rows(0..10, 10));
        let first = stored[..8].to_vec();
        assert_eq!(ask(&mut pages, &all, &page(8), &stored, 0), (first.clone(), 0));
        assert_eq!(ask(&mut pages, &all, &page(8), &stored, 0), (first.clone(), 0), "known now");
        assert_eq!(ask(&mut pages, &all, &page(8), &stored, 1), (first.clone(), 8));
        // A narrower range that starts alike has a page of its own.
        assert_eq!(ask(&mut pages, &range(0, 2), &page(8), &stored, 1).1, 0);
        assert_eq!(ask(&mut pages, &range(0, 2), &page(8), &stored, 1), (first[..3].to_vec(), 3));
        // Of the chain's end, only new rows are read.
        let rest = Page { after: Some(stored[7].0.clone()), ..page(8) };
        assert_eq!(ask(&mut pages, &all, &rest, &stored, 2).1, 0);
        assert_eq!(ask(&mut pages, &all, &rest, &stored, 3).1, 0);
        assert_eq!(ask(&mut pages, &all, &rest, &stored, 4), (stored[8..].to_vec(), 2));
        let longer = rows(0..12, 10);
        assert_eq!(ask(&mut pages, &all, &rest, &longer, 5), (longer[8..].to_vec(), 2));
        assert_eq!(ask(&mut pages, &all, &rest, &longer, 6), (longer[8..].to_vec(), 2));
        assert_eq!(ask(&mut pages, &all, &rest, &longer, 7), (longer[8..].to_vec(), 4));
        // The last row before a time is final once a later one was seen.
        let last = Page { consistent: true, ..Page::last(1) };
        assert_eq!(ask(&mut pages, &range(0, 5), &last, &longer, 8).1, 0);
        assert_eq!(ask(&mut pages, &range(0, 5), &last, &[], 9), (longer[5..6].to_vec(), 1));
        for _ in 0..2 {
            assert_eq!(ask(&mut pages, &range(0, 50), &last, &longer, 8).1, 0);
        }
    }

    /// Parts are written before the row that names them, and sort after it. A page that was read in
    /// between must not stay.
    #[test]
    fn parts_of_a_chunk_without_its_main_row_are_not_kept() {
        let mut pages = LedgerPages::default();
        let all = range(0, u64::MAX);
        let part = |n: u64, part: u64| (format!("{n:013}#0badcafe#{part:05}"), Item::new());
        let mut stored = rows(0..2, 10);
        stored.extend((1..9).map(|n| part(2, n)));
        for now_ms in 0..3 {
            let (found, kept) = ask(&mut pages, &all, &page(8), &stored, now_ms);
            assert_eq!((found.len(), kept), (8, if now_ms < 2 { 0 } else { 2 }));
        }
        stored.insert(2, rows(2..3, 10).remove(0));
        let (found, _) = ask(&mut pages, &all, &page(8), &stored, 4);
        assert_eq!(found[2].0, "0000000000002", "the main row is there");
        ask(&mut pages, &all, &page(8), &stored, 5);
        assert_eq!(ask(&mut pages, &all, &page(8), &stored, 6), (stored[..8].to_vec(), 8));
    }

    #[test]
    fn reads_that_may_be_stale_are_not_kept() {
        let mut pages = LedgerPages::default();
        know_a_later_row(&mut pages);
        let (stored, stale) = (rows(0..8, 10), Page::first(8));
        for _ in 0..2 {
            assert_eq!(ask(&mut pages, &range(0, u64::MAX), &stale, &stored, 0).1, 0);
        }
    }

    /// Makes all rows of the tests final.
    fn know_a_later_row(pages: &mut LedgerPages) {
        let later = rows(9_999..10_000, 1);
        ask(pages, &range(9_999, u64::MAX), &page(8), &later, 0);
    }

    #[test]
    fn a_changed_series_drops_all_and_late_answers_are_not_kept() {
        let mut pages = LedgerPages::default();
        let named = |rewritten| {
            vec![("00001".to_string(), Item::from([("rewritten".to_string(), Attr::N(rewritten))]))]
        };
        pages.note_series(&named(1));
        know_a_later_row(&mut pages);
        let (all, full) = (range(0, u64::MAX), rows(0..8, 10));
        ask(&mut pages, &all, &page(8), &full, 0);
        pages.note_series(&named(1));
        assert_eq!(ask(&mut pages, &all, &page(8), &full, 0).1, 8);
        let key = PageKey::new(&all, &page(8));
        let before = pages.known(&key);
        pages.note_series(&named(2));
        assert_eq!((pages.pages.len(), pages.bytes), (0, 0));
        // The answer to a query that was sent before the change.
        pages.insert(key, &all, &page(8), &full, &before, 0);
        assert!(pages.pages.is_empty());
    }

    #[test]
    fn ledger_cache_bytes_max_and_ledger_cache_idle_ms_bound_it() {
        let mut pages = LedgerPages::default();
        know_a_later_row(&mut pages);
        let size = LEDGER_CACHE_BYTES_MAX / 16;
        let mut kept = 0;
        for n in 0..6 {
            let (of, stored) = (range(n * 8, u64::MAX), rows(n * 8..n * 8 + 8, size));
            ask(&mut pages, &of, &page(8), &stored, 0);
            kept += ask(&mut pages, &of, &page(8), &stored, 0).1;
        }
        assert_eq!(kept, 8, "each page is half of the room, and a bit");
        assert!(pages.bytes <= LEDGER_CACHE_BYTES_MAX);
        pages.sweep(LEDGER_CACHE_IDLE_MS);
        assert_eq!((pages.pages.len(), pages.bytes), (0, 0));
    }

    #[test]
    fn ledger_cache_ms_max_is_the_age_of_a_page() {
        let mut pages = LedgerPages::default();
        know_a_later_row(&mut pages);
        let (all, full) = (range(0, u64::MAX), rows(0..8, 10));
        ask(&mut pages, &all, &page(8), &full, 0);
        assert_eq!(ask(&mut pages, &all, &page(8), &full, LEDGER_CACHE_MS_MAX - 1).1, 8);
        assert_eq!(ask(&mut pages, &all, &page(8), &full, LEDGER_CACHE_MS_MAX).1, 0);
        assert_eq!(ask(&mut pages, &all, &page(8), &full, LEDGER_CACHE_MS_MAX + 1).1, 8);
    }
}
