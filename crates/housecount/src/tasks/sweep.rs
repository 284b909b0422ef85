//! Deletes expired snapshots where the store doesn't do it by itself: the embedded one.
//!
//! Rosters are ordered by time and name every stage they counted, so what has expired is found without a scan.

use housecount_core::item::bytes;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::roster::Roster;
use housecount_core::time::UnixMs;

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
    let more = rows.len() == ROSTERS_PER_STEP;
    for (sk, item) in rows {
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
    }
    Ok(if more { Progress::More } else { Progress::Done })
}
