//! The archive: the viewer's heartbeats are gone and all others are there, wherever the run ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount::forget::{ForgetError, ForgetRequest};
use housecount_archive::{ArchiveEncoder, ArchiveParams, KEYFRAME_MS};
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_core::event::{EventKind, EventRef};
use housecount_core::heartbeat;
use housecount_core::item::{Attr, Item, number};
use housecount_core::keys::{Key, Series};
use housecount_core::limits::{FORGET_HELD_BYTES_MAX, UNCOMMITTED_RETENTION_MS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::archive_read as read;
use housecount_engine::internals::chunks;
use housecount_test::timed_test;

use super::{ARCHIVE, ask, commit, copy, intervals, is_anywhere, items, request, watches};
use crate::ledger::stage::{BASE, HOUR_MS, LoggedEvent, MINUTE_MS, Stage};
use crate::support::cold::FaultyCold;

const TERMS: ArchiveParams =
    ArchiveParams { interval_ms: 30_000, slot_ms: 30_000, ttl_ms: 120_000 };
const DAY_MS: u64 = 24 * HOUR_MS;

/// Events of a few minutes with ann, neither from the beginning nor to the end. The day after has
/// events without her.
fn audience() -> Vec<LoggedEvent> {
    let at = |ms| BASE.plus(ms);
    let mut sent = watches("s/1", "ann", "Ann's telephone", at(90_000), 3 * MINUTE_MS);
    sent.extend(watches("s/2", "ann", "", at(2 * MINUTE_MS), MINUTE_MS));
    for n in 0..7u64 {
        let viewer = format!("viewer-{n}");
        sent.extend(watches("s/1", &viewer, "tab", at(n * 11_003), 5 * MINUTE_MS));
        sent.extend(watches("s/2", &viewer, "", at(DAY_MS + n * 3_001), 3 * MINUTE_MS));
    }
    sent
}

async fn committed(until: UnixMs) -> Stage {
    let stage = Stage::new(audience()).await;
    let mut node = stage.node().await;
    commit(&stage, &mut node, BASE, BASE.plus(HOUR_MS)).await;
    stage.hear(&mut node, until).await;
    node.commit(until).await.unwrap();
    stage
}

async fn put(cold: &FaultyCold, key: Key, item: Item) {
    cold.put(vec![KeyedItem { key, item }]).await.unwrap();
}

/// Packs the events that were logged before `until`, as a node would.
async fn pack(stage: &Stage, until: UnixMs) {
    let key = Key::Series { series: Series::Archive, partitions: 1 };
    put(&stage.cold, key, Item::new()).await;
    let mut writer = ArchiveEncoder::new(TERMS, BASE);
    let write = async |writer: &mut ArchiveEncoder, next: UnixMs| {
        let slot = writer.slot();
        if let Some(chunk) = writer.finish_slot(next) {
            chunks::write(&*stage.cold, ARCHIVE, slot, &chunk, Some(4_000_000_000)).await.unwrap();
        }
    };
    for event in stage.events.iter().filter(|event| event.logged < until) {
        if event.logged >= writer.slot().plus(TERMS.slot_ms) {
            write(&mut writer, event.logged).await;
        }
        writer.add(&event.event());
    }
    write(&mut writer, UnixMs::ZERO).await;
}

type Row = (u64, EventKind, String, String, String);

async fn rows(cold: &Arc<FaultyCold>) -> BTreeSet<Row> {
    let mut found = BTreeSet::new();
    let with = |event: &EventRef<'_>| {
        let (stage, viewer, session) =
            (event.ids.stage.into(), event.ids.viewer.into(), event.ids.session.into());
        found.insert((event.at.0, event.kind, stage, viewer, session));
        Ok(())
    };
    let range = Span::new(UnixMs::ZERO, UnixMs(u64::MAX / 9));
    let problems = read::packed(&**cold, ARCHIVE, range, 0, with, |_| ()).await.unwrap();
    assert_eq!(problems, [""; 0]);
    found
}

fn without_ann(rows: &BTreeSet<Row>) -> BTreeSet<Row> {
    rows.iter().filter(|row| row.3 != "ann").cloned().collect()
}

fn bytes(records: &[KeyedItem]) -> usize {
    let archived = records.iter().filter(|record| record.key.pk() == ARCHIVE.pk());
    let of = |record: &KeyedItem| match record.item.get("chunk") {
        Some(Attr::B(bytes)) => bytes.len(),
        _ => 0,
    };
    archived.map(of).sum()
}

