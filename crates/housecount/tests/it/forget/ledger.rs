//! The ledger: it holds another name, and the same time to the millisecond.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount::forget::{ForgetError, ForgetRequest};
use housecount_access::admission::pseudonyms::is_pseudonym;
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::ErrorKind;
use housecount_core::item::{Attr, Item};
use housecount_core::keys::Key;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::chunks;
use housecount_engine::internals::chunks::ChunkReader;
use housecount_reports::verify::{VerifyReport, verify};
use housecount_test::timed_test;

use super::{LEDGER, ask, commit, copy, intervals, is_anywhere, items, renamed, request, watches};
use crate::ledger::stage::{
    BASE, HOUR_MS, LATENESS_MS, LoggedEvent, MINUTE_MS, Stage, TTL_MS, WINDOW_MS,
};
use crate::support::cold::FaultyCold;

const KEPT_MS: u64 = LATENESS_MS + TTL_MS + WINDOW_MS;
/// Time of ann's last event.
const LAST: UnixMs = UnixMs(BASE.0 + 25 * HOUR_MS + 7 * MINUTE_MS);

/// Events of more than a day, and so over the keyframe at its end. Ann is on two stages, with two
/// tabs. She watches at the beginning and as that keyframe comes, and is half an hour late once.
/// The others watch all the time.
fn audience() -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    for n in 0..12u64 {
        for hour in 0..27 {
            let from = BASE.plus(hour * HOUR_MS + n * 97_001);
            let stage = if n % 3 == 0 { "s/2" } else { "s/1" };
            events.extend(watches(
                stage,
                &format!("viewer-{n}"),
                "",
                from,
                50 * MINUTE_MS + n * 1_003,
            ));
        }
    }
    let at = |ms: u64| BASE.plus(ms);
    events.extend(watches("s/1", "ann", "", at(7 * MINUTE_MS), 40 * MINUTE_MS));
    events.extend(watches("s/1", "ann", "tab", at(20 * MINUTE_MS), HOUR_MS));
    events.extend(watches("s/2", "ann", "", at(50 * MINUTE_MS), 22 * MINUTE_MS + 123));
    events.extend(watches(
        "s/1",
        "ann",
        "",
        at(23 * HOUR_MS + 30 * MINUTE_MS),
        LAST.since(BASE) - 23 * HOUR_MS - 30 * MINUTE_MS,
    ));
    let late = watches("s/2", "ann", "", at(3 * HOUR_MS), 10 * MINUTE_MS);
    events.extend(
        late.into_iter()
            .map(|event| LoggedEvent { logged: at(3 * HOUR_MS + 40 * MINUTE_MS), ..event }),
    );
    events
}

async fn committed(until: UnixMs) -> Stage {
    let stage = Stage::new(audience()).await;
    let mut node = stage.node().await;
    commit(&stage, &mut node, BASE, until).await;
    stage
}

/// Runs `verify` over all that is committed; asserts that it finds no fault.
async fn verified(cold: &Arc<FaultyCold>) -> VerifyReport {
    let cold: Arc<dyn Cold> = cold.clone();
    let to = housecount::export::committed_to(&cold).await.unwrap();
    let found = verify(&cold, Span::new(BASE.minus(HOUR_MS), to), None, |_| ()).await.unwrap();
    assert!(found.is_good() && found.notes.is_empty(), "{:?} {:?}", found.problems, found.notes);
    found
}

