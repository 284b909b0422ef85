//! The simulated cold tier: items in memory as DynamoDB holds them, and the network to it.
//!
//! Reads that need not be consistent may return the state of a second ago. Active faults refuse
//! calls, or fail them after a part or all of the work. The contract tests of the cold tier also
//! run on this one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use housecount_backend::cold::{
    Cold, Condition, KeyedItem, KeyedRow, Meter, Page, PutOutcome, TransactOutcome, Write,
};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::rng;
use housecount_core::fence::CommitFence;
use housecount_core::item::{Attr, Item, bytes, number_or_zero};
use housecount_core::keys::{Key, KeyRange, Series};
use housecount_core::limits::ITEM_BYTES_MAX;
use housecount_core::snapshot::is_expired;
use housecount_core::time::UnixMs;
use housecount_ledger::Chunk;

use super::World;
use crate::active_faults::{CallRoute, advance};

/// Time for which the driver tries before it gives up on an unreachable tier.
const GIVE_UP: Duration = Duration::from_secs(4);
/// Age that the state seen by an inconsistent read may have.
const STALE_MS: u64 = 1_000;

/// State of the cold tier's server.
#[derive(Debug, Default)]
pub struct ColdServer {
    rows: BTreeMap<String, BTreeMap<String, Versions>>,
}

/// The item at a key, and the item before it with the time of the change.
#[derive(Clone, Debug, Default)]
struct Versions {
    item: Option<Item>,
    before: Option<Item>,
    since_ms: u64,
}

impl Versions {
    fn seen(&self, now_ms: u64, consistent: bool) -> Option<&Item> {
        let is_new = self.since_ms + STALE_MS > now_ms;
        if !consistent && is_new && rng::random_range(0..2) == 0 {
            self.before.as_ref()
        } else {
            self.item.as_ref()
        }
    }
}

impl ColdServer {
    fn set(&mut self, key: &Key, item: Option<Item>, now_ms: u64) {
        let rows = self.rows.entry(key.pk()).or_default();
        if item.is_none() {
            rows.remove(&key.sk());
            return;
        }
        let versions = rows.entry(key.sk()).or_default();
        *versions = Versions { before: versions.item.take(), item, since_ms: now_ms };
    }

    /// Item at a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Item> {
        self.rows.get(&key.pk())?.get(&key.sk())?.item.as_ref()
    }

    fn query(&self, range: &KeyRange, page: &Page, consistent: bool, now_ms: u64) -> Vec<KeyedRow> {
        let Some(rows) = self.rows.get(&range.pk) else { return Vec::new() };
        let found = rows.range(range.first.clone()..=range.last.clone());
        let seen = found.filter_map(|(sk, versions)| {
            versions.seen(now_ms, consistent).map(|item| (sk.clone(), item.clone()))
        });
        let is_after = |(sk, _): &KeyedRow| match &page.after {
            Some(after) if page.backwards => sk < after,
            Some(after) => sk > after,
            None => true,
        };
        if page.backwards {
            seen.rev().filter(is_after).take(page.limit).collect()
        } else {
            seen.filter(is_after).take(page.limit).collect()
        }
    }

    /// Drops the items of ledgers and packed archives before a time. A real cold tier keeps them
    /// for good or for long.
    pub fn drop_chunks_before(&mut self, time: UnixMs) {
        let before = format!("{:013}", time.0);
        let is_chain = |pk: &str| pk.starts_with("LEDGER#") || pk.starts_with("ARCHIVE#");
        let chains = self.rows.iter_mut().filter(|(pk, _)| is_chain(pk));
        chains.for_each(|(_, rows)| rows.retain(|sk, _| *sk >= before));
    }

    /// Drops expired items.
    fn sweep(&mut self, now: UnixMs) {
        let is_there =
            |versions: &Versions| !versions.item.as_ref().is_some_and(|item| is_expired(item, now));
        self.rows.values_mut().for_each(|rows| rows.retain(|_, versions| is_there(versions)));
    }

    /// Number of items, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let all = || self.rows.values().flat_map(BTreeMap::values);
        let items = || all().filter_map(|versions| versions.item.as_ref());
        (items().count(), items().map(size).sum())
    }
}

