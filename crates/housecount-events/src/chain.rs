//! Events in the cold tier: a chain of batches, and the state that they leave.
//!
//! A batch is put only where no other one is, at the number of its first event. So of two nodes
//! that both write, one succeeds, and the other reads what is there. No event is overwritten, and
//! numbers have no gaps. Reads are consistent, since a batch that is read late looks like a gap.

use std::sync::Arc;

use housecount_backend::cold::{Cold, Condition, KeyedItem, KeyedRow, Page, PutOutcome};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::item::{Attr, Item, bytes, number_or_zero};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::{EVENT_BATCH_EVENTS_MAX, EVENT_BATCHES_READ_MAX, EVENTS_KEPT_MS};
use housecount_core::snapshot::{expiry_s, is_expired};
use housecount_core::time::UnixMs;

use crate::batch::EventBatch;
use crate::checkpoint;
use crate::event::AudienceEvent;
use crate::state::AudienceState;

/// Attributes of a batch and of a part of the state.
const EVENTS: &str = "events";
const STATE: &str = "state";
const PARTS: &str = "parts";
/// Rows of one read of the state's parts.
const STATE_ROWS: usize = 32;

/// The stored events.
#[derive(Clone, Debug)]
pub struct EventChain {
    cold: Arc<dyn Cold>,
}

/// Outcome of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The batch is stored.
    Stored,
    /// Another node has stored a batch at this place.
    TakenByOther,
}

/// Some stored events, and how far they reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<AudienceEvent>,
    /// Number of the last event that was looked at, or that before the first.
    pub reached: u64,
    /// Number of the last stored event; 0 if none is kept.
    pub last: u64,
    /// Number of the first event after the asked one that is still kept, if some before it have
    /// expired.
    pub first_kept: Option<u64>,
}

impl EventChain {
    /// Creates the chain in a cold tier.
    #[must_use]
    pub fn new(cold: Arc<dyn Cold>) -> EventChain {
        EventChain { cold }
    }

    /// Puts a batch at its place.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`. The batch may be stored then, and putting it again
    /// succeeds.
    pub async fn append(&self, batch: &EventBatch) -> StoreResult<AppendOutcome> {
        let last_at = batch.events.last().map_or(batch.to, |last| last.at);
        let item = Item::from([
            (EVENTS.to_string(), Attr::B(batch.encode())),
            ("ttl".to_string(), Attr::N(expiry_s(last_at, EVENTS_KEPT_MS))),
        ]);
        let record = KeyedItem { key: Key::EventBatch { first: batch.first }, item };
        Ok(match self.cold.put_if(record, Condition::Absent).await? {
            PutOutcome::Done => AppendOutcome::Stored,
            PutOutcome::ConditionFailed(_) => AppendOutcome::TakenByOther,
        })
    }

    /// Reads the state after the last stored event.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a damaged item.
    pub async fn load(&self) -> StoreResult<LoadedState> {
        let mut state = self.stored_state().await?.unwrap_or_default();
        let (stored_next, stored_to) = (state.next, state.to);
        loop {
            let (last, batches) = self.batches_from(state.next, UnixMs::ZERO).await?;
            let from = state.next;
            for batch in batches {
                // Events before may have expired. Those that are kept still have their effect.
                let new = batch.events.iter().filter(|event| event.seq >= from);
                new.for_each(|event| state.apply(event));
                state.to = state.to.max(batch.to);
            }
            if state.next > last || state.next == from {
                return Ok(LoadedState { state, stored_next, stored_to });
            }
        }
    }

    /// Reads the latest state whose parts are all there.
    async fn stored_state(&self) -> StoreResult<Option<AudienceState>> {
        let mut rows: Vec<KeyedRow> = Vec::new();
        loop {
            let after = rows.last().map(|(sk, _)| sk.clone());
            let page = Page { after, consistent: true, ..Page::first(STATE_ROWS) };
            let read = self.cold.query(&KeyRange::event_states(), &page).await?;
            let is_end = read.len() < STATE_ROWS;
            rows.extend(read);
            if is_end {
                break;
            }
        }
        let number_of = |sk: &str| match Key::of_event_state(sk) {
            Some(Key::EventState { next, .. }) => Some(next),
            _ => None,
        };
        let mut states: Vec<(u64, Vec<Item>)> = Vec::new();
        for (sk, item) in rows {
            let Some(next) = number_of(&sk) else { continue };
            match states.last_mut().filter(|(known, _)| *known == next) {
                Some((_, parts)) => parts.push(item),
                None => states.push((next, vec![item])),
            }
        }
        let is_whole = |parts: &[Item]| {
            parts.iter().all(|part| number_or_zero(part, PARTS) == parts.len() as u64)
        };
        let whole = states.into_iter().rev().find(|(_, parts)| is_whole(parts));
        let Some((next, parts)) = whole else { return Ok(None) };
        let mut state = AudienceState::default();
        for part in &parts {
            let decoded = bytes(part, STATE).map_err(|e| damaged(next, &e));
            checkpoint::decode_into(&mut state, decoded?).map_err(|e| damaged(next, &e))?;
        }
        Ok(Some(state))
    }

