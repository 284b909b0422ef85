//! Acquires and releases leases in the cold tier. `housecount_core::lease` explains why they are so
//! simple.

use housecount_core::item::number_or_zero;
use housecount_core::keys::Key;
use housecount_core::lease::Lease;
use housecount_core::time::UnixMs;

use crate::cold::{Cold, Condition, KeyedItem, PutOutcome};
use crate::error::StoreResult;

/// Duration of a lease: longer than any task that takes one, and short enough for another node to
/// step in.
pub const LEASE_MS: u64 = 30_000;

fn record(name: &str, holder: &str, until: UnixMs) -> KeyedItem {
    let lease = Lease { holder: holder.to_string(), until };
    KeyedItem { key: Key::Lease { name: name.to_string() }, item: lease.to_item() }
}

/// Acquires the lease `name` for `lease_ms` if it is free at `now`. Returns false if another node
/// has it.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn acquire(
    cold: &dyn Cold,
    name: &str,
    holder: &str,
    now: UnixMs,
    lease_ms: u64,
) -> StoreResult<bool> {
    let free = Condition::AbsentOrAtMost { attr: Lease::UNTIL, value: now.0 };
    let put = cold.put_if(record(name, holder, now.plus(lease_ms)), free).await?;
    Ok(put == PutOutcome::Done)
}

/// Holder of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// This node holds the lease until this time.
    Until(UnixMs),
    /// Another node holds the lease until this time.
    HeldByOther(UnixMs),
}

/// Acquires the lease, or extends it if this node holds it until `held_until` (zero if it doesn't).
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn renew(
    cold: &dyn Cold,
    name: &str,
    holder: &str,
    held_until: UnixMs,
    now: UnixMs,
    lease_ms: u64,
) -> StoreResult<LeaseState> {
    let until = now.plus(lease_ms);
    let ours_or_free =
        Condition::AbsentOrAtMost { attr: Lease::UNTIL, value: held_until.max(now).0 };
    Ok(match cold.put_if(record(name, holder, until), ours_or_free).await? {
        PutOutcome::Done => LeaseState::Until(until),
        PutOutcome::ConditionFailed(there) => {
            LeaseState::HeldByOther(UnixMs(number_or_zero(&there, Lease::UNTIL)))
        }
    })
}

/// Releases the lease at `now`, so that the next holder need not wait.
///
/// # Errors
/// Returns the cold tier's `StoreError`. In that case the lease expires by itself.
pub async fn release(cold: &dyn Cold, name: &str, holder: &str, now: UnixMs) -> StoreResult<()> {
    cold.put(vec![record(name, holder, now)]).await
}
