//! Tests of pages from kept rows against the list that they come from.

use proptest::prelude::*;

use super::*;

impl LedgerRow for (u32, u32) {
    type Key = u32;
    fn key(&self) -> &u32 {
        &self.0
    }
    fn bytes(&self) -> usize {
        ROW_BYTES
    }
}

const ROW_BYTES: usize = SCAN_KEPT_BYTES_MAX / 40;

fn set(
    after: Option<u32>,
    keys: impl IntoIterator<Item = u32>,
    more: bool,
    is_sealed: bool,
) -> RowSet<(u32, u32)> {
    let range = Span::new(UnixMs(0), UnixMs(1));
    let rows = keys.into_iter().map(|key| (key, 0)).collect();
    RowSet { range, after, rows, more, committed_to: UnixMs::ZERO, is_sealed }
}

/// Builds the rows of `list` after `after`, as a scan does.
fn scanned(
    list: &BTreeSet<u32>,
    after: Option<u32>,
    rows: usize,
    is_sealed: bool,
) -> RowSet<(u32, u32)> {
    let mut left = list.iter().copied().filter(|key| after.is_none_or(|after| *key > after));
    let keys: Vec<u32> = left.by_ref().take(rows).collect();
    set(after, keys, left.next().is_some(), is_sealed)
}

/// A client that reads page after page. Clients of this node and of others use the same cursors.
#[derive(Debug, Default)]
struct Client {
    cursor: Option<u32>,
    seen: Vec<u32>,
    /// Rows that existed when it began.
    expected: BTreeSet<u32>,
    /// A scan in progress, and what it has found.
    scan: Option<(ScanNumber, RowSet<(u32, u32)>)>,
    is_done: bool,
}

impl Client {
    fn take(&mut self, page: RowPage<(u32, u32)>) {
        self.seen.extend(page.rows().iter().map(|row| row.0));
        self.cursor = self.seen.last().copied();
        if !page.more {
            assert!(
                self.seen.is_sorted_by(|a, b| a < b),
                "a row was returned twice: {:?}",
                self.seen
            );
            let seen: BTreeSet<u32> = self.seen.iter().copied().collect();
            assert!(self.expected.is_subset(&seen), "rows are missing: {self:?}");
            *self = Client { is_done: true, ..Client::default() };
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A row is added to the list.
    Add(u32),
    /// A client asks for its next page, or takes the page that was being made for it.
    Ask(usize),
    /// Time passes.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..64u32).prop_map(Step::Add),
        6 => (0..3usize).prop_map(Step::Ask),
        1 => (0..SCAN_KEPT_MS_MAX).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Rows are added while clients read, and scans take time and overlap. No client misses a row
    /// that always existed, and no client gets a row twice.
    #[test]
    fn no_row_is_missed_or_returned_twice(
        steps in proptest::collection::vec(step(), 0..120), limit in 1..4usize, ahead in 1..6usize,
    ) {
        let cache = RowCache::default();
        let (mut list, mut now_ms) = (BTreeSet::new(), 0);
        let mut clients: [Client; 3] = Default::default();
        for step in steps {
            match step {
                Step::Add(key) => drop(list.insert(key)),
                Step::Wait(ms) => now_ms += ms,
                Step::Ask(n) => {
                    let client = &mut clients[n];
                    client.is_done = false;
                    if let Some((began, set)) = client.scan.take() {
                        client.take(cache.keep("query", began, set, limit, now_ms));
                        continue;
                    }
                    if client.cursor.is_none() {
                        client.expected = list.clone();
                    }
                    match cache.page(&"query", client.cursor.as_ref(), limit, now_ms) {
                        Some(page) => client.take(page),
                        None => {
                            let began = cache.begin("query", client.cursor.is_none(), now_ms);
                            client.scan = Some((began, scanned(&list, client.cursor, limit * ahead, false)));
                        }
                    }
                }
            }
        }
        prop_assert!(cache.bytes() <= SCAN_KEPT_BYTES_MAX);
    }

    /// Each page of a sealed range is the one that a scan makes, for any client and in any order.
    #[test]
    fn sealed_pages_are_those_of_a_scan(
        list in proptest::collection::btree_set(0..64u32, 0..30),
        asked in proptest::collection::vec((proptest::option::of(0..64u32), 1..5usize), 1..40),
    ) {
        let cache = RowCache::default();
        for (after, limit) in asked {
            let page = cache.page(&"query", after.as_ref(), limit, 0).unwrap_or_else(|| {
                let began = cache.begin("query", after.is_none(), 0);
                cache.keep("query", began, scanned(&list, after, 2 * limit, true), limit, 0)
            });
            let expected = scanned(&list, after, limit, true);
            prop_assert_eq!((page.rows(), page.more), (&*expected.rows, expected.more));
        }
    }
}

#[test]
fn scan_kept_bytes_max() {
    let cache = RowCache::default();
    for n in 0..3u32 {
        let began = cache.begin(n, true, 0);
        let page = cache.keep(n, began, set(None, 0..15, false, true), 10, 0);
        assert_eq!((page.rows().len(), page.more), (10, true));
    }
    assert!(cache.page(&0, None, 10, 0).is_none(), "the oldest set was evicted");
    for n in 1..3 {
        assert!(
            cache
                .page(&n, Some(&9), 10, 0)
                .is_some_and(|page| page.rows().len() == 5 && !page.more)
        );
    }
    let began = cache.begin(3, true, 0);
    assert_eq!(cache.keep(3, began, set(None, 0..41, false, true), 10, 0).rows().len(), 10);
    assert!(
        cache.page(&3, Some(&9), 10, 0).is_none(),
        "a set above the limit of all sets is not kept"
    );
    assert!(cache.page(&2, Some(&9), 10, 0).is_some() && cache.bytes() <= SCAN_KEPT_BYTES_MAX);
}

#[test]
fn scan_kept_ms_max() {
    let cache = RowCache::default();
    let began = cache.begin((), true, 1_000);
    cache.keep((), began, set(None, 0..3, false, true), 1, 1_000);
    assert!(cache.page(&(), Some(&0), 1, 999 + SCAN_KEPT_MS_MAX).is_some());
    assert!(
        cache.page(&(), Some(&0), 1, 1_000 + SCAN_KEPT_MS_MAX).is_none(),
        "a set's age counts from its request"
    );
    cache.expire(999 + SCAN_KEPT_MS_MAX);
    assert!(cache.len() > 0);
    cache.expire(1_000 + SCAN_KEPT_MS_MAX);
    assert!(cache.len() == 0);
}

#[test]
fn scan_kept_sets_max() {
    let cache = RowCache::default();
    let late = cache.begin(0, true, 0);
    for n in 1..=SCAN_KEPT_SETS_MAX {
        cache.begin(n, true, 0);
    }
    assert_eq!(cache.len(), SCAN_KEPT_SETS_MAX);
    // Its mark is gone, and the mark of a later request might be gone as well.
    cache.keep(0, late - 1, set(None, 0..3, false, false), 1, 0);
    assert!(cache.page(&0, Some(&0), 1, 0).is_none());
    assert_eq!(cache.len(), SCAN_KEPT_SETS_MAX);
}
