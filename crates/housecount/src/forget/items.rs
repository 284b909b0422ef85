//! The viewer in the item-a-heartbeat archive, where each can be deleted on its own.

use std::sync::Arc;

use housecount_core::heartbeat;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::PAGE_ROWS_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use super::{Findings, Request};
use crate::archive::read;
use crate::cold::{Cold, Page};
use crate::error::StoreResult;

/// The viewer's heartbeats on a stage.
#[derive(Debug)]
pub(super) struct Found {
    stage: String,
    /// They lie within this.
    within: Span,
    pub(super) count: u64,
}

/// Reads the heartbeats of all stages that are known: of the ledger, configured, or asked for.
pub(super) async fn find(
    cold: &Arc<dyn Cold>,
    request: &Request,
    found: &mut Findings,
    mut progress: impl FnMut(f64),
) -> StoreResult<()> {
    if !is_there(cold, request).await? {
        return Ok(());
    }
    let mut stages = std::mem::take(&mut found.ledger.stages);
    stages.extend(configured(&**cold).await?);
    if let Some(stage) = &request.stage {
        stages = [stage.clone()].into();
    }
    let whole = stages.len().max(1) as f64;
    for (n, stage) in stages.into_iter().enumerate() {
        progress(n as f64 / whole);
        let (mut count, mut first, mut last) = (0, UnixMs::MAX, UnixMs::ZERO);
        let with = |event: &housecount_core::event::EventRef<'_>| {
            if event.viewer == request.viewer {
                count += 1;
                (first, last) = (first.min(event.at), last.max(event.at));
            }
            Ok(())
        };
        read::items(&**cold, &stage, Span::new(UnixMs::ZERO, UnixMs::MAX), with, |_| ()).await?;
        if count > 0 {
            found.heard(last);
            found.items.push(Found { stage, within: Span::new(first, last.plus(1)), count });
        }
    }
    Ok(())
}

/// Whether heartbeats were ever written as items, in the viewer's partition.
async fn is_there(cold: &Arc<dyn Cold>, request: &Request) -> StoreResult<bool> {
    for chain in read::chains(cold).await? {
        if request.holds(chain) && cold.get(&Key::ItemsUntil { chain }).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn configured(cold: &dyn Cold) -> StoreResult<Vec<String>> {
    let mut stages: Vec<String> = Vec::new();
    loop {
        let range = KeyRange::listed(stages.last().map(String::as_str));
        let rows = cold.query(&range, &Page::first(PAGE_ROWS_MAX)).await?;
        let is_last = rows.len() < PAGE_ROWS_MAX;
        stages.extend(rows.into_iter().map(|(stage, _)| stage));
        if is_last {
            return Ok(stages);
        }
    }
}

/// Deletes them.
pub(super) async fn delete(cold: &dyn Cold, request: &Request, found: &Found) -> StoreResult<()> {
    let keys = KeyRange::heartbeats(&found.stage, found.within.from, found.within.to.minus(1));
    let mut page = Page::first(PAGE_ROWS_MAX);
    loop {
        let rows = cold.query(&keys, &page).await?;
        let of_viewer = rows.iter().filter_map(|(_, item)| {
            let (at, viewer, session) = heartbeat::read(item).ok()?;
            let (stage, session) = (found.stage.clone(), session.to_string());
            (viewer == request.viewer).then(|| Key::Heartbeat {
                stage,
                at,
                viewer: viewer.to_string(),
                session,
            })
        });
        cold.delete(of_viewer.collect()).await?;
        if rows.len() < PAGE_ROWS_MAX {
            return Ok(());
        }
        page.after = rows.last().map(|(sk, _)| sk.clone());
    }
}