#[timed_test]
async fn a_viewer_goes_on_under_a_pseudonym_and_all_totals_stay() {
    let stage = committed(LAST.plus(2 * KEPT_MS + HOUR_MS)).await;
    let cold = &stage.cold;
    let (before, found) = (intervals(cold).await, verified(cold).await);
    assert_eq!(found.rewritten, 0);
    let stored = items(cold).await;
    assert!(is_anywhere(cold, "ann").await, "the viewer is in the store before");

    let dry = ask(cold, &ForgetRequest { is_dry_run: true, ..request("ann") }).await.unwrap();
    assert_eq!(items(cold).await, stored, "a dry run changes nothing");
    let forgotten = ask(cold, &request("ann")).await.unwrap();
    let pseudonym = forgotten.pseudonym.clone().unwrap();
    assert!(is_pseudonym(&pseudonym), "{pseudonym}");
    assert_eq!((dry.pseudonym, dry.chunks, dry.spans), (None, forgotten.chunks, forgotten.spans));
    let of_ann = before.iter().filter(|((_, viewer), _)| viewer == "ann");
    let spans: Vec<Span> = of_ann.flat_map(|(_, spans)| spans.clone()).collect();
    assert_eq!(forgotten.watch_ms, spans.iter().map(|span| span.ms()).sum::<u64>());
    assert_eq!(forgotten.spans, spans.len() as u64);
    assert!(forgotten.chunks >= 4 && forgotten.problems.is_empty(), "{forgotten:?}");

    assert!(!is_anywhere(cold, "ann").await);
    assert_eq!(intervals(cold).await, renamed(&before, "ann", None, &pseudonym));
    let again = verified(cold).await;
    assert_eq!(
        (&again.stages, again.chunks),
        (&found.stages, found.chunks),
        "viewers, watch time and integrals are unchanged"
    );
    assert_eq!(again.rewritten, forgotten.chunks);
    // The item that names the ledger says when its chunks were rewritten.
    let others = stored.len() as u64 - forgotten.chunks - 1;
    assert_eq!(
        items(cold).await.iter().filter(|item| stored.contains(item)).count() as u64,
        others
    );

    let nothing = ask(cold, &request("ann")).await.unwrap();
    assert!(nothing.is_nothing() && nothing.pseudonym.is_none(), "{nothing:?}");
    // A pseudonym can be forgotten in turn, since chunks keep the checksum of their first form.
    let twice = ask(cold, &request(&pseudonym)).await.unwrap();
    assert_eq!(intervals(cold).await, renamed(&before, "ann", None, &twice.pseudonym.unwrap()));
    // The number of bytes depends on the length of the names.
    assert_eq!(VerifyReport { bytes: again.bytes, ..verified(cold).await }, again);
}

/// Nodes that ran before, with their memory, and a node that starts only now.
#[timed_test]
async fn the_ledger_goes_on_from_rewritten_chunks() {
    for is_new in [false, true] {
        let stage = Stage::new(audience()).await;
        let mut node = stage.node().await;
        commit(&stage, &mut node, BASE, BASE.plus(9 * HOUR_MS)).await;
        let forgotten = ask(&stage.cold, &request("ann")).await.unwrap();
        let mut node = if is_new { stage.node().await } else { node };
        commit(&stage, &mut node, BASE.plus(9 * HOUR_MS), LAST.plus(2 * KEPT_MS + HOUR_MS)).await;
        verified(&stage.cold).await;
        let whole = committed(LAST.plus(2 * KEPT_MS + HOUR_MS)).await;
        let (mut expected, pseudonym) =
            (intervals(&whole.cold).await, forgotten.pseudonym.unwrap());
        // Earlier time is the pseudonym's, and later time is ann's.
        for on in ["s/1", "s/2"] {
            let all = expected.remove(&(on.to_string(), "ann".to_string())).unwrap();
            let (old, new): (Vec<Span>, Vec<Span>) =
                all.into_iter().partition(|span| span.from < BASE.plus(9 * HOUR_MS));
            expected.insert((on.to_string(), pseudonym.clone()), old);
            if !new.is_empty() {
                expected.insert((on.to_string(), "ann".to_string()), new);
            }
        }
        assert_eq!(intervals(&stage.cold).await, expected, "{is_new}");
    }
}

#[timed_test]
async fn a_viewer_seen_too_recently_is_refused_and_nothing_is_changed() {
    let safe = LAST.plus(2 * KEPT_MS);
    let stage = committed(LAST.plus(MINUTE_MS)).await;
    let mut node = stage.node().await;
    let mut was_refused = 0;
    // Ann is still there, then just gone, and then gone for long enough.
    let mut now = LAST.plus(MINUTE_MS);
    loop {
        let stored = items(&stage.cold).await;
        let asked = ask(&stage.cold, &request("ann")).await;
        let cold: Arc<dyn Cold> = stage.cold();
        let to = housecount::export::committed_to(&cold).await.unwrap();
        match asked {
            Err(error) => {
                assert!(to <= safe, "{to}");
                let text = error.to_string();
                let ForgetError::TooRecent { last, ends, after } = error else { panic!("{text}") };
                assert!(ends == to && last <= LAST && after == last.plus(2 * KEPT_MS), "{text}");
                assert!(
                    text.contains(
                        "Nothing was changed. Try again when the ledger ends after 2026-"
                    ),
                    "{text}"
                );
                assert_eq!(items(&stage.cold).await, stored);
                was_refused += 1;
            }
            Ok(_) => {
                assert!(to > safe && was_refused > 10, "{to}");
                break;
            }
        }
        commit(&stage, &mut node, now, now.plus(WINDOW_MS + TTL_MS + 1_000)).await;
        now = now.plus(WINDOW_MS);
    }
    assert!(!is_anywhere(&stage.cold, "ann").await);
    // The refusal was about one stage; on the other stage ann was hours ago.
    let stage = committed(LAST.plus(MINUTE_MS)).await;
    let before = intervals(&stage.cold).await;
    let request = ForgetRequest { stage: Some("s/2".to_string()), ..request("ann") };
    let pseudonym = ask(&stage.cold, &request).await.unwrap().pseudonym.unwrap();
    assert_eq!(intervals(&stage.cold).await, renamed(&before, "ann", Some("s/2"), &pseudonym));
    verified(&stage.cold).await;
}

