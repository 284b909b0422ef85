//! Deletes expired snapshots and archives where the store doesn't do it by itself: the embedded one.
//!
//! Rosters are ordered by time and name every stage they counted, and chunks are ordered by time themselves; so what has expired is
//! found without a scan. Heartbeats as items are found by the days of their stages.

use housecount_core::archive::KEYFRAME_MS;
use housecount_core::item::bytes;
use housecount_core::keys::{Chain, Key, KeyRange};
use housecount_core::roster::Roster;
use housecount_core::snapshot::is_expired;
use housecount_core::time::{DAY_MS, UnixMs};

use super::Progress;
use super::restore::roster_key;
use crate::cold::{Cold, Page};
use crate::error::StoreResult;

/// Rosters that one step deletes, with the snapshots they name.
const ROSTERS_PER_STEP: usize = 4;

/// Deletes some of what was taken before `before`.
///
/// # Errors
/// The cold tier's. What is left comes again.
pub async fn step(cold: &dyn Cold, before: UnixMs) -> StoreResult<Progress> {
    let rows = cold.query(&KeyRange::rosters(before), &Page::first(ROSTERS_PER_STEP)).await?;
    let mut deleted = 0;
    for (sk, item) in rows {
        // What isn't ours stays, and must not be read again and again.
        let Some(at) = roster_key(&sk) else { continue };
        let mut roster = Roster::default();
        // A damaged roster names nobody; its snapshots are filtered by readers for ever, which is harmless.
        if let Ok(part) = bytes(&item, "roster") {
            let _ = roster.add_part(part);
        }
        let snapshots = roster.stages.into_iter().map(|view| Key::Snapshot { stage: view.stage, at });
        cold.delete(snapshots.collect()).await?;
        let part = sk.split_once('#').and_then(|(_, part)| part.parse().ok()).unwrap_or(0);
        cold.delete(vec![Key::Roster { at, part }]).await?;
        deleted += 1;
    }
    Ok(if deleted == ROSTERS_PER_STEP { Progress::More } else { Progress::Done })
}

/// Items of a ledger that one step deletes: they are read for it.
const EXPIRED_PER_STEP: usize = 16;
/// Rows that one step deletes of an archive.
const ROWS_PER_STEP: usize = 100;

/// Deletes some of what a chain's archive has of before `before`: only what nothing later needs to be read.
///
/// # Errors
/// The cold tier's. What is left comes again.
pub async fn chunks(cold: &dyn Cold, chain: Chain, before: UnixMs) -> StoreResult<Progress> {
    let before = before.aligned(KEYFRAME_MS);
    if before == UnixMs::ZERO {
        return Ok(Progress::Done);
    }
    let rows = cold
        .query(&KeyRange::chunks(chain, UnixMs::ZERO, before.minus(1)), &Page::first(ROWS_PER_STEP))
        .await?;
    let keys: Vec<Key> = rows.iter().filter_map(|(sk, _)| Key::of_chunk(chain, sk)).collect();
    let is_all = keys.len() == ROWS_PER_STEP;
    cold.delete(keys).await?;
    Ok(if is_all { Progress::More } else { Progress::Done })
}

/// Deletes some of a chain's chunks, oldest first, that have expired by `now`: whole generations, as all of one expire at once.
///
/// # Errors
/// As [`chunks`].
pub async fn expired(cold: &dyn Cold, chain: Chain, now: UnixMs) -> StoreResult<Progress> {
    let rows = cold
        .query(&KeyRange::chunks(chain, UnixMs::ZERO, UnixMs::MAX), &Page::first(EXPIRED_PER_STEP))
        .await?;
    let gone = rows.iter().take_while(|(_, item)| is_expired(item, now));
    let gone: Vec<Key> = gone.filter_map(|(sk, _)| Key::of_chunk(chain, sk)).collect();
    let is_all = gone.len() == EXPIRED_PER_STEP;
    if !gone.is_empty() {
        cold.delete(gone).await?;
    }
    Ok(if is_all { Progress::More } else { Progress::Done })
}

/// Deletes the heartbeats of some days of before `before`, of every stage that has any, and then these days.
///
/// # Errors
/// As [`chunks`].
pub async fn heartbeat_days(cold: &dyn Cold, before: UnixMs) -> StoreResult<Progress> {
    let range = KeyRange::heartbeat_days(UnixMs::ZERO, before);
    let rows = cold.query(&range, &Page::first(ROWS_PER_STEP)).await?;
    let mut over = Vec::new();
    for (sk, _) in &rows {
        let Some(Key::HeartbeatDay { day, stage }) = Key::of_heartbeat_day(sk) else { continue };
        while heartbeats(cold, &stage, before).await? == Progress::More {}
        if day.plus(DAY_MS) <= before {
            over.push(Key::HeartbeatDay { day, stage });
        }
    }
    let is_all = over.len() == ROWS_PER_STEP;
    cold.delete(over).await?;
    Ok(if is_all { Progress::More } else { Progress::Done })
}

/// Deletes some of a stage's heartbeats of before `before`.
///
/// # Errors
/// As [`chunks`].
pub async fn heartbeats(cold: &dyn Cold, stage: &str, before: UnixMs) -> StoreResult<Progress> {
    let range = KeyRange::heartbeats(stage, UnixMs::ZERO, before.minus(1));
    let rows = cold.query(&range, &Page::first(ROWS_PER_STEP)).await?;
    let keys: Vec<Key> = rows.iter().filter_map(|(sk, _)| Key::of_heartbeat(stage, sk)).collect();
    // Items of other programs stay, and must not be read again and again.
    let is_all = keys.len() == ROWS_PER_STEP;
    cold.delete(keys).await?;
    Ok(if is_all { Progress::More } else { Progress::Done })
}
