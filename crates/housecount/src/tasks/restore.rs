//! Finds the last counts that were saved, without a Scan.

use housecount_core::item::{bytes, number};
use housecount_core::keys::KeyRange;
use housecount_core::roster::Roster;
use housecount_core::snapshot::is_expired;
use housecount_core::time::UnixMs;

use crate::cold::{Cold, Page};
use crate::error::{ErrorKind, StoreError, StoreResult};

/// How many rosters are looked at before we give up: one may lack parts if its writer died.
const ROSTERS_MAX: usize = 5;
/// More parts than any roster has.
const PARTS_MAX: usize = 10_000;

/// The last whole roster that is not expired at `now`, and when it was taken.
///
/// # Errors
/// The cold tier's; `Corrupt` names a roster whose bytes are damaged.
pub async fn last_roster(cold: &dyn Cold, now: UnixMs) -> StoreResult<Option<(UnixMs, Roster)>> {
    let mut to = now;
    for _ in 0..ROSTERS_MAX {
        let last = cold.query(&KeyRange::rosters(to), &Page::last(1)).await?;
        let Some((sk, item)) = last.into_iter().next() else { return Ok(None) };
        let (at, parts) = roster_key(&sk)
            .zip(number(&item, "parts").ok())
            .ok_or_else(|| StoreError::new(ErrorKind::Corrupt, format!("the roster {sk} has no parts")))?;
        if is_expired(&item, now) {
            return Ok(None);
        }
        let rows = cold.query(&KeyRange::roster(at), &Page::first(PARTS_MAX)).await?;
        if rows.len() as u64 == parts {
            let mut roster = Roster::default();
            for (sk, item) in &rows {
                let corrupt = |e: Box<dyn std::error::Error + Send + Sync>| {
                    StoreError::caused(ErrorKind::Corrupt, format!("the roster {sk}"), e)
                };
                let part = bytes(item, "roster").map_err(|e| corrupt(e.into()))?;
                roster.add_part(part).map_err(|e| corrupt(e.into()))?;
            }
            return Ok(Some((at, roster)));
        }
        to = at.minus(1);
    }
    Ok(None)
}

/// When a roster with this sort key was taken.
#[must_use]
pub fn roster_key(sk: &str) -> Option<UnixMs> {
    sk.split_once('#').and_then(|(at, _)| at.parse().ok()).map(UnixMs)
}
