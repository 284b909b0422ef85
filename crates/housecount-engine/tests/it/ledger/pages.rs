//! Lists of watch times, page by page, from rows that are computed once and kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::cold::{CachedCold, Cold, KeyedItem, Purpose};
use housecount_core::event::EventKind;
use housecount_core::item::Attr;
use housecount_core::keys::{Key, Series};
use housecount_core::limits::{LEDGER_STEPS_MAX, SCANS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan;
use housecount_engine::internals::{AskedRange, Scans, StageList, Stores, WatchList};
use housecount_engine::internals::{LedgerRow, RowPage};
use housecount_ledger::totals::{StageTotal, StageTotals};
use housecount_ledger::watch::{StageViewer, WatchFilter, WatchTime};
use housecount_test::timed_test;

use crate::support::crowd::Rng;
use crate::support::stage::{BASE, LoggedEvent, MINUTE_MS, Stage, StageNode, TTL_MS, WINDOW_MS};

/// Events of a drawn audience: viewers come, fall silent and come back, on three stages.
fn audience(rng: &mut Rng, viewers: u64, windows: u64) -> Vec<LoggedEvent> {
    let mut sent = Vec::new();
    for viewer in 0..viewers {
        let mut ms = rng.below(windows * WINDOW_MS);
        for _ in 0..rng.below(60) {
            let at = BASE.aligned(WINDOW_MS).plus(ms);
            // Some events are late, and some are on another stage.
            let stage = if rng.below(6) == 0 { rng.below(3) } else { viewer % 3 };
            let late_ms = if rng.below(9) == 0 { rng.below(20 * MINUTE_MS) } else { 0 };
            sent.push(LoggedEvent {
                at,
                logged: at.plus(late_ms),
                kind: if rng.below(12) == 0 { EventKind::Leave } else { EventKind::Beat },
                stage: format!("stage-{stage}"),
                viewer: format!("viewer-{viewer:03}"),
                session: String::new(),
            });
            ms += 10_000 + rng.below(TTL_MS * 5 / 4);
        }
    }
    sent
}

/// A node that has committed some windows, and has read the events after them.
async fn drawn(rng: &mut Rng) -> (Stage, StageNode, u64) {
    let windows = 2 + rng.below(4);
    let (viewers, committed) = (rng.below(24), rng.below(windows + 1));
    let stage = Stage::new(audience(rng, viewers, windows)).await;
    let mut node = stage.node().await;
    let window = |n: u64| BASE.aligned(WINDOW_MS).plus(n * WINDOW_MS);
    for n in 1..=committed {
        let now = window(n).plus(TTL_MS + 1_000);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
    stage.hear(&mut node, window(windows + 1)).await;
    (stage, node, windows)
}

/// All rows, page by page.
async fn all<R: LedgerRow, K>(
    mut page: impl AsyncFnMut(Option<K>) -> RowPage<R>,
    key: impl Fn(&R) -> K,
    limit: usize,
) -> Vec<R> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let next = page(after).await;
        assert!(next.rows().len() <= limit && (next.rows().len() == limit || !next.more));
        after = next.rows().last().map(&key);
        rows.extend(next.rows().iter().cloned());
        if !next.more {
            return rows;
        }
    }
}

