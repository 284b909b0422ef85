//! Takes and gives back leases in the cold tier. See `housecount_core::lease` for why they are so
//! simple.

use housecount_core::item::number_or_zero;
use housecount_core::keys::Key;
use housecount_core::lease::Lease;
use housecount_core::time::UnixMs;

use crate::cold::{Cold, Condition, KeyedItem, PutOutcome};
use crate::error::StoreResult;

/// How long a lease is taken for: longer than any task that takes one, short enough for another
/// node to step in.
pub const LEASE_MS: u64 = 30_000;

fn record(name: &str, holder: &str, until: UnixMs) -> KeyedItem {
    let lease = Lease { holder: holder.to_string(), until };
    KeyedItem { key: Key::Lease { name: name.to_string() }, item: lease.to_item() }
}

/// Takes the lease `name` for `lease_ms` if it is free at `now`. False if another node has it.
///
/// # Errors
/// The cold tier's.
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

/// Who has a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// This node, until then.
    Until(UnixMs),
    /// Another one, until then.
    HeldByOther(UnixMs),
}

/// Takes the lease, or takes it on if this node has it until `held_until`; zero if it has not.
///
/// # Errors
/// The cold tier's.
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

/// Gives the lease back at `now`, so that the next one need not wait.
///
/// # Errors
/// The cold tier's. It runs out by itself then.
pub async fn release(cold: &dyn Cold, name: &str, holder: &str, now: UnixMs) -> StoreResult<()> {
    cold.put(vec![record(name, holder, now)]).await
}