/// A node's connection to the cold tier.
pub struct SimCold {
    world: Arc<World>,
    /// Number of the node; `None` for an observer, which no fault affects.
    node: Option<usize>,
    meter: Meter,
}

impl fmt::Debug for SimCold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({:?})", self.node)
    }
}

fn failed() -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "the simulated cold tier doesn't answer")
}

/// Whether a condition holds for the stored item.
fn holds(there: Option<&Item>, condition: &Condition) -> bool {
    match (there, condition) {
        (there, Condition::Equals { attr, value }) => {
            there.is_some_and(|there| there.get(*attr) == Some(value))
        }
        (None, _) => true,
        (Some(_), Condition::Absent) => false,
        (Some(there), Condition::AbsentOrAtMost { attr, value }) => {
            number_or_zero(there, attr) <= *value
        }
    }
}

fn size(item: &Item) -> usize {
    let of = |attr: &Attr| match attr {
        Attr::S(text) => text.len(),
        Attr::N(_) => 21,
        Attr::B(bytes) => bytes.len(),
        Attr::Bool(_) => 1,
        Attr::StringMap(texts) => texts.iter().map(|(name, text)| name.len() + text.len()).sum(),
    };
    item.iter().map(|(name, attr)| name.len() + of(attr)).sum()
}

impl SimCold {
    /// The connection of a node.
    #[must_use]
    pub fn new(world: Arc<World>, node: usize) -> SimCold {
        SimCold { world, node: Some(node), meter: Meter::default() }
    }

    /// The connection of an observer.
    #[must_use]
    pub fn observing(world: Arc<World>) -> SimCold {
        SimCold { world, node: None, meter: Meter::default() }
    }

    /// Waits for the way to the tier, or fails by an active fault.
    async fn send(&self) -> StoreResult<()> {
        let Some(node) = self.node else { return Ok(()) };
        let (way, takes_ms) = {
            let trouble = self.world.trouble.lock();
            (trouble.to_cold(node), trouble.cold_ms())
        };
        match way {
            CallRoute::Open | CallRoute::Held => advance(takes_ms).await,
            CallRoute::Refused => {
                advance(takes_ms).await;
                return Err(failed());
            }
            CallRoute::CutOff | CallRoute::Lost => {
                tokio::time::sleep(GIVE_UP).await;
                return Err(failed());
            }
        }
        Ok(())
    }

    /// Returns the answer, unless a fault turns it into an error.
    async fn reply<T>(&self, answer: T) -> StoreResult<T> {
        let Some(node) = self.node else { return Ok(answer) };
        let is_lost = {
            let trouble = self.world.trouble.lock();
            trouble.cut_off[node] > 0 || trouble.cold_lying > 0 && rng::random_range(0..3) == 0
        };
        if is_lost { Err(failed()) } else { Ok(answer) }
    }

    /// Number of items that a call writes before it fails, if a fault makes it fail in the middle.
    fn part(&self, count: usize) -> Option<usize> {
        let is_partial = self.world.trouble.lock().cold_lying > 0 && rng::random_range(0..3) == 0;
        is_partial.then(|| rng::random_range(0..=count))
    }

    fn set(&self, key: &Key, item: Option<Item>) {
        let now_ms = self.world.now_ms();
        self.world.digest(|hasher, now_ms| hasher.item(now_ms, key, item.as_ref()));
        if let Some(item) = &item {
            if size(item) > ITEM_BYTES_MAX {
                self.world.violated(format!("ITEM_BYTES_MAX: {} / {}", key.pk(), key.sk()));
            }
            self.observe_commit(key, item);
        }
        let is_final = matches!(key, Key::Chunk { .. } | Key::Series { .. } | Key::Version { .. });
        if is_final
            && self.world.cold.lock().get(key).is_some_and(|there| Some(there) != item.as_ref())
        {
            self.world.violated(format!("a final item was rewritten: {} / {}", key.pk(), key.sk()));
        }
        if let (Key::Version { .. }, Some(item)) = (key, &item) {
            self.applies_to_no_committed_time(key, item);
        }
        self.world.cold.lock().set(key, item, now_ms);
    }