/// Pages from kept rows equal one scan over all rows, for drawn audiences and lists.
#[timed_test(flavor = "multi_thread")]
async fn pages_are_parts_of_a_scan() {
    let mut rng = Rng(24);
    let (mut rows, mut pages) = (0, 0);
    for _ in 0..60 {
        let (stage, node, windows) = drawn(&mut rng).await;
        let from = BASE.aligned(WINDOW_MS).plus(rng.below(windows * WINDOW_MS));
        let range = Span::new(from, from.plus(1 + rng.below(windows * WINDOW_MS)));
        let stores = Stores { cold: stage.cold(), proofs: node.proofs.clone() };
        let given = |rng: &mut Rng, at: UnixMs| (rng.below(2) == 0).then_some(at);
        let asked = AskedRange { from: given(&mut rng, range.from), to: given(&mut rng, range.to) };
        let limit = 1 + rng.below(5) as usize;
        let list = WatchList {
            range: asked,
            stage: (rng.below(2) == 0).then(|| format!("stage-{}", rng.below(3))),
            viewer: (rng.below(4) == 0).then(|| format!("viewer-{:03}", rng.below(4))),
            intervals: rng.below(2) == 0,
        };
        let scans = Scans::new();
        let page = async |after: Option<StageViewer>| {
            pages += 1;
            scans.watch(stores.clone(), list.clone(), range, after, limit).await.unwrap()
        };
        let paged: Vec<(StageViewer, WatchTime)> =
            all(page, |(who, _): &(StageViewer, WatchTime)| who.clone(), limit).await;
        let wanted = WatchFilter {
            stage: list.stage.clone(),
            viewer: list.viewer.clone(),
            intervals: list.intervals,
            ..WatchFilter::default()
        };
        let whole =
            scan::watch(&stores.cold, &stores.proofs, range, wanted, usize::MAX).await.unwrap();
        assert_eq!(paged, whole.rows, "{list:?}, {limit} rows per page of {range:?}");
        rows += paged.len();

        let step_ms = (rng.below(2) == 0).then(|| 1_000 + rng.below(10 * MINUTE_MS));
        let list = StageList { range: asked, step_ms };
        let page = async |after: Option<Box<str>>| {
            scans.stages(stores.clone(), list.clone(), range, after, limit).await.unwrap()
        };
        let paged = all(page, |(stage, _): &(Box<str>, StageTotal)| stage.clone(), limit).await;
        let totals = StageTotals::new(range, step_ms, None, usize::MAX);
        let whole = scan::stages(&stores.cold, &stores.proofs, range, totals).await.unwrap();
        assert_eq!(paged, whole.rows, "{list:?}, {limit} rows per page of {range:?}");
    }
    assert!(rows > 100 && pages > 60, "{rows} rows on {pages} pages");
}

/// Pages after the first read nothing again, neither from the cold tier nor from the fold.
#[timed_test(flavor = "multi_thread")]
async fn next_pages_cost_their_rows() {
    let mut rng = Rng(7);
    let sent = audience(&mut rng, 200, 3);
    let stage = Stage::new(sent).await;
    let mut node = stage.node().await;
    let now = BASE.aligned(WINDOW_MS).plus(2 * WINDOW_MS + TTL_MS + 1_000);
    stage.hear(&mut node, now).await;
    node.commit(now).await.unwrap();
    let stores = Stores { cold: stage.cold(), proofs: node.proofs.clone() };
    let range = Span::new(BASE.aligned(WINDOW_MS), now);
    let asked = AskedRange { from: Some(range.from), to: None };
    let list =
        WatchList { range: asked, stage: Some("stage-1".into()), viewer: None, intervals: false };
    let scans = Scans::new();
    let first = scans.watch(stores.clone(), list.clone(), range, None, 5).await.unwrap();
    assert!(first.more && scans.kept_bytes() > 0);
    let calls = stage.cold.calls.load(Ordering::SeqCst);
    // A viewer who comes now would be in rows that are made again.
    let late = |viewer: u64| LoggedEvent {
        viewer: format!("viewer-{viewer:03}x"),
        ..stage.events[0].clone()
    };
    for n in 0..200 {
        let first =
            LoggedEvent { stage: "stage-1".to_string(), at: range.to.minus(2_000), ..late(n) };
        let second = LoggedEvent { at: range.to.minus(1_000), ..first.clone() };
        node.hub.apply([first.event(), second.event()]);
    }
    let mut after = first.rows().last().map(|(who, _)| who.clone());
    let mut pages = 1;
    while let Some(cursor) = after {
        let later = Span::new(range.from, range.to.plus(1_000));
        let page = scans.watch(stores.clone(), list.clone(), later, Some(cursor), 5).await.unwrap();
        assert_eq!(
            (page.range, page.committed_to),
            (range, first.committed_to),
            "a list is of one moment"
        );
        assert!(
            page.rows().iter().all(|((_, viewer), _)| !viewer.ends_with('x')),
            "later pages have the rows of the first scan"
        );
        after = page.rows().last().filter(|_| page.more).map(|(who, _)| who.clone());
        pages += 1;
    }
    assert!((5..=16).contains(&pages), "{pages} pages");
    assert_eq!(stage.cold.calls.load(Ordering::SeqCst), calls);
    let again = scans.watch(stores, list, range, None, 5).await.unwrap();
    assert!(
        again.rows().iter().any(|((_, viewer), _)| viewer.ends_with('x')),
        "a first page is current"
    );
}

