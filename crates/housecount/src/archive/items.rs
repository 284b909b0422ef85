//! Writes a partition's archive as items, one a heartbeat: 25 at once, or what there is after a while.

use std::sync::Arc;

use housecount_core::event::Kind;
use housecount_core::heartbeat;
use housecount_core::item::{Attr, Item, number_or_zero};
use housecount_core::keys::{Chain, Key};
use housecount_core::limits::WRITE_BATCH_ITEMS;
use housecount_core::time::UnixMs;

use super::feed::Feed;
use super::{Kept, Reached};
use crate::cold::{Cold, Record};
use crate::error::StoreResult;
use crate::log::Position;
use crate::metrics::Metrics;

/// The attributes of the item that says how far it is: a position.
const AT: &str = "at";
const SEQ: &str = "seq";

/// See the module's text.
#[derive(Debug)]
pub struct Items {
    chain: Chain,
    kept: Kept,
    metrics: Arc<Metrics>,
    waiting: Vec<Record>,
    /// When all that was read was written last.
    flushed: UnixMs,
    /// What has been noted as written.
    noted: Position,
}

/// How far a chain is.
///
/// # Errors
/// The cold tier's.
pub async fn end(cold: &dyn Cold, chain: Chain) -> StoreResult<Position> {
    let item = cold.get(&Key::ItemsUntil { chain }).await?.unwrap_or_default();
    Ok(Position { at: UnixMs(number_or_zero(&item, AT)), seq: number_or_zero(&item, SEQ) })
}

impl Items {
    /// Goes on with a chain that is at `noted`.
    #[must_use]
    pub fn new(chain: Chain, kept: Kept, metrics: Arc<Metrics>, noted: Position, now: UnixMs) -> Items {
        Items { chain, kept, metrics, waiting: Vec::new(), flushed: now, noted }
    }

    /// Writes full batches; all that there is if the last time is `archive_flush` ago, or with `is_last`. Called again after an
    /// error, it goes on where it was: an item that is written twice is the same.
    ///
    /// # Errors
    /// A store's.
    pub async fn go_on(
        &mut self,
        cold: &dyn Cold,
        feed: &mut Feed,
        now: UnixMs,
        is_last: bool,
    ) -> StoreResult<Reached> {
        let reached = loop {
            self.write(cold, self.waiting.len() / WRITE_BATCH_ITEMS * WRITE_BATCH_ITEMS).await?;
            let page = feed.next(now).await?;
            for (position, record) in &page.records {
                feed.each(*position, record, |event| {
                    if event.kind == Kind::Beat {
                        let (key, item) = heartbeat::item(event, self.kept.retention_ms);
                        self.waiting.push(Record { key, item });
                    }
                });
            }
            if let Some(reached) = page.reached {
                break reached;
            }
        };
        self.write(cold, self.waiting.len() / WRITE_BATCH_ITEMS * WRITE_BATCH_ITEMS).await?;
        if is_last || now.since(self.flushed) >= self.kept.flush_ms {
            self.write(cold, self.waiting.len()).await?;
            self.note(cold, feed.position()).await?;
            self.flushed = now;
            return Ok(Reached::To(reached));
        }
        Ok(Reached::To(self.noted.at))
    }

    /// Writes the first of those that wait. The cold tier takes a batch's items once each: of two that are the same, one is left out.
    async fn write(&mut self, cold: &dyn Cold, count: usize) -> StoreResult<()> {
        let mut records = self.waiting[..count].to_vec();
        records.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        records.dedup_by(|a, b| a.key == b.key);
        let written = records.len();
        cold.put(records).await?;
        self.metrics.archive_items.inc_by(written as u64);
        self.waiting.drain(..count);
        Ok(())
    }

    async fn note(&mut self, cold: &dyn Cold, position: Position) -> StoreResult<()> {
        if position == self.noted {
            return Ok(());
        }
        let item =
            Item::from([(AT.to_string(), Attr::N(position.at.0)), (SEQ.to_string(), Attr::N(position.seq))]);
        cold.put(vec![Record { key: Key::ItemsUntil { chain: self.chain }, item }]).await?;
        self.noted = position;
        Ok(())
    }
}
