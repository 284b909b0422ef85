//! Forgets a viewer in the archive of one item per heartbeat, where each can be deleted on its own.

use std::sync::Arc;

use housecount_backend::cold::{Cold, Page};
use housecount_backend::error::StoreResult;
use housecount_core::heartbeat;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::archive_read as read;
use housecount_engine::internals::history;

use super::{Findings, ForgetRequest};

/// The viewer's heartbeats on a stage.
#[derive(Debug)]
pub(super) struct ItemFindings {
    stage: String,
    /// Span of these heartbeats.
    within: Span,
    pub(super) count: u64,
}

/// Reads the heartbeats of all listed stages, and of those in the ledger or the configuration.
///
/// Another program may have put items on stages that aren't listed. If so, the result reports it,
/// since it may also have put items on stages that nothing here names.
pub(super) async fn find(
    cold: &Arc<dyn Cold>,
    request: &ForgetRequest,
    found: &mut Findings,
    mut progress: impl FnMut(f64),
) -> StoreResult<()> {
    let listed = read::item_stages(&**cold, Span::new(UnixMs::ZERO, UnixMs::MAX)).await?;
    let mut stages = listed.clone();
    if let Some(stage) = &request.stage {
        stages = [stage.clone()].into();
    } else if !listed.is_empty() || is_there(cold).await? {
        stages.append(&mut found.ledger.stages);
        stages.extend(history::configured(&**cold).await?);
    }
    let (whole, mut unlisted) = (stages.len().max(1) as f64, None);
    for (n, stage) in stages.into_iter().enumerate() {
        progress(n as f64 / whole);
        let (mut all, mut count, mut first, mut last) = (0, 0, UnixMs::MAX, UnixMs::ZERO);
        let with = |event: &housecount_core::event::EventRef<'_>| {
            all += 1;
            if event.ids.viewer == request.viewer {
                count += 1;
                (first, last) = (first.min(event.at), last.max(event.at));
            }
            Ok(())
        };
        let problem =
            read::items(&**cold, &stage, Span::new(UnixMs::ZERO, UnixMs::MAX), with, |_| ())
                .await?;
        found.problems.extend(problem);
        if all > 0 && !listed.contains(&stage) {
            unlisted.get_or_insert_with(|| stage.clone());
        }
        if count > 0 {
            found.note_last_seen(last);
            found.items.push(ItemFindings { stage, within: Span::new(first, last.plus(1)), count });
        }
    }
    if let (Some(stage), None) = (unlisted, &request.stage) {
        found.problems.push(format!(
            "not checked: stages that are neither listed with heartbeats nor in the ledger nor configured. Stage {stage} has \
             heartbeats that no node of this version wrote, so other stages may have some too; name each with --stage"
        ));
    }
    Ok(())
}

/// Whether any node ever wrote heartbeats as items.
async fn is_there(cold: &Arc<dyn Cold>) -> StoreResult<bool> {
    for chain in read::chains(cold).await? {
        if cold.get(&Key::ItemArchiveCursor { chain }).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes the heartbeats, by the keys that they are stored at.
///
/// Returns a line about the first one whose key is not housecount's.
pub(super) async fn delete(
    cold: &dyn Cold,
    request: &ForgetRequest,
    found: &ItemFindings,
) -> StoreResult<Option<String>> {
    let keys = KeyRange::heartbeats(&found.stage, found.within.from, found.within.to.minus(1));
    let (mut page, mut left) = (Page::first(PAGE_ROWS_MAX), None);
    loop {
        let rows = cold.query(&keys, &page).await?;
        let is_of_viewer =
            |item| heartbeat::read(item).is_ok_and(|(_, viewer, _)| viewer == request.viewer);
        let mut of_viewer = Vec::new();
        for (sk, _) in rows.iter().filter(|(_, item)| is_of_viewer(item)) {
            match Key::of_heartbeat(&found.stage, sk) {
                Some(key) => of_viewer.push(key),
                None => {
                    let name = || read::name_of(&keys.pk, sk);
                    left.get_or_insert_with(|| {
                        format!("{} was not deleted: its key is not housecount's", name())
                    });
                }
            }
        }
        cold.delete(of_viewer).await?;
        if rows.len() < PAGE_ROWS_MAX {
            return Ok(left);
        }
        page.after = rows.into_iter().next_back().map(|(sk, _)| sk);
    }
}