/// The run ends after any call, whether or not the call took effect. The ledger stays readable, and
/// the next run does what is left.
#[timed_test]
async fn a_crash_anywhere_leaves_a_ledger_and_the_next_run_ends_it() {
    let stage = committed(LAST.plus(2 * KEPT_MS + HOUR_MS)).await;
    let (before, stored) = (intervals(&stage.cold).await, items(&stage.cold).await);
    let total = |of: &std::collections::BTreeMap<(String, String), Vec<Span>>| -> u64 {
        of.values().flatten().map(|span| span.ms()).sum()
    };
    let reference = copy(&stored).await;
    let calls = reference.calls.load(Ordering::SeqCst);
    ask(&reference, &ForgetRequest { is_dry_run: true, ..request("ann") }).await.unwrap();
    let reading = (reference.calls.load(Ordering::SeqCst) - calls) as i64;
    let (mut n, mut in_the_middle) = (reading - 1, 0);
    loop {
        let cold = copy(&stored).await;
        cold.fail(n, n % 2 == 0);
        let first = ask(&cold, &request("ann")).await;
        if !cold.has_failed.load(Ordering::SeqCst) {
            first.unwrap();
            break;
        }
        assert!(matches!(first, Err(ForgetError::Store(error)) if error.is_temporary()), "{n}");
        let half = intervals(&cold).await;
        assert_eq!(total(&half), total(&before), "{n}");
        in_the_middle += u64::from(half.len() > before.len());
        verified(&cold).await;
        let second = ask(&cold, &request("ann")).await.unwrap();
        assert!(second.problems.is_empty() && !is_anywhere(&cold, "ann").await, "{n}: {second:?}");
        let after = intervals(&cold).await;
        assert_eq!(total(&after), total(&before), "{n}");
        assert_eq!(
            after.iter().filter(|((_, viewer), _)| !is_pseudonym(viewer)).collect::<Vec<_>>(),
            before.iter().filter(|((_, viewer), _)| viewer != "ann").collect::<Vec<_>>()
        );
        n += 1;
    }
    assert!(in_the_middle > 0 && n - reading >= 8, "{n} calls, {reading} of them reads");
}

/// An unreadable chunk may name the viewer. The report names it, and all other chunks are
/// rewritten.
#[timed_test]
async fn damage_is_reported_and_the_rest_is_done() {
    let stage = committed(LAST.plus(2 * KEPT_MS + HOUR_MS)).await;
    let mut records = items(&stage.cold).await;
    let damaged =
        records.iter().position(|record| record.key.sk() > format!("{}", BASE.plus(5 * HOUR_MS)));
    let Some(Attr::B(bytes)) = records[damaged.unwrap()].item.get_mut("chunk") else {
        panic!("the chunk has no bytes")
    };
    bytes[20] ^= 4;
    let sk = records[damaged.unwrap()].key.sk();
    let cold = copy(&records).await;
    let forgotten = ask(&cold, &request("ann")).await.unwrap();
    assert!(
        forgotten.problems.len() == 1 && forgotten.problems[0].contains(&sk),
        "{:?}",
        forgotten.problems
    );
    let pseudonym = forgotten.pseudonym.unwrap();
    let mut reader = ChunkReader::at(LEDGER, UnixMs::ZERO, UnixMs::MAX);
    let mut named = 0;
    while let Some(stored) = reader.next(&*cold).await.unwrap() {
        let Ok((chunk, _)) = housecount_engine::internals::chain::decode(&stored, LEDGER) else {
            continue;
        };
        let text = format!("{chunk:?}");
        assert!(!text.contains("\"ann\""), "{text}");
        named += u64::from(text.contains(&pseudonym));
    }
    assert_eq!(named, forgotten.chunks);
}

