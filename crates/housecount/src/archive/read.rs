//! Reads an archive back.

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount_core::archive::{ArchiveDecoder, KEYFRAME_MS};
use housecount_core::event::{EventKind, EventRef};
use housecount_core::heartbeat;
use housecount_core::keys::{Chain, Key, KeyRange, Series};
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use crate::cold::chunks::{self, corrupt};
use crate::cold::{Cold, Page};
use crate::error::StoreResult;

/// All chains of packed archives.
///
/// # Errors
/// The cold tier's.
pub async fn chains(cold: &Arc<dyn Cold>) -> StoreResult<Vec<Chain>> {
    chunks::list_chains(&**cold, Series::Archive).await
}

/// Calls `with` for every beat and leave of a chain within a range, slot after slot; `progress`
/// with how far it is. What reached the log by up to `late_ms` later than it was said is found,
/// too. Returns a line for each stretch that can't be read: a chunk that is damaged, or of which
/// the one before has expired, and what follows on it up to the next keyframe.
///
/// # Errors
/// The cold tier's.
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
        // One line a stretch: the chunks behind it can't be read because of it.
        if let Err(error) = read
            && !std::mem::replace(&mut is_lost, read.is_err())
        {
            let sk = Key::Chunk { chain, window: chunk.window }.sk();
            problems
                .push(format!("{}; what follows on it is left out", corrupt(chain, &sk, error)));
        }
        is_lost = read.is_err();
        progress(chunk.window);
    }
    Ok(problems)
}

/// The stages that have heartbeats as items on any day of a range.
///
/// # Errors
/// The cold tier's.
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

/// Calls `with` for every heartbeat of a stage within a range, where each is an item. Returns a
/// line if there are items that can't be read; they are passed over.
///
/// # Errors
/// The cold tier's, or `with`'s.
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
                    with(&EventRef { at, kind: EventKind::Beat, stage, viewer, session })?;
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
                format!("{first} ({unreadable} such items of the stage are left out)")
            }));
        }
        page.after = rows.into_iter().next_back().map(|(sk, _)| sk);
    }
}
