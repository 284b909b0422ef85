//! Reads an archive.

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount_archive::{ArchiveDecoder, KEYFRAME_MS};
use housecount_backend::cold::{Cold, Page};
use housecount_backend::error::StoreResult;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::heartbeat;
use housecount_core::keys::{Chain, Key, KeyRange, Series};
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use crate::ledger::chunks::{self, corrupt};

/// Lists all chains of packed archives.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn chains(cold: &Arc<dyn Cold>) -> StoreResult<Vec<Chain>> {
    chunks::list_chains(&**cold, Series::Archive).await
}

/// Calls `with` for every beat and leave of a chain within a range, slot after slot.
///
/// Events that reached the log up to `late_ms` after their time are found, too. `progress` is
/// called with the time that has been read. Returns a line for each stretch that can't be read. A
/// stretch begins with a damaged chunk, or one whose previous chunk has expired, and ends before
/// the next keyframe.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or the error of `with`.
pub async fn packed(
    cold: &dyn Cold,
    chain: Chain,
    range: Span,
    late_ms: u64,
    mut with: impl FnMut(&EventRef<'_>) -> StoreResult<()>,
    mut progress: impl FnMut(UnixMs),
) -> StoreResult<Vec<String>> {
    let mut stored =
        chunks::ChunkReader::at(chain, range.from.aligned(KEYFRAME_MS), range.to.plus(late_ms));
    let (mut reader, mut problems, mut is_lost) = (ArchiveDecoder::default(), Vec::new(), false);
    while let Some(chunk) = stored.next(cold).await? {
        let mut outcome = Ok(());
        let read = reader.read(&chunk.bytes, |event| {
            if range.from <= event.at && event.at < range.to && outcome.is_ok() {
                outcome = with(&event);
            }
        });
        outcome?;
        // One line per stretch, since the later chunks can't be read for the same reason.
        if let Err(error) = read
            && !std::mem::replace(&mut is_lost, read.is_err())
        {
            let sk = Key::Chunk { chain, window: chunk.window }.sk();
            problems.push(format!(
                "{}; chunks that depend on it are skipped",
                corrupt(chain, &sk, error)
            ));
        }
        is_lost = read.is_err();
        progress(chunk.window);
    }
    Ok(problems)
}

/// Lists the stages that have heartbeats as items on any day of a range.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn item_stages(cold: &dyn Cold, range: Span) -> StoreResult<BTreeSet<String>> {
    let keys = KeyRange::heartbeat_days(range.from, range.to);
    let (mut stages, mut page) = (BTreeSet::new(), Page::first(PAGE_ROWS_MAX));
    loop {
        let rows = cold.query(&keys, &page).await?;
        stages.extend(rows.iter().filter_map(|(sk, _)| match Key::of_heartbeat_day(sk) {
            Some(Key::HeartbeatDay { stage, .. }) => Some(stage),
            _ => None,
        }));
        if rows.len() < PAGE_ROWS_MAX {
            return Ok(stages);
        }
        page.after = rows.into_iter().next_back().map(|(sk, _)| sk);
    }
}

/// Name of a heartbeat's item without the ids of its viewer and session, which are neither logged
/// nor printed.
pub fn name_of(pk: &str, sk: &str) -> String {
    let ids = sk.match_indices('#').nth(1).map_or(sk.len(), |(at, _)| at + 1);
    format!("the item {pk} / {}…", &sk[..ids])
}

/// Calls `with` for every heartbeat of a stage within a range, where each is an item.
///
/// Unreadable items are skipped. Returns a line if there are any.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or the error of `with`.
pub async fn items(
    cold: &dyn Cold,
    stage: &str,
    range: Span,
    mut with: impl FnMut(&EventRef<'_>) -> StoreResult<()>,
    mut progress: impl FnMut(UnixMs),
) -> StoreResult<Option<String>> {
    let keys = KeyRange::heartbeats(stage, range.from, range.to.minus(1));
    let (mut page, mut unreadable, mut first) = (Page::first(PAGE_ROWS_MAX), 0u64, None);
    loop {
        let rows = cold.query(&keys, &page).await?;
        for (sk, item) in &rows {
            match heartbeat::read(item) {
                Ok((at, viewer, session)) => {
                    with(&EventRef {
                        labels: SessionLabels::NONE,
                        at,
                        kind: EventKind::Beat,
                        ids: Ids { stage, viewer, session },
                    })?;
                    progress(at);
                }
                Err(error) => {
                    unreadable += 1;
                    first.get_or_insert_with(|| format!("{}: {error}", name_of(&keys.pk, sk)));
                }
            }
        }
        if rows.len() < PAGE_ROWS_MAX {
            return Ok(first.map(|first| {
                format!("{first} ({unreadable} such items of the stage are skipped)")
            }));
        }
        page.after = rows.into_iter().next_back().map(|(sk, _)| sk);
    }
}
