//! A damaged ledger: what `verify` finds, and what readers do.

use std::sync::Arc;

use housecount_backend::cold::{Cold, KeyedItem, Page};
use housecount_backend::error::ErrorKind;
use housecount_core::fold::Count;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::{Chain, Key, KeyRange, Series};
use housecount_core::snapshot::Snapshot;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{chain, scan};
use housecount_ledger::watch::WatchFilter;
use housecount_reports::verify::{VerifyReport, verify};
use housecount_test::timed_test;

use crate::support::stage::{HOUR_MS, MINUTE_MS, Stage, TTL_MS, an_hour, range, window};

const CHAIN: Chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };

/// Time up to which the ledger is committed.
async fn committed_to(cold: &Arc<dyn Cold>) -> UnixMs {
    let end = chain::end(&**cold, CHAIN).await.unwrap();
    scan::committed_to(&[(CHAIN, end)])
}

async fn found(stage: &Stage) -> VerifyReport {
    verify(&stage.cold(), range(), None, |_| ()).await.unwrap()
}

/// Result of a reader of watch times.
async fn read(stage: &Stage) -> Result<u64, ErrorKind> {
    let page =
        scan::committed_watch(&stage.cold(), range(), WatchFilter::default(), 1_000, &mut |_| ())
            .await;
    page.map(|page| page.rows.iter().map(|(_, row)| row.watch_ms).sum()).map_err(|e| e.kind())
}

async fn items(cold: &Arc<dyn Cold>, n: u64) -> Vec<(String, Item)> {
    cold.query(&KeyRange::chunks(CHAIN, window(n), window(n)), &Page::first(100)).await.unwrap()
}

/// Damages a window's chunk.
async fn flip_a_bit(cold: &Arc<dyn Cold>, n: u64) {
    let (_, mut item) = items(cold, n).await.remove(0);
    let Some(Attr::B(bytes)) = item.get_mut("chunk") else { panic!("the chunk has no bytes") };
    bytes[20] ^= 4;
    cold.put(vec![KeyedItem { key: key(n), item }]).await.unwrap();
}

fn key(n: u64) -> Key {
    Key::Chunk { chain: CHAIN, window: window(n) }
}

fn names(found: &VerifyReport, n: u64) -> bool {
    let sk = format!("LEDGER#1#0 / {}", window(n));
    found.problems.iter().any(|problem| problem.contains(&sk))
}

#[timed_test]
async fn an_undamaged_ledger_agrees() {
    let stage = an_hour(30).await;
    let found = found(&stage).await;
    assert!(found.is_good() && found.notes.is_empty(), "{found:?}");
    assert_eq!((found.chunks, found.stages.len()), (12, 3));
    let sum: u64 = found.stages.values().map(|stage| stage.watch_ms).sum();
    assert!(sum > 30 * 55 * MINUTE_MS);
    assert_eq!(read(&stage).await, Ok(sum));
}

#[timed_test]
async fn a_flipped_byte_is_found_and_never_a_wrong_number() {
    let stage = an_hour(30).await;
    let cold = stage.cold();
    flip_a_bit(&cold, 4).await;
    let found = found(&stage).await;
    assert!(!found.is_good() && names(&found, 4), "{:?}", found.problems);
    assert!(
        found.problems.iter().any(|problem| problem.contains("checksum")),
        "{:?}",
        found.problems
    );
    assert_eq!(read(&stage).await, Err(ErrorKind::Corrupt));
}

#[timed_test]
async fn a_removed_window_is_found() {
    for n in [3, 11] {
        let stage = an_hour(30).await;
        stage.cold().delete(vec![key(n)]).await.unwrap();
        let found = found(&stage).await;
        assert!(!found.is_good(), "window {n}");
        if n == 11 {
            // No later chunk could miss it, but the ledger now ends before the range does.
            assert!(found.problems[0].contains("ends at"), "{:?}", found.problems);
        } else {
            assert!(
                names(&found, n + 1) && found.problems[0].contains("one is missing"),
                "{:?}",
                found.problems
            );
            assert_eq!(read(&stage).await, Err(ErrorKind::Corrupt));
        }
    }
}

#[timed_test]
async fn a_doubled_window_is_harmless_and_reported() {
    let stage = an_hour(30).await;
    let cold = stage.cold();
    let before = read(&stage).await;
    let (_, item) = items(&cold, 4).await.remove(0);
    let copy = Key::ChunkPart { chain: CHAIN, window: window(4), crc: 7, part: 1 };
    cold.put(vec![KeyedItem { key: copy, item: item.clone() }]).await.unwrap();
    let doubled = found(&stage).await;
    assert!(doubled.is_good(), "{:?}", doubled.problems);
    assert!(doubled.notes[0].contains("harmless"), "{:?}", doubled.notes);
    assert_eq!(read(&stage).await, before);
    // Under the key of another window the chunk is not harmless.
    cold.put(vec![KeyedItem { key: key(6), item }]).await.unwrap();
    let replaced = found(&stage).await;
    assert!(!replaced.is_good() && names(&replaced, 6), "{:?}", replaced.problems);
}