#[timed_test]
async fn a_packed_archive_loses_one_viewer_only() {
    let stage = committed(BASE.plus(DAY_MS + HOUR_MS)).await;
    pack(&stage, UnixMs::MAX).await;
    let (stored, before, watched) =
        (items(&stage.cold).await, rows(&stage.cold).await, intervals(&stage.cold).await);
    assert!(is_anywhere(&stage.cold, "telephone").await, "the viewer is in the store before");
    let dry =
        ask(&stage.cold, &ForgetRequest { is_dry_run: true, ..request("ann") }).await.unwrap();
    assert_eq!(items(&stage.cold).await, stored);

    let forgotten = ask(&stage.cold, &request("ann")).await.unwrap();
    let ann = before.iter().filter(|row| row.3 == "ann").count() as u64;
    assert_eq!(
        (forgotten.heartbeats, dry.heartbeats, dry.archive_chunks),
        (ann, ann, forgotten.archive_chunks)
    );
    assert_eq!(rows(&stage.cold).await, without_ann(&before));
    assert!(!is_anywhere(&stage.cold, "ann").await && !is_anywhere(&stage.cold, "telephone").await);
    assert_eq!(intervals(&stage.cold).await.len(), watched.len());
    let now = items(&stage.cold).await;
    // There is one more keyframe at most, since the rest is joined again.
    let (now_bytes, stored_bytes) = (bytes(&now), bytes(&stored));
    assert!(4 * now_bytes < 5 * stored_bytes, "{now_bytes} of {stored_bytes} bytes");
    assert!(now.iter().filter(|of| of.key.pk() == ARCHIVE.pk()).all(|of| {
        number(&of.item, "ttl").is_ok() || matches!(of.key, Key::ItemArchiveCursor { .. })
    }));
    // The day after is in another generation, which holds nothing of hers.
    let tomorrow = |record: &&KeyedItem| {
        record.key.pk() == ARCHIVE.pk() && record.key.sk() > format!("{}", BASE.plus(DAY_MS / 2))
    };
    assert!(now.iter().filter(tomorrow).eq(stored.iter().filter(tomorrow)));
    assert!(ask(&stage.cold, &request("ann")).await.unwrap().is_nothing());
}

/// Holding all chunks at once or one after the other writes the same.
#[timed_test]
async fn forget_held_bytes_max() {
    let stage = committed(BASE.plus(DAY_MS + HOUR_MS)).await;
    pack(&stage, UnixMs::MAX).await;
    let stored = items(&stage.cold).await;
    let mut written = Vec::new();
    for held_bytes_max in [FORGET_HELD_BYTES_MAX, 300, 1] {
        let cold = copy(&stored).await;
        let before = cold.calls.load(Ordering::SeqCst);
        ask(&cold, &ForgetRequest { held_bytes_max, ..request("ann") }).await.unwrap();
        let calls = cold.calls.load(Ordering::SeqCst) - before;
        let archive: Vec<KeyedItem> = items(&cold)
            .await
            .into_iter()
            .filter(|record| record.key.pk() == ARCHIVE.pk())
            .collect();
        written.push((archive, calls));
    }
    assert!(written.iter().all(|(archive, _)| *archive == written[0].0));
    assert!(
        written[0].1 < written[1].1 && written[1].1 < written[2].1,
        "each part reads the archive once"
    );
}

#[timed_test]
async fn a_crash_anywhere_leaves_an_archive_and_the_next_run_ends_it() {
    let stage = committed(BASE.plus(DAY_MS + HOUR_MS)).await;
    pack(&stage, UnixMs::MAX).await;
    let (stored, before) = (items(&stage.cold).await, rows(&stage.cold).await);
    let (mut n, mut in_the_middle) = (0, 0);
    loop {
        let cold = copy(&stored).await;
        cold.fail(n, n % 2 == 0);
        let first = ask(&cold, &request("ann")).await;
        if !cold.has_failed.load(Ordering::SeqCst) {
            first.unwrap();
            break;
        }
        assert!(first.is_err(), "{n}");
        let half = rows(&cold).await;
        assert_eq!(without_ann(&half), without_ann(&before), "{n}");
        in_the_middle += u64::from(half.len() < before.len() && half != without_ann(&before));
        ask(&cold, &request("ann")).await.unwrap();
        assert_eq!(rows(&cold).await, without_ann(&before), "{n}");
        assert!(!is_anywhere(&cold, "ann").await, "{n}");
        n += 1;
    }
    assert!(in_the_middle >= 10, "{n} calls, {in_the_middle} of them in the middle");
}

