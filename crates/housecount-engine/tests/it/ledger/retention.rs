//! `ledger_retention`: chunks of a generation expire together, and later ones can be read without
//! them.

use std::sync::Arc;

use housecount_backend::clock::wall_clock;
use housecount_backend::cold::{Cold, Page};
use housecount_core::event::EventKind;
use housecount_core::keys::{Chain, KeyRange, Series};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::Settings;
use housecount_engine::internals::chain::decode;
use housecount_engine::internals::chunks::ChunkReader;
use housecount_ledger::GENERATION_MS_MAX;
use housecount_reports::verify::verify;
use housecount_test::timed_test;

use crate::support::stage::{HOUR_MS, LoggedEvent, Stage, TTL_MS, WINDOW_MS, oracle};

const CHAIN: Chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };
const DAY_MS: u64 = 24 * HOUR_MS;

fn watches(viewer: &str, from: UnixMs, for_ms: u64) -> impl Iterator<Item = LoggedEvent> {
    let beat = move |ms| LoggedEvent {
        at: from.plus(ms),
        logged: from.plus(ms),
        kind: EventKind::Beat,
        stage: "s".to_string(),
        viewer: viewer.to_string(),
        session: String::new(),
    };
    (0..for_ms).step_by(30_000).map(beat)
}

/// All items of the ledger, with their expiry.
async fn expiries(cold: &Arc<dyn Cold>) -> Vec<(String, Option<u64>)> {
    let rows =
        cold.query(&KeyRange::chunks(CHAIN, UnixMs::ZERO, UnixMs::MAX), &Page::first(10_000)).await;
    let ttl = |item: &housecount_core::item::Item| housecount_core::item::number(item, "ttl").ok();
    rows.unwrap().into_iter().map(|(sk, item)| (sk, ttl(&item))).collect()
}

#[timed_test]
async fn a_generation_expires_at_once_and_the_rest_is_read_without_it() {
    // Twenty hours fifty days ago, over the border of two generations; and one hour yesterday.
    let long_ago = wall_clock().aligned(WINDOW_MS).minus(50 * DAY_MS);
    let yesterday = long_ago.plus(49 * DAY_MS);
    let late = watches("new", yesterday, HOUR_MS);
    let events: Vec<LoggedEvent> = watches("old", long_ago, 20 * HOUR_MS).chain(late).collect();
    let recent: Vec<LoggedEvent> =
        events.iter().filter(|event| event.viewer == "new").cloned().collect();
    let stage = Stage::new(events).await;
    let settings = Settings { ledger_retention_ms: Some(30 * DAY_MS), ..Settings::default() };
    let mut node = stage.node_with(&settings).await;
    for now in [21 * HOUR_MS, 49 * DAY_MS, 49 * DAY_MS + 2 * HOUR_MS] {
        let now = long_ago.plus(now);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
    let cold = stage.cold();
    let whole = Span::new(long_ago, yesterday.plus(HOUR_MS));

    // All chunks of a generation expire at one moment, a retention after the generation's latest
    // end.
    let mut reader = ChunkReader::at(CHAIN, UnixMs::ZERO, UnixMs::MAX);
    let (mut generations, mut chunks) = (std::collections::BTreeSet::new(), 0);
    let all = expiries(&cold).await;
    while let Some(stored) = reader.next(&*cold).await.unwrap() {
        let (chunk, _) = decode(&stored, CHAIN).unwrap();
        assert!(
            chunk.window.to <= chunk.since.plus(GENERATION_MS_MAX),
            "no chunk outlives its keyframe"
        );
        let expected = chunk.since.plus(GENERATION_MS_MAX + 30 * DAY_MS).0.div_ceil(1_000);
        let (_, ttl) =
            all.iter().find(|(sk, _)| sk.starts_with(&format!("{:013}", stored.window.0))).unwrap();
        assert_eq!(*ttl, Some(expected));
        generations.insert(chunk.since);
        chunks += 1;
    }
    assert!(
        generations.len() > 5 && chunks > 250,
        "{} generations, {chunks} chunks",
        generations.len()
    );

    // Readers see the unexpired part: before anything is deleted, with some of it deleted, and
    // after.
    let expired = all.iter().filter(|(_, ttl)| ttl.unwrap() * 1_000 <= wall_clock().0).count();
    assert!(expired > 250 && expired < all.len(), "{expired} of {} items have expired", all.len());
    for round in 0..3 {
        assert_eq!(stage.totals(whole).await, oracle(&recent), "{round}");
        let found = verify(&cold, whole, None, |_| ()).await.unwrap();
        assert!(found.problems.is_empty(), "{round}: {:?}", found.problems);
        if round == 0 {
            assert!(cold.sweep(wall_clock()).await.unwrap());
        } else {
            while cold.sweep(wall_clock()).await.unwrap() {}
        }
    }
    assert_eq!(expiries(&cold).await.len(), all.len() - expired);

    // A writer continues, too.
    let now = yesterday.plus(2 * HOUR_MS + 3 * WINDOW_MS + TTL_MS);
    let mut other = stage.node_with(&settings).await;
    stage.hear(&mut other, now).await;
    other.commit(now).await.unwrap();
    assert_eq!(stage.totals(Span::new(long_ago, now)).await, oracle(&recent));
}