/// An hour of 30,000 viewers, whose chunks are several items each.
#[timed_test]
async fn a_missing_part_is_found() {
    let stage = an_hour(30_000).await;
    let cold = stage.cold();
    let parts = items(&cold, 0).await;
    assert!(parts.len() > 1, "{} parts", parts.len());
    let whole = found(&stage).await;
    assert!(whole.is_good(), "{:?}", whole.problems);
    let sum = read(&stage).await.unwrap();
    assert!(sum > 1_000 * 55 * MINUTE_MS);

    let (sk, item) = parts[1].clone();
    let crc = u32::from_str_radix(sk.split('#').nth(1).unwrap(), 16).unwrap();
    let part = Key::ChunkPart { chain: CHAIN, window: window(0), crc, part: 1 };
    cold.delete(vec![part.clone()]).await.unwrap();
    let missing = found(&stage).await;
    assert!(
        !missing.is_good() && missing.problems[0].contains("is missing"),
        "{:?}",
        missing.problems
    );
    assert_eq!(read(&stage).await, Err(ErrorKind::Corrupt));

    // A slower writer has left its own parts beside. Readers don't confuse them with these.
    cold.put(vec![KeyedItem { key: part, item: item.clone() }]).await.unwrap();
    let other = Key::ChunkPart { chain: CHAIN, window: window(0), crc: crc ^ 1, part: 1 };
    cold.put(vec![KeyedItem { key: other, item }]).await.unwrap();
    let strays = found(&stage).await;
    assert!(
        strays.is_good() && strays.notes.len() == 1,
        "{:?} {:?}",
        strays.problems,
        strays.notes
    );
    assert_eq!(read(&stage).await, Ok(sum));
}

#[timed_test]
async fn a_snapshot_that_is_too_low_is_found() {
    let stage = an_hour(30).await;
    let at = window(5).plus(1_234);
    let snapshot = |viewers| Snapshot {
        stage: "stage-1".to_string(),
        at,
        count: Count { viewers, sessions: viewers },
        peak: viewers,
        recovering: false,
    };
    let key = Key::Snapshot { stage: "stage-1".to_string(), at };
    for (viewers, is_good, low) in [(10, true, 0), (12, true, 0), (9, true, 1), (4, false, 1)] {
        let item = snapshot(viewers).to_item(HOUR_MS);
        stage.cold().put(vec![KeyedItem { key: key.clone(), item }]).await.unwrap();
        let found = found(&stage).await;
        assert_eq!(found.is_good(), is_good, "{viewers}: {:?}", found.problems);
        assert_eq!(
            (found.stages["stage-1"].snapshots, found.stages["stage-1"].low_snapshots),
            (1, low)
        );
    }
}

/// The number of partitions has changed, and readers read both ledgers.
#[timed_test]
async fn two_ledgers_are_one_history() {
    let stage = an_hour(30).await;
    let cold = stage.cold();
    let sum = read(&stage).await.unwrap();
    cold.put(vec![KeyedItem {
        key: Key::Series { series: Series::Ledger, partitions: 2 },
        item: Item::new(),
    }])
    .await
    .unwrap();
    assert_eq!(read(&stage).await, Ok(sum));
    assert!(found(&stage).await.is_good());
}

/// A writer died between a chunk's parts and the item that names them.
#[timed_test]
async fn parts_without_their_chunk_are_passed_over() {
    let stage = an_hour(30).await;
    let cold = stage.cold();
    let sum = read(&stage).await;
    let stray = Key::ChunkPart { chain: CHAIN, window: window(12), crc: 7, part: 1 };
    let item = Item::from([("chunk".to_string(), Attr::B(vec![1, 2, 3]))]);
    cold.put(vec![KeyedItem { key: stray, item }]).await.unwrap();
    assert_eq!(committed_to(&cold).await, window(12));
    assert_eq!(read(&stage).await, sum);
    assert!(found(&stage).await.is_good());
    // A node that starts now continues with that very window.
    let mut node = stage.node().await;
    let now = window(13).plus(TTL_MS + 1_000);
    stage.hear(&mut node, now).await;
    node.commit(now).await.unwrap();
    assert_eq!(committed_to(&cold).await, window(13));
}

/// A chunk that can't be read stays an error for its readers. Later chunks are written all the
/// same.
#[timed_test]
async fn after_a_chunk_that_cant_be_read_the_ledger_goes_on() {
    let stage = an_hour(30).await;
    let cold = stage.cold();
    flip_a_bit(&cold, 4).await;
    for n in 13..=14 {
        // A new node each time, which has to read the chain first.
        let mut node = stage.node().await;
        let now = window(n).plus(TTL_MS + 1_000);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
    let after = Span::new(window(12), window(14));
    let page = scan::committed_watch(&cold, after, WatchFilter::default(), 1_000, &mut |_| ())
        .await
        .unwrap();
    assert_eq!((page.rows.len(), page.committed_to), (30, window(14)));
    assert!(page.rows.iter().all(|(_, row)| row.watch_ms <= after.ms()));
    assert!(verify(&cold, after, None, |_| ()).await.unwrap().is_good());
    assert_eq!(read(&stage).await, Err(ErrorKind::Corrupt));
    let found = found(&stage).await;
    assert!(
        names(&found, 4) && found.problems.iter().all(|problem| !problem.contains("ends at")),
        "{:?}",
        found.problems
    );
}

/// Chunks before a keyframe were removed. The keyframe shows that there were some.
#[timed_test]
async fn a_removed_beginning_is_found() {
    let stage = an_hour(30).await;
    let cold = stage.cold();
    flip_a_bit(&cold, 4).await;
    let mut node = stage.node().await;
    let now = window(13).plus(TTL_MS + 1_000);
    stage.hear(&mut node, now).await;
    node.commit(now).await.unwrap();
    cold.delete((0..12).map(key).collect()).await.unwrap();
    let found = verify(&cold, Span::new(window(12), window(13)), None, |_| ()).await.unwrap();
    assert!(
        names(&found, 12) && found.problems[0].contains("the chunks before it are missing"),
        "{:?}",
        found.problems
    );
}
