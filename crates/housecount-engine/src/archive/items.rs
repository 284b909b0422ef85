//! Writes a partition's archive as one item per heartbeat, in batches of 25, or fewer after a
//! while.

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount_backend::cold::{Cold, KeyedItem, by_stored_key};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::Position;
use housecount_core::event::EventKind;
use housecount_core::heartbeat;
use housecount_core::item::{Attr, Item, number_or_zero};
use housecount_core::keys::{Chain, Key};
use housecount_core::limits::{LISTED_DAYS_MAX, WRITE_BATCH_ITEMS};
use housecount_core::time::UnixMs;
use housecount_metrics::Metrics;

use super::log_cursor::LogCursor;
use super::{ArchiveSettings, WriteProgress, read};

/// Attributes of the item that stores the progress: a position.
const AT: &str = "at";
const SEQ: &str = "seq";

/// Archive writer of one item per heartbeat.
#[derive(Debug)]
pub struct ItemArchiveWriter {
    chain: Chain,
    kept: ArchiveSettings,
    metrics: Arc<Metrics>,
    waiting: Vec<KeyedItem>,
    listed: ListedDays,
    /// When all that had been read was last written.
    flushed: UnixMs,
    /// Position that is recorded as written.
    noted: Position,
}

/// Returns how far a chain is archived.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn archived_to(cold: &dyn Cold, chain: Chain) -> StoreResult<Position> {
    let item = cold.get(&Key::ItemArchiveCursor { chain }).await?.unwrap_or_default();
    Ok(Position { at: UnixMs(number_or_zero(&item, AT)), seq: number_or_zero(&item, SEQ) })
}

impl ItemArchiveWriter {
    /// Continues a chain that is archived up to `noted`.
    #[must_use]
    pub fn new(
        chain: Chain,
        kept: ArchiveSettings,
        metrics: Arc<Metrics>,
        noted: Position,
        now: UnixMs,
    ) -> ItemArchiveWriter {
        let (waiting, listed) = (Vec::new(), ListedDays::default());
        ItemArchiveWriter { chain, kept, metrics, waiting, listed, flushed: now, noted }
    }