/// The frozen form of a rewritten chunk (docs/FORMATS.md).
#[timed_test]
async fn rewritten_chunks_are_frozen() {
    let stage = committed(BASE.plus(9 * HOUR_MS)).await;
    let stored = items(&stage.cold).await;
    ask(&stage.cold, &request("ann")).await.unwrap();
    let mut changed = 0;
    for (old, new) in stored.iter().zip(items(&stage.cold).await) {
        if *old == new {
            continue;
        }
        if old.key.sk().len() == "00001".len() {
            assert!(matches!(new.item["rewritten"], Attr::N(at) if at > 0), "{new:?}");
            assert_eq!(old.item["from"], new.item["from"]);
            continue;
        }
        changed += 1;
        let crc = |item: &Item| match &item["chunk"] {
            Attr::B(bytes) => u64::from(u32::from_le_bytes(*bytes.last_chunk().unwrap())),
            other => panic!("{other:?}"),
        };
        assert_eq!(new.item.keys().collect::<Vec<_>>(), ["chunk", "named"]);
        assert_eq!(new.item["named"], Attr::N(crc(&old.item)), "the item keeps its first checksum");
        assert_ne!(crc(&new.item), crc(&old.item));
    }
    assert!(changed > 0);
}

/// A chunk of many parts is never there in part. The new parts come first, and the caller deletes
/// the old ones.
#[timed_test]
async fn a_chunk_of_many_items_is_rewritten_whole() {
    let cold = Arc::new(FaultyCold::new().await);
    let bytes = |seed: u8, len: usize| -> Vec<u8> {
        (0..len).map(|n| (n as u8).wrapping_mul(seed)).collect()
    };
    let (window, old, new) = (UnixMs(1_790_000_100_000), bytes(7, 900_001), bytes(11, 1_200_003));
    chunks::write(&*cold, LEDGER, window, &old, Some(1_800_000_000)).await.unwrap();
    let read =
        async || ChunkReader::at(LEDGER, window, window).next(&*cold).await.unwrap().unwrap();
    let stored = read().await;
    cold.fail(1, false);
    assert!(
        chunks::rewrite(&*cold, LEDGER, &stored, &new, Some(9)).await.is_err(),
        "the parts are written, but not their head"
    );
    let half = read().await;
    assert_eq!((half.bytes, half.original_crc, half.orphans.len()), (old.clone(), None, 3));
    let stale = chunks::rewrite(&*cold, LEDGER, &stored, &new, Some(9)).await.unwrap();
    let whole = read().await;
    assert_eq!(
        (&whole.bytes, whole.original_crc, whole.expiry_s),
        (&new, Some(9), Some(1_800_000_000))
    );
    assert_eq!(whole.orphans.len(), 2);
    assert!(cold.get(&stale[0]).await.unwrap().is_some() && stale.len() == 2);
    cold.delete(stale).await.unwrap();
    assert_eq!((read().await.bytes, read().await.orphans), (new.clone(), Vec::<String>::new()));
    // A caller that read the chunk earlier can't overwrite what another caller has written.
    let error = chunks::rewrite(&*cold, LEDGER, &stored, &old, None).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Unavailable
            && error.to_string().contains("another process rewrote"),
        "{error}"
    );
    assert_eq!(read().await.bytes, new);
}

/// A part that belongs to no chunk may name any viewer. It is deleted once no writer can be about
/// to name it.
#[timed_test]
async fn what_belongs_to_no_chunk_goes() {
    let stage = committed(LAST.plus(2 * KEPT_MS + HOUR_MS)).await;
    let stray = |window| Key::ChunkPart { chain: LEDGER, window, crc: 7, part: 1 };
    let (old, young) =
        (stray(BASE.aligned(WINDOW_MS)), stray(LAST.plus(2 * KEPT_MS).aligned(WINDOW_MS)));
    let item = Item::from([("chunk".to_string(), Attr::B(b"ann".to_vec()))]);
    let put = [&old, &young].map(|key| KeyedItem { key: key.clone(), item: item.clone() });
    stage.cold.put(put.to_vec()).await.unwrap();
    let forgotten = ask(&stage.cold, &request("ann")).await.unwrap();
    assert_eq!(forgotten.strays, 1);
    assert_eq!(stage.cold.get(&old).await.unwrap(), None);
    assert_eq!(stage.cold.get(&young).await.unwrap(), Some(item));
}
