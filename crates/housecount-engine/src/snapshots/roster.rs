//! Finds the last saved counts, without a Scan.

use housecount_backend::cold::{Cold, KeyedRow, Page};
use housecount_backend::error::StoreResult;
use housecount_core::item::{bytes, number_or_zero};
use housecount_core::keys::KeyRange;
use housecount_core::roster::Roster;
use housecount_core::snapshot::is_expired;
use housecount_core::time::UnixMs;

/// Number of rosters that are read at most. A roster may lack parts if its writer died, be damaged,
/// or hold bridged counts.
const ROSTERS_MAX: usize = 20;
/// Greatest lead of a snapshot's time over now. A later snapshot was taken by a wrong clock, and is
/// ignored.
const AHEAD_MS_MAX: u64 = 10_000;
/// More parts than any roster has.
const PARTS_MAX: usize = 10_000;
/// Attribute of a roster of bridged counts, which must not be bridged from again.
pub const RECOVERING: &str = "recovering";

/// Last roster in the cold tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastRoster {
    /// No snapshot was ever taken, so there are no earlier counts.
    Nothing,
    /// Snapshots were taken, but none of them is usable.
    Unusable,
    /// The last usable roster, and when it was taken.
    Last(UnixMs, Roster),
}

/// Returns when the last snapshot was taken, whatever it holds.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn last_taken(cold: &dyn Cold, now: UnixMs) -> StoreResult<Option<UnixMs>> {
    let rows = cold.query(&KeyRange::rosters(now.plus(AHEAD_MS_MAX)), &Page::last(1)).await?;
    Ok(rows.first().and_then(|(sk, _)| roster_key(sk)))
}

/// Returns the last complete roster of real counts, unless it has expired at `now`.
///
/// # Errors
/// Returns the cold tier's `StoreError`. An unreadable roster is logged and skipped.
pub async fn last_roster(cold: &dyn Cold, now: UnixMs) -> StoreResult<LastRoster> {
    let (mut to, mut found) = (now.plus(AHEAD_MS_MAX), LastRoster::Nothing);
    for _ in 0..ROSTERS_MAX {
        let last = cold.query(&KeyRange::rosters(to), &Page::last(1)).await?;
        let Some((sk, item)) = last.into_iter().next() else { return Ok(found) };
        found = LastRoster::Unusable;
        let Some(at) = roster_key(&sk) else { return Ok(found) };
        let parts = number_or_zero(&item, "parts");
        if is_expired(&item, now) {
            return Ok(found);
        }
        if !item.contains_key(RECOVERING) {
            let rows = cold.query(&KeyRange::roster(at), &Page::first(PARTS_MAX)).await?;
            match read(&rows) {
                Ok(roster) if rows.len() as u64 == parts => {
                    return Ok(LastRoster::Last(at, roster));
                }
                Ok(_) => tracing::warn!(%at, "a roster lacks parts; trying the previous one"),
                Err(error) => {
                    tracing::error!(%error, %at, "a roster can't be read; trying the previous one")
                }
            }
        }
        to = at.minus(1);
    }
    Ok(found)
}

/// Joins a roster from its parts.
fn read(rows: &[KeyedRow]) -> Result<Roster, Box<dyn std::error::Error + Send + Sync>> {
    let mut roster = Roster::default();
    for (_, item) in rows {
        roster.add_part(bytes(item, "roster")?)?;
    }
    Ok(roster)
}

/// Parses when a roster with this sort key was taken.
#[must_use]
pub fn roster_key(sk: &str) -> Option<UnixMs> {
    sk.split_once('#').and_then(|(at, _)| at.parse().ok()).map(UnixMs)
}