    /// Writes full batches. Writes everything if the last complete write is `archive_flush` ago, or
    /// with `is_last`.
    ///
    /// Called again after an error, it continues where it was, since an item that is written twice
    /// stays the same.
    ///
    /// # Errors
    /// Returns a store's `StoreError`.
    pub async fn write_due(
        &mut self,
        cold: &dyn Cold,
        feed: &mut LogCursor,
        now: UnixMs,
        is_last: bool,
    ) -> StoreResult<WriteProgress> {
        let reached = loop {
            self.write(cold, self.waiting.len() / WRITE_BATCH_ITEMS * WRITE_BATCH_ITEMS).await?;
            let page = feed.next(now).await?;
            for (position, record) in &page.records {
                feed.for_each_event(*position, record, |event| {
                    if event.kind == EventKind::Beat {
                        let (key, item) = heartbeat::item(event, self.kept.retention_ms);
                        self.waiting.push(KeyedItem { key, item });
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
            return Ok(WriteProgress::To(reached));
        }
        Ok(WriteProgress::To(self.noted.at))
    }

    /// Writes the first `count` waiting heartbeats. The days of their stages go first, since
    /// readers find the heartbeats by them.
    async fn write(&mut self, cold: &dyn Cold, count: usize) -> StoreResult<()> {
        if count == 0 {
            return Ok(());
        }
        let records = by_stored_key(self.waiting[..count].to_vec());
        let days = self.listed.unlisted(&records, self.kept.retention_ms);
        let mut refused = self.put(cold, days.clone()).await?;
        self.listed.note(days);
        let written = records.len();
        let refused_heartbeats = self.put(cold, records).await?;
        self.metrics.archive_items.inc_by((written - refused_heartbeats.len()) as u64);
        refused.extend(refused_heartbeats);
        self.set_aside(&refused);
        self.waiting.drain(..count);
        Ok(())
    }

    /// Puts records, and returns those that the cold tier refuses as invalid, with its reason.
    ///
    /// They are found by halving the batch. A retry would be refused forever, and block the archive
    /// of every stage.
    async fn put(
        &self,
        cold: &dyn Cold,
        records: Vec<KeyedItem>,
    ) -> StoreResult<Vec<(Key, StoreError)>> {
        let (mut parts, mut refused, mut takes_items) = (vec![records], Vec::new(), false);
        while let Some(mut part) = parts.pop() {
            match cold.put(part.clone()).await {
                Err(error) if error.kind() == ErrorKind::Refused => {
                    // A table that refuses everything is faulty itself. Then no record is set
                    // aside.
                    if !std::mem::replace(&mut takes_items, true) {
                        cold.put(vec![self.position(self.noted)]).await?;
                    }
                    if part.len() > 1 {
                        let tail = part.split_off(part.len() / 2);
                        parts.extend([tail, part]);
                    } else {
                        refused.extend(part.pop().map(|record| (record.key, error)));
                    }
                }
                done => done?,
            }
        }
        Ok(refused)
    }

    /// Counts and logs the refused items, by stage and time, because ids of viewers are never
    /// logged.
    fn set_aside(&self, refused: &[(Key, StoreError)]) {
        let Some((first, error)) = refused.first() else { return };
        self.metrics.archive_refused.inc_by(refused.len() as u64);
        let name = match first {
            Key::Heartbeat { viewer, session, .. } => {
                let (viewer, session) = (viewer.len(), session.len());
                let name = read::name_of(&first.pk(), &first.sk());
                format!("{name} (a viewer of {viewer} bytes, a session of {session})")
            }
            key => format!("{} / {}", key.pk(), key.sk()),
        };
        tracing::error!(
            items = refused.len(), first = name, %error,
            "the cold tier refused items of the archive as invalid; skipped them"
        );
    }

    async fn note(&mut self, cold: &dyn Cold, position: Position) -> StoreResult<()> {
        if position == self.noted {
            return Ok(());
        }
        cold.put(vec![self.position(position)]).await?;
        self.noted = position;
        Ok(())
    }

    fn position(&self, position: Position) -> KeyedItem {
        let item = Item::from([
            (AT.to_string(), Attr::N(position.at.0)),
            (SEQ.to_string(), Attr::N(position.seq)),
        ]);
        KeyedItem { key: Key::ItemArchiveCursor { chain: self.chain }, item }
    }
}

/// Days of stages that are already listed in the cold tier, as far as this writer remembers.
#[derive(Debug, Default)]
struct ListedDays(BTreeSet<Key>);

impl ListedDays {
    /// Days of these heartbeats that may not be listed yet.
    fn unlisted(&self, heartbeats: &[KeyedItem], retention_ms: u64) -> Vec<KeyedItem> {
        let day = |record: &KeyedItem| match &record.key {
            Key::Heartbeat { stage, at, .. } => Some(heartbeat::day(stage, *at, retention_ms)),
            _ => None,
        };
        let days = heartbeats.iter().filter_map(day).filter(|(key, _)| !self.0.contains(key));
        by_stored_key(days.map(|(key, item)| KeyedItem { key, item }).collect())
    }

    fn note(&mut self, days: Vec<KeyedItem>) {
        if self.0.len() + days.len() > LISTED_DAYS_MAX {
            self.0.clear();
        }
        self.0.extend(days.into_iter().map(|record| record.key).take(LISTED_DAYS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::DAY_MS;

    use super::*;

    fn beats(stages: std::ops::Range<usize>, at: UnixMs) -> Vec<KeyedItem> {
        let beat = |n| {
            let (viewer, session) = ("ann".to_string(), String::new());
            KeyedItem {
                key: Key::Heartbeat { stage: format!("s{n}"), at, viewer, session },
                item: Item::new(),
            }
        };
        stages.map(beat).collect()
    }

    #[test]
    fn listed_days_max_bounds_what_is_remembered() {
        let (at, mut listed) = (UnixMs(1_790_000_000_000), ListedDays::default());
        for n in 0..LISTED_DAYS_MAX {
            let days = listed.unlisted(&beats(n..n + 1, at), 1);
            assert_eq!(days.len(), 1);
            listed.note(days);
        }
        assert_eq!(listed.unlisted(&beats(0..LISTED_DAYS_MAX, at), 1).len(), 0);
        assert_eq!(
            listed.unlisted(&beats(0..2, at.plus(DAY_MS)), 1).len(),
            2,
            "another day is listed again"
        );
        listed.note(listed.unlisted(&beats(LISTED_DAYS_MAX..LISTED_DAYS_MAX + 1, at), 1));
        assert_eq!(listed.0.len(), 1, "only the last entry is left");
        listed.note(listed.unlisted(&beats(0..2 * LISTED_DAYS_MAX, at), 1));
        assert_eq!(listed.0.len(), LISTED_DAYS_MAX);
    }
}
