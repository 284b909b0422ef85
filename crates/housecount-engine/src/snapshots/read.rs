//! Reads of a stage's snapshots.

use housecount_backend::cold::{Cold, KeyedRow, Page};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::ids::StageId;
use housecount_core::item::AttrError;
use housecount_core::keys::KeyRange;
use housecount_core::snapshot::Snapshot;
use housecount_core::time::UnixMs;

/// Returns at most `limit` snapshots of a stage from `from` up to and including `to`, without those
/// that have expired at `now`.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Corrupt` for an unreadable snapshot.
pub async fn list(
    cold: &dyn Cold,
    stage: &StageId,
    from: UnixMs,
    to: UnixMs,
    limit: usize,
    now: UnixMs,
) -> StoreResult<Vec<Snapshot>> {
    if from > to {
        return Ok(Vec::new());
    }
    let range = KeyRange::snapshots(stage.as_str(), from, to);
    let rows = cold.query(&range, &Page::first(limit)).await?;
    rows.iter().filter_map(|row| parse(stage, row, now).transpose()).collect()
}

/// Returns a stage's last snapshot, unless it has expired at `now`.
///
/// # Errors
/// As [`list`].
pub async fn last(cold: &dyn Cold, stage: &StageId, now: UnixMs) -> StoreResult<Option<Snapshot>> {
    let range = KeyRange::snapshots(stage.as_str(), UnixMs::ZERO, UnixMs::MAX);
    let rows = cold.query(&range, &Page::last(1)).await?;
    rows.first().map_or(Ok(None), |row| parse(stage, row, now))
}

fn parse(stage: &StageId, (sk, item): &KeyedRow, now: UnixMs) -> StoreResult<Option<Snapshot>> {
    let corrupt = |error: AttrError| {
        StoreError::caused(ErrorKind::Corrupt, format!("snapshot {sk} of {stage}"), error)
    };
    Snapshot::from_item(item, now).map_err(corrupt)
}
