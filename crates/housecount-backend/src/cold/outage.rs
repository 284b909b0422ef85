//! Log lines about outages of a cold tier: one when calls begin to fail, and one when it works
//! again.
//!
//! The number of failed calls, and their callers, don't matter.

use std::sync::Arc;

use async_trait::async_trait;
use housecount_core::item::Item;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::time::UnixMs;
use parking_lot::Mutex;

use crate::clock::mono_ms;
use crate::cold::{
    Cold, Condition, KeyedItem, KeyedRow, Meter, Page, PutOutcome, TransactOutcome, Write,
};
use crate::error::{ErrorKind, StoreResult};
use crate::retry::streak::{Change, FailureStreak};

/// Time without a failed call after which an outage is over. A cold tier that throttles alternates
/// between failing and working.
const CALM_MS: u64 = 5_000;

/// A cold tier that logs when it begins to fail and when it works again.
#[derive(Debug)]
pub struct WatchedCold {
    cold: Arc<dyn Cold>,
    outage: Arc<Mutex<ColdOutage>>,
}

/// Failing kinds of calls. A full store may still be readable.
#[derive(Debug, Default)]
struct ColdOutage {
    streak: FailureStreak,
    reads_fail: bool,
    writes_fail: bool,
}

/// Kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl ColdOutage {
    fn note(&mut self, access: Access, has_failed: bool, now_ms: u64) -> Change {
        match access {
            Access::Read => self.reads_fail = has_failed,
            Access::Write => self.writes_fail = has_failed,
        }
        match (has_failed, self.reads_fail || self.writes_fail) {
            (true, _) => self.streak.failed(now_ms),
            (false, true) => Change::None,
            (false, false) => self.streak.worked(now_ms, CALM_MS),
        }
    }
}

impl WatchedCold {
    /// Watches a cold tier.
    #[must_use]
    pub fn new(cold: Arc<dyn Cold>) -> WatchedCold {
        WatchedCold { cold, outage: Arc::default() }
    }

    fn seen<T>(&self, access: Access, outcome: StoreResult<T>) -> StoreResult<T> {
        // Stored bytes that can't be read are not an outage, and their reader reports them.
        let failure = outcome
            .as_ref()
            .err()
            .filter(|e| !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported));
        let change = self.outage.lock().note(access, failure.is_some(), mono_ms());
        match (change, failure) {
            (Change::Begins, Some(error)) => {
                tracing::warn!(%error, "the cold tier fails; its work waits and is retried")
            }
            (Change::Ends { away_ms, failures }, _) => {
                tracing::info!(away_ms, failures, "the cold tier works again");
            }
            _ => {}
        }
        outcome
    }
}

#[async_trait]
impl Cold for WatchedCold {
    async fn check(&self) -> StoreResult<()> {
        self.seen(Access::Read, self.cold.check().await)
    }

    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()> {
        self.seen(Access::Write, self.cold.put(records).await)
    }

    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome> {
        self.seen(Access::Write, self.cold.put_if(record, condition).await)
    }

    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome> {
        self.seen(Access::Write, self.cold.transact(writes).await)
    }

    async fn get(&self, key: &Key) -> StoreResult<Option<Item>> {
        self.seen(Access::Read, self.cold.get(key).await)
    }

    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        self.seen(Access::Read, self.cold.query(range, page).await)
    }

    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()> {
        self.seen(Access::Write, self.cold.delete(keys).await)
    }

    fn meter(&self) -> Meter {
        self.cold.meter()
    }

    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold> {
        Arc::new(WatchedCold {
            cold: self.cold.clone().metered_as_reads(),
            outage: self.outage.clone(),
        })
    }

    async fn stored_bytes(&self) -> StoreResult<Option<u64>> {
        self.seen(Access::Read, self.cold.stored_bytes().await)
    }

    async fn sweep(&self, now: UnixMs) -> StoreResult<bool> {
        self.seen(Access::Write, self.cold.sweep(now).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_can_be_read_only_has_not_come_back() {
        let mut outage = ColdOutage::default();
        assert_eq!(outage.note(Access::Write, true, 1_000), Change::Begins);
        assert_eq!(outage.note(Access::Read, false, 2_000), Change::None);
        assert_eq!(outage.note(Access::Read, false, 2_000 + CALM_MS), Change::None);
        assert_eq!(outage.note(Access::Write, true, 2_001 + CALM_MS), Change::None);
        assert_eq!(
            outage.note(Access::Write, false, 2_002 + CALM_MS),
            Change::None,
            "alternating results begin no outage"
        );
        let ends = Change::Ends { away_ms: 1_001 + 2 * CALM_MS, failures: 2 };
        assert_eq!(outage.note(Access::Read, false, 2_001 + 2 * CALM_MS), ends);
    }
}