/// A generation that a node may still continue is refused, and all items stay as they were.
#[timed_test]
async fn a_generation_that_goes_on_is_refused() {
    let (from, ends) = (BASE.aligned(30_000), BASE.aligned(KEYFRAME_MS).plus(KEYFRAME_MS));
    for (until, is_refused) in [
        (BASE.plus(4 * HOUR_MS), true),
        (ends.plus(UNCOMMITTED_RETENTION_MS_MAX), true),
        (ends.plus(UNCOMMITTED_RETENTION_MS_MAX + HOUR_MS), false),
    ] {
        let stage = committed(until).await;
        pack(&stage, BASE.plus(DAY_MS)).await;
        let stored = items(&stage.cold).await;
        match ask(&stage.cold, &request("ann")).await {
            Ok(_) => assert!(!is_refused && !is_anywhere(&stage.cold, "ann").await, "{until}"),
            Err(error) => {
                let text = error.to_string();
                let ForgetError::ArchiveStillOpen { from: begins, begins: next, .. } = error else {
                    panic!("{text}")
                };
                assert!(
                    is_refused
                        && (begins, next) == (from, ends)
                        && text.contains("Nothing was changed"),
                    "{text}"
                );
                assert_eq!(items(&stage.cold).await, stored);
            }
        }
    }
}

/// Heartbeats as items, as a node writes them. Entries for the days of their stages are included if
/// the heartbeats are to be found.
fn archived(sent: &[LoggedEvent], is_listed: bool) -> Vec<KeyedItem> {
    let beats = sent.iter().filter(|event| event.kind == EventKind::Beat);
    let pairs = beats.flat_map(|event| {
        let (beat, day) = (
            heartbeat::item(&event.event(), DAY_MS),
            heartbeat::day(&event.stage, event.at, DAY_MS),
        );
        [Some(beat), is_listed.then_some(day)]
    });
    pairs.flatten().map(|(key, item)| KeyedItem { key, item }).collect()
}

#[timed_test]
async fn heartbeats_that_are_items_are_deleted() {
    let stage = committed(BASE.plus(DAY_MS + HOUR_MS)).await;
    let mut records = archived(&stage.events, true);
    // Stages without any proven time, and ids that look like parts of keys.
    for viewer in ["ann", "ann#", "ann%23", "%"] {
        records.extend(archived(&watches("quiet", viewer, "#1", BASE, 1)[..1], true));
    }
    stage.cold.put(records).await.unwrap();
    let is_heartbeat = |record: &&KeyedItem| matches!(record.key, Key::Heartbeat { .. });
    let of = |who: &str, record: &KeyedItem| match &record.key {
        Key::Heartbeat { viewer, .. } => viewer == who,
        _ => false,
    };
    let stored = items(&stage.cold).await;
    let only = ForgetRequest { stage: Some("s/2".to_string()), is_dry_run: true, ..request("ann") };
    assert_eq!(ask(&stage.cold, &only).await.unwrap().items, 2);
    for who in ["ann", "ann#"] {
        let before = items(&stage.cold).await;
        let forgotten = ask(&stage.cold, &request(who)).await.unwrap();
        assert_eq!(forgotten.items, stored.iter().filter(|record| of(who, record)).count() as u64);
        assert_eq!(forgotten.problems, [""; 0]);
        let left = items(&stage.cold).await;
        let others = before.iter().filter(is_heartbeat).filter(|record| !of(who, record));
        assert!(left.iter().filter(is_heartbeat).eq(others));
    }
    assert!(!is_anywhere(&stage.cold, "telephone").await);
    assert!(ask(&stage.cold, &request("ann")).await.unwrap().is_nothing());
}

/// Heartbeats that this version didn't list may be on stages of unknown name. The report says so,
/// and all that is found is deleted.
#[timed_test]
async fn parts_that_were_not_searched_are_reported() {
    let stage = committed(BASE.plus(DAY_MS + HOUR_MS)).await;
    put(&stage.cold, Key::Series { series: Series::Archive, partitions: 1 }, Item::new()).await;
    put(
        &stage.cold,
        Key::ItemArchiveCursor { chain: ARCHIVE },
        Item::from([("at".to_string(), Attr::N(1))]),
    )
    .await;
    stage.cold.put(archived(&stage.events, false)).await.unwrap();
    let forgotten = ask(&stage.cold, &request("ann")).await.unwrap();
    assert!(forgotten.items > 0 && !is_anywhere(&stage.cold, "ann").await);
    assert_eq!(forgotten.problems.len(), 1);
    assert!(
        forgotten.problems[0].starts_with("not checked: stages that are neither listed"),
        "{forgotten:?}"
    );
    let again = ask(&stage.cold, &request("ann")).await.unwrap();
    assert!(
        again.is_nothing() && again.problems.len() == 1,
        "other viewers are still there: {again:?}"
    );
    let only = ForgetRequest { stage: Some("s/2".to_string()), ..request("ann") };
    assert_eq!(ask(&stage.cold, &only).await.unwrap().problems, [""; 0]);
}