    fn applies_to_no_committed_time(&self, key: &Key, version: &Item) {
        let from = UnixMs(number_or_zero(version, "effectiveFrom"));
        let committed_to = self.world.committed_by_any();
        if from < committed_to {
            let name = format!("{} / {}", key.pk(), key.sk());
            self.world.violated(format!(
                "{name} applies from {from}, but the ledger is committed to {committed_to}"
            ));
        }
    }

    /// Reports a committed chunk to the world, and checks that the fence was raised first.
    fn observe_commit(&self, key: &Key, item: &Item) {
        let Key::Chunk { chain, .. } = key else { return };
        if chain.series != Series::Ledger {
            return;
        }
        let chunk = bytes(item, "chunk").ok().and_then(|bytes| Chunk::decode(bytes).ok());
        match chunk {
            Some((chunk, _)) => {
                let fence = self.world.cold.lock().get(&Key::Fence).cloned().unwrap_or_default();
                if number_or_zero(&fence, CommitFence::COMMITTED_TO) < chunk.window.to.0 {
                    self.world
                        .violated(format!("a commit without a raised fence: {}", chunk.window.to));
                }
                self.world.committed(chain.partition, chunk.window.to);
            }
            None => self.world.violated("an unreadable chunk was written".to_string()),
        }
    }
}

#[async_trait]
impl Cold for SimCold {
    async fn check(&self) -> StoreResult<()> {
        self.send().await
    }

    async fn put(&self, records: Vec<KeyedItem>) -> StoreResult<()> {
        self.send().await?;
        let part = self.part(records.len());
        for record in records.iter().take(part.unwrap_or(records.len())) {
            self.set(&record.key, Some(record.item.clone()));
        }
        if part.is_some() { Err(failed()) } else { self.reply(()).await }
    }

    async fn put_if(&self, record: KeyedItem, condition: Condition) -> StoreResult<PutOutcome> {
        self.send().await?;
        if matches!(record.key, Key::Lease { .. }) && self.world.trouble.lock().lease_for_all > 0 {
            return Ok(PutOutcome::Done);
        }
        let there = self.world.cold.lock().get(&record.key).cloned();
        // The same item may always be put again, since an answer may have been lost.
        let holds = there.as_ref() == Some(&record.item) || holds(there.as_ref(), &condition);
        match there {
            there if !holds => {
                self.reply(PutOutcome::ConditionFailed(there.unwrap_or_default())).await
            }
            _ => {
                self.set(&record.key, Some(record.item));
                self.reply(PutOutcome::Done).await
            }
        }
    }

    async fn transact(&self, writes: Vec<Write>) -> StoreResult<TransactOutcome> {
        self.send().await?;
        let is_refused = |write: &Write| match write {
            Write::Put { record, condition: Some(condition) } => {
                !holds(self.world.cold.lock().get(&record.key), condition)
            }
            Write::Put { .. } | Write::Delete(_) => false,
        };
        if writes.iter().any(is_refused) {
            return self.reply(TransactOutcome::ConditionFailed).await;
        }
        for write in writes {
            match write {
                Write::Put { record, .. } => self.set(&record.key, Some(record.item)),
                Write::Delete(key) => self.set(&key, None),
            }
        }
        self.reply(TransactOutcome::Done).await
    }

    async fn get(&self, key: &Key) -> StoreResult<Option<Item>> {
        self.send().await?;
        let item = self.world.cold.lock().get(key).cloned();
        self.reply(item).await
    }

    async fn query(&self, range: &KeyRange, page: &Page) -> StoreResult<Vec<KeyedRow>> {
        self.send().await?;
        let consistent = page.consistent || self.node.is_none();
        let rows = self.world.cold.lock().query(range, page, consistent, self.world.now_ms());
        self.reply(rows).await
    }

    async fn delete(&self, keys: Vec<Key>) -> StoreResult<()> {
        self.send().await?;
        let part = self.part(keys.len());
        for key in keys.iter().take(part.unwrap_or(keys.len())) {
            self.set(key, None);
        }
        if part.is_some() { Err(failed()) } else { self.reply(()).await }
    }

    fn metered_as_reads(self: Arc<Self>) -> Arc<dyn Cold> {
        self
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    async fn sweep(&self, now: UnixMs) -> StoreResult<bool> {
        self.send().await?;
        self.world.cold.lock().sweep(now);
        self.reply(false).await
    }
}
