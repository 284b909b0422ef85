//! A cold tier with faults on demand, around the real embedded one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};

use async_trait::async_trait;
use housecount_backend::cold::{
    Cold, Condition, KeyedItem, KeyedRow, Meter, Page, PutOutcome, TransactOutcome, Write,
};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::item::Item;
use housecount_core::keys::{Key, KeyRange};
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;

/// Cold tier that fails on demand, around the embedded one.
#[derive(Debug)]
pub struct FaultyCold {
    pub cold: Arc<dyn Cold>,
    /// Number of calls until the one that fails; negative for none.
    pub fails_in: AtomicI64,
    /// Whether the failing call is carried out first, and only its answer is lost.
    pub lies: AtomicBool,
    /// Whether a call has failed.
    pub has_failed: AtomicBool,
    /// Whether it is unavailable altogether.
    pub away: AtomicBool,
    /// Whether every node gets every lease.
    pub lease_for_all: AtomicBool,
    /// Number of calls so far.
    pub calls: AtomicUsize,
    /// Lock at which transactions wait before they are sent. `held` counts the arrivals so far.
    pub gate: tokio::sync::RwLock<()>,
    pub held: AtomicUsize,
    /// Transactions that are answered as refused from now on. `refused` ones are not carried out;
    /// `belied` ones are.
    pub refused: AtomicU32,
    pub belied: AtomicU32,
}

fn take(fault: &AtomicU32) -> bool {
    fault.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl FaultyCold {
    pub async fn new() -> FaultyCold {
        FaultyCold::over(SqliteCold::memory().unwrap())
    }

    pub fn over(cold: impl Cold + 'static) -> FaultyCold {
        FaultyCold {
            cold: Arc::new(cold),
            fails_in: AtomicI64::new(-1),
            lies: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            away: AtomicBool::new(false),
            lease_for_all: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            gate: tokio::sync::RwLock::default(),
            held: AtomicUsize::new(0),
            refused: AtomicU32::new(0),
            belied: AtomicU32::new(0),
        }
    }

    /// Makes the `n`-th call from now on fail, after the call was carried out if it `lies`.
    pub fn fail(&self, n: i64, lies: bool) {
        self.fails_in.store(n, Ordering::SeqCst);
        self.lies.store(lies, Ordering::SeqCst);
        self.has_failed.store(false, Ordering::SeqCst);
    }

    async fn call<T>(&self, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let failure = || Err(StoreError::new(ErrorKind::Unavailable, "a fault to order"));
        if self.away.load(Ordering::SeqCst) {
            return failure();
        }
        if self.fails_in.fetch_sub(1, Ordering::SeqCst) != 0 {
            return call.await;
        }
        self.has_failed.store(true, Ordering::SeqCst);
        if self.lies.load(Ordering::SeqCst) {
            call.await?;
        }
        failure()
    }
}

#[async_trait]
impl Cold for FaultyCold {
    async fn check(&self) -> StoreResult<()> {
        self.call(self.cold.check()).await
    }

    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()> {
        self.call(self.cold.put(records)).await
    }

    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome> {
        if self.lease_for_all.load(Ordering::SeqCst) && matches!(record.key, Key::Lease { .. }) {
            return Ok(PutOutcome::Done);
        }
        self.call(self.cold.put_if(record, condition)).await
    }

    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome> {
        self.held.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.read().await;
        if take(&self.refused) {
            return Ok(TransactOutcome::ConditionFailed);
        }
        let outcome = self.call(self.cold.transact(writes)).await?;
        Ok(if take(&self.belied) { TransactOutcome::ConditionFailed } else { outcome })
    }

    async fn get(&self, key: &Key) -> StoreResult<Option<Item>> {
        self.call(self.cold.get(key)).await
    }

    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        self.call(self.cold.query(range, page)).await
    }

    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()> {
        self.call(self.cold.delete(keys)).await
    }

    fn meter(&self) -> Meter {
        self.cold.meter()
    }

    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold> {
        self
    }

    async fn sweep(&self, now: UnixMs) -> StoreResult<bool> {
        self.cold.sweep(now).await
    }
}