    /// Stores a state, and deletes the ones before.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`.
    pub async fn store_state(&self, state: &AudienceState) -> StoreResult<()> {
        let parts = checkpoint::encode(state);
        let count = parts.len() as u64;
        let record = |(part, bytes)| {
            let item = Item::from([
                (STATE.to_string(), Attr::B(bytes)),
                (PARTS.to_string(), Attr::N(count)),
            ]);
            KeyedItem { key: Key::EventState { next: state.next, part }, item }
        };
        self.cold.put((0..).zip(parts).map(record).collect()).await?;
        let page = Page { consistent: true, ..Page::first(1_000) };
        let rows = self.cold.query(&KeyRange::event_states(), &page).await?;
        let is_old = |key: &Key| match key {
            Key::EventState { next, part } => {
                *next < state.next || *next == state.next && u64::from(*part) >= count
            }
            _ => false,
        };
        let keys = rows.iter().filter_map(|(sk, _)| Key::of_event_state(sk));
        let old: Vec<Key> = keys.filter(is_old).collect();
        if !old.is_empty() {
            self.cold.delete(old).await?;
        }
        Ok(())
    }

    /// Reads events after the one with number `after`, at most `limit`, that `is_wanted`.
    ///
    /// It reads at most [`EVENT_BATCHES_READ_MAX`] batches. So there may be none on a page that is
    /// not the last.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a damaged item.
    pub async fn read(
        &self,
        after: u64,
        limit: usize,
        now: UnixMs,
        is_wanted: impl Fn(&AudienceEvent) -> bool,
    ) -> StoreResult<EventPage> {
        let (last, batches) = self.batches_from(after.saturating_add(1), now).await?;
        let mut page = EventPage { events: Vec::new(), reached: after, last, first_kept: None };
        let events = batches.into_iter().flat_map(|batch| batch.events);
        for event in events.filter(|event| event.seq > after) {
            if page.reached == after && event.seq > after + 1 {
                page.first_kept = Some(event.seq);
            }
            if page.events.len() == limit {
                break;
            }
            page.reached = event.seq;
            if is_wanted(&event) {
                page.events.push(event);
            }
        }
        Ok(page)
    }

    /// Number of the last stored event; 0 if none is kept.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`, or `Corrupt` for a damaged item.
    pub async fn last(&self) -> StoreResult<u64> {
        Ok(self.last_batch().await?.map_or(0, |batch| batch.next().saturating_sub(1)))
    }

    async fn last_batch(&self) -> StoreResult<Option<EventBatch>> {
        let page = Page { consistent: true, ..Page::last(1) };
        let rows = self.cold.query(&KeyRange::event_batches(0, u64::MAX), &page).await?;
        rows.first().map(decode_batch).transpose()
    }

    /// Reads batches from the one with event `seq` on, at most [`EVENT_BATCHES_READ_MAX`], and the
    /// number of the last event. Batches that have expired by `now` are left out.
    ///
    /// A caller that is at the end, or in the last batch, costs one read.
    async fn batches_from(&self, seq: u64, now: UnixMs) -> StoreResult<(u64, Vec<EventBatch>)> {
        let Some(last) = self.last_batch().await? else { return Ok((0, Vec::new())) };
        let end = last.next().saturating_sub(1);
        if end < seq {
            return Ok((end, Vec::new()));
        }
        if last.first <= seq {
            return Ok((end, vec![last]));
        }
        // A batch with the event begins at most as many numbers before as a batch has events.
        let from = (seq + 1).saturating_sub(EVENT_BATCH_EVENTS_MAX as u64);
        let page = Page { consistent: true, ..Page::last(1) };
        let rows = self.cold.query(&KeyRange::event_batches(from, seq), &page).await?;
        let first = rows.first().map(decode_batch).transpose()?.map_or(seq, |batch| batch.first);
        let page = Page { consistent: true, ..Page::first(EVENT_BATCHES_READ_MAX) };
        let rows = self.cold.query(&KeyRange::event_batches(first, u64::MAX), &page).await?;
        let kept = rows.iter().filter(|(_, item)| !is_expired(item, now));
        Ok((end, kept.map(decode_batch).collect::<StoreResult<_>>()?))
    }
}

/// State after the last stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedState {
    /// The state.
    pub state: AudienceState,
    /// Number of the next event when the state was last stored.
    pub stored_next: u64,
    /// Time of that state; zero if none is stored.
    pub stored_to: UnixMs,
}

fn damaged(number: u64, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Corrupt, format!("the state of events {number}: {error}"))
}

fn decode_batch((sk, item): &KeyedRow) -> StoreResult<EventBatch> {
    let damaged = |error: &dyn std::fmt::Display| {
        StoreError::new(ErrorKind::Corrupt, format!("the events {sk}: {error}"))
    };
    let packed = bytes(item, EVENTS).map_err(|e| damaged(&e))?;
    EventBatch::decode(packed).map_err(|e| damaged(&e))
}
