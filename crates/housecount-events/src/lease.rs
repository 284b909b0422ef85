//! The lease of the node that writes events, with how far it has come.
//!
//! As any lease it only saves money: two nodes that both write do no harm. The time up to which
//! samples are evaluated is stored with it. So the next node knows it even if no event was stored
//! for long, and looks only at its samples from then on.

use housecount_backend::cold::{Cold, Condition, KeyedItem, PutOutcome};
use housecount_backend::error::StoreResult;
use housecount_core::item::{Attr, Item, number_or_zero, text};
use housecount_core::keys::Key;
use housecount_core::lease::Lease;
use housecount_core::time::UnixMs;

/// Name of the lease.
const NAME: &str = "events";
/// Duration of the lease. A holder that fails once to renew it can try again.
pub(crate) const LEASE_MS: u64 = 60_000;
/// Time after which the holder renews the lease.
pub(crate) const RENEW_MS: u64 = 30_000;
/// Attributes of the item beside those of any lease.
const TO: &str = "to";
const NEXT: &str = "next";

/// Progress of the holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaseProgress {
    /// Time up to which all samples are evaluated, and their events stored.
    pub(crate) to: UnixMs,
    /// Number of the next event.
    pub(crate) next: u64,
}

/// The lease as its holder has left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredLease {
    pub(crate) holder: String,
    /// Time at which it ends; zero if there was no holder yet.
    pub(crate) until: UnixMs,
    pub(crate) progress: LeaseProgress,
}

impl StoredLease {
    fn of(item: &Item) -> StoredLease {
        let number = |name| number_or_zero(item, name);
        StoredLease {
            holder: text(item, Lease::HOLDER).unwrap_or_default().to_string(),
            until: UnixMs(number(Lease::UNTIL)),
            progress: LeaseProgress { to: UnixMs(number(TO)), next: number(NEXT) },
        }
    }
}

fn key() -> Key {
    Key::Lease { name: NAME.to_string() }
}

/// Reads the lease.
pub(crate) async fn read(cold: &dyn Cold) -> StoreResult<StoredLease> {
    Ok(StoredLease::of(&cold.get(&key()).await?.unwrap_or_default()))
}

/// Acquires or renews the lease until `until`, if it still ends at `before`, or is this node's.
/// Returns false if another node has it.
pub(crate) async fn replace(
    cold: &dyn Cold,
    holder: &str,
    before: UnixMs,
    until: UnixMs,
    progress: LeaseProgress,
) -> StoreResult<bool> {
    let mut item = Lease { holder: holder.to_string(), until }.to_item();
    item.insert(TO.to_string(), Attr::N(progress.to.0));
    item.insert(NEXT.to_string(), Attr::N(progress.next));
    let record = KeyedItem { key: key(), item };
    let ends_at = |at: UnixMs| Condition::Equals { attr: Lease::UNTIL, value: Attr::N(at.0) };
    let condition = if before == UnixMs::ZERO { Condition::Absent } else { ends_at(before) };
    let existing = match cold.put_if(record.clone(), condition).await? {
        PutOutcome::Done => return Ok(true),
        PutOutcome::ConditionFailed(existing) => StoredLease::of(&existing),
    };
    // The answer to an earlier renewal of this node may have been lost.
    if existing.holder != holder {
        return Ok(false);
    }
    Ok(cold.put_if(record, ends_at(existing.until)).await? == PutOutcome::Done)
}