/// One step of reading is computed at a time. A scan whose caller has gone ends, and releases its
/// turn.
#[timed_test(flavor = "multi_thread")]
async fn ledger_steps_max() {
    let mut rng = Rng(3);
    let (stage, node, windows) = drawn(&mut rng).await;
    let range = Span::new(BASE.aligned(WINDOW_MS), BASE.plus(windows * WINDOW_MS));
    let turns: Vec<_> = {
        let mut turns = Vec::new();
        for _ in 0..LEDGER_STEPS_MAX {
            turns.push(housecount_backend::threads::blocking::ledger_turn().await);
        }
        turns
    };
    let scans = std::sync::Arc::new(Scans::new());
    let asked = AskedRange { from: None, to: None };
    let list = StageList { range: asked, step_ms: None };
    let stores = Stores { cold: stage.cold(), proofs: node.proofs.clone() };
    let read = {
        let (scans, list, stores) = (scans.clone(), list.clone(), stores.clone());
        async move {
            let page = scans.stages(stores, list, range, None, 10).await;
            page.map(|page| page.rows().len())
        }
    };
    let waits = tokio::spawn(read);
    crate::support::eventually("the scan begins", async || {
        scans.open.available_permits() == SCANS_MAX - 1
    })
    .await;
    waits.abort();
    assert!(waits.await.is_err_and(|error| error.is_cancelled()), "the reader waits for its turn");
    crate::support::eventually("the scan ends", async || {
        scans.open.available_permits() == SCANS_MAX
    })
    .await;
    drop(turns);
    scans.stages(stores, list, range, None, 10).await.unwrap();
}

/// Scans through kept pages equal plain ones while the ledger grows, and read each full page once.
#[timed_test(flavor = "multi_thread")]
async fn kept_pages_give_the_same_scans_for_fewer_reads() {
    let mut rng = Rng(7);
    let windows = 40;
    let stage = Stage::new(audience(&mut rng, 24, windows)).await;
    let mut node = stage.node().await;
    let kept = CachedCold::of_reads(stage.cold());
    let whole = Span::new(BASE.aligned(WINDOW_MS), UnixMs::MAX);
    let scan = async |cold: &Arc<dyn Cold>, node: &StageNode| {
        let found = scan::watch(cold, &node.proofs, whole, WatchFilter::default(), 1_000).await;
        found.unwrap().rows
    };
    let meter = stage.cold().meter();
    let units = || Purpose::ALL.map(|purpose| meter.units(purpose).read_halves).iter().sum::<u64>();
    let mut last_units = 0;
    for n in 1..=windows {
        let now = BASE.aligned(WINDOW_MS).plus(n * WINDOW_MS + TTL_MS + 1_000);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
        let before = units();
        let found = scan(&kept, &node).await;
        last_units = units() - before;
        assert_eq!(found, scan(&stage.cold(), &node).await, "after {n} windows");
    }
    // What a node reads that has kept nothing.
    let before = units();
    scan(&CachedCold::of_reads(stage.cold()), &node).await;
    let all_units = units() - before;
    assert!(last_units * 3 < all_units, "{last_units} of {all_units} read units");
    // A rewrite of chunks changes the item that names the series, and all is read again.
    let key = Key::Series { series: Series::Ledger, partitions: node.proofs.partitions() };
    let mut item = stage.cold().get(&key).await.unwrap().unwrap();
    item.insert("rewritten".to_string(), Attr::N(1));
    stage.cold().put(vec![KeyedItem { key, item }]).await.unwrap();
    let before = units();
    scan(&kept, &node).await;
    assert_eq!(units() - before, all_units);
}
