//! The board: the latest message of each stage, by its number.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use housecount_core::fold::Count;
use housecount_core::limits::{
    LIVE_EMPTY_STAGES_MAX, LIVE_EVENTS_PER_SECOND, LIVE_EVERY_MS_MAX, LIVE_EVERY_MS_MIN,
    LIVE_FORGET_MS, LIVE_WRITE_BYTES,
};
use housecount_core::public_count::PublicCount;
use tokio::sync::watch;

use super::PublishedCount;
use super::message::{ALL, Encoding, text};
use super::pending::PendingStages;
use crate::hub::CountStatus;

/// Interval between two checks for entries to evict.
const FORGET_EVERY_MS: u64 = 1_000;
/// A message of the board.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveMessage {
    /// Number of the message; 0 before the first.
    pub(super) number: u64,
    pub(super) epoch: u32,
    /// Contents of the message, from which its brief form is made.
    pub(super) shown: Option<PublishedCount>,
    /// The message as it is sent.
    pub(super) text: Bytes,
}

/// A stage of the board.
#[derive(Debug)]
struct StageEntry {
    shown: PublishedCount,
    /// Whether any message has reported viewers.
    was_watched: bool,
    /// When the latest message was made.
    made_mono_ms: u64,
    /// When a subscriber last followed it.
    wanted_mono_ms: u64,
    sender: watch::Sender<LiveMessage>,
}

impl StageEntry {
    fn number(&self) -> u64 {
        self.sender.borrow().number
    }

    /// Whether a subscriber follows this stage by name.
    fn has_subscribers(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Returns the least time between two messages. It grows with the number of subscribers, so
    /// that all of them together are not sent more than this number of messages per second.
    fn every_ms(&self, events_per_second: u64) -> u64 {
        let subscribers = self.sender.receiver_count() as u64;
        let every_ms = subscribers.saturating_mul(1_000) / events_per_second.max(1);
        every_ms.clamp(LIVE_EVERY_MS_MIN, LIVE_EVERY_MS_MAX)
    }
}

/// Latest message of each stage, numbered in the order of messages.
#[derive(Debug)]
pub(super) struct LatestCounts {
    /// Epoch of the numbers. Numbers are comparable only within one epoch. A new epoch begins when
    /// a stage with viewers was evicted.
    epoch: u32,
    latest: u64,
    /// The stage of each number that is the latest of its stage.
    by_number: BTreeMap<u64, Arc<str>>,
    entries: BTreeMap<Arc<str>, StageEntry>,
    /// Entries that never had viewers, and exist only because a subscriber has named them.
    unwatched: usize,
    /// Number of subscribers of all stages.
    all: usize,
    /// Number of all subscribers.
    subscribers: usize,
    pub(super) pending: PendingStages,
    /// Whether the entries have all stages, except for pending ones.
    has_all: bool,
    /// Whether counts were complete, and recovering, when all entries were last marked.
    trust: (bool, bool),
    /// When entries were last checked for eviction.
    forgot_mono_ms: u64,
    /// Messages of a stage per second to all of its subscribers together.
    pub(super) events_per_second: u64,
}

impl LatestCounts {
    pub(super) fn new(epoch: u32) -> LatestCounts {
        LatestCounts {
            epoch,
            latest: 0,
            by_number: BTreeMap::new(),
            entries: BTreeMap::new(),
            unwatched: 0,
            all: 0,
            subscribers: 0,
            pending: PendingStages::default(),
            has_all: false,
            trust: (false, false),
            forgot_mono_ms: 0,
            events_per_second: LIVE_EVENTS_PER_SECOND,
        }
    }

    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Counts a subscriber that comes or leaves.
    pub(super) fn count(&mut self, comes: bool, wants_all: bool) {
        let change = |count: &mut usize, by: bool| match by {
            true => *count += 1,
            false => *count -= 1,
        };
        change(&mut self.subscribers, comes);
        if wants_all {
            change(&mut self.all, comes);
        }
        self.has_all &= self.all > 0;
    }

    /// Parses the number of a message's id, if a subscriber can continue from it.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        let is_known = u32::from_str_radix(epoch, 16).ok()? == self.epoch;
        number.parse().ok().filter(|number| is_known && *number <= self.latest)
    }

    /// Marks a stage that may have changed. It becomes pending if a subscriber follows it.
    pub(super) fn mark(&mut self, stage: Arc<str>) {
        if self.entries.get(&stage).is_some_and(StageEntry::has_subscribers) {
            self.pending.insert_named(stage);
        } else if self.all > 0 && *stage != *ALL {
            self.pending.insert_unnamed(stage);
        }
    }

    /// Marks all entries if counts have become complete or recovering, or no longer are.
    ///
    /// Returns whether the board lacks stages for a subscriber of all stages. The caller marks
    /// those stages.
    pub(super) fn note_trust(&mut self, status: CountStatus) -> bool {
        let trust = (status.complete, status.recovering);
        let is_new = std::mem::replace(&mut self.trust, trust) != trust;
        if is_new {
            let entries: Vec<Arc<str>> = self.entries.keys().cloned().collect();
            entries.into_iter().for_each(|stage| self.mark(stage));
        }
        let lacks = self.all > 0 && (is_new || !self.has_all);
        self.has_all = self.all > 0;
        lacks
    }

    /// Updates a pending stage. It stays pending if its last message is too recent for another one.
    pub(super) fn note_pending(
        &mut self,
        stage: &Arc<str>,
        shown: PublishedCount,
        now_mono_ms: u64,
    ) {
        let is_followed =
            self.all > 0 || self.entries.get(stage).is_some_and(StageEntry::has_subscribers);
        if !is_followed || self.update(stage, shown, now_mono_ms) {
            self.pending.remove(stage);
        }
    }

    /// Updates a stage. A change becomes a message if the last one is old enough.
    ///
    /// Returns false if there is a change that comes too early.
    pub(super) fn update(&mut self, stage: &str, shown: PublishedCount, now_mono_ms: u64) -> bool {
        if let Some(known) = self.entries.get(stage) {
            let says_the_same = known.shown.eq_for_subscribers(&shown);
            let every_ms = known.every_ms(self.events_per_second);
            if says_the_same || now_mono_ms < known.made_mono_ms + every_ms {
                return says_the_same;
            }
        }
        self.latest += 1;
        let message = LiveMessage {
            number: self.latest,
            epoch: self.epoch,
            shown: Some(shown),
            text: text(self.epoch, self.latest, stage, &shown, PublicCount::Exact),
        };
        match self.entries.get_key_value(stage) {
            Some((stage, entry)) => {
                self.by_number.remove(&entry.number());
                self.by_number.insert(self.latest, stage.clone());
            }
            None => {
                let stage: Arc<str> = stage.into();
                self.by_number.insert(self.latest, stage.clone());
                let sender = watch::channel(LiveMessage::default()).0;
                let (made_mono_ms, wanted_mono_ms) = (now_mono_ms, now_mono_ms);
                let entry =
                    StageEntry { shown, was_watched: false, made_mono_ms, wanted_mono_ms, sender };
                self.entries.insert(stage, entry);
                self.unwatched += 1;
            }
        }
        if let Some(entry) = self.entries.get_mut(stage) {
            if shown.count != Count::default() && !std::mem::replace(&mut entry.was_watched, true) {
                self.unwatched -= 1;
            }
            (entry.shown, entry.made_mono_ms) = (shown, now_mono_ms);
            entry.sender.send_replace(message);
        }
        true
    }

    /// Whether a subscriber may follow a stage with this count. Every stage that is known here or
    /// has viewers may be followed, and a limited number of others.
    pub(super) fn has_room_for(&self, stage: &str, shown: &PublishedCount) -> bool {
        let is_known =
            stage == ALL || shown.count != Count::default() || self.entries.contains_key(stage);
        is_known || self.unwatched < LIVE_EMPTY_STAGES_MAX
    }

    /// Returns a receiver of the stage's next messages, if the board has the stage.
    pub(super) fn follow(&self, stage: &str) -> Option<watch::Receiver<LiveMessage>> {
        self.entries.get(stage).map(|entry| entry.sender.subscribe())
    }

    /// Returns some of the messages after a number, in their order, and the number reached.
    pub(super) fn after(
        &self,
        number: u64,
        with_totals: bool,
        encoding: Encoding,
    ) -> Option<(Bytes, u64)> {
        let (mut text, mut reached) = (Vec::new(), number);
        for (number, stage) in self.by_number.range((Bound::Excluded(number), Bound::Unbounded)) {
            if text.len() >= LIVE_WRITE_BYTES {
                break;
            }
            reached = *number;
            if let Some(entry) = self.entries.get(stage)
                && (with_totals || **stage != *ALL)
            {
                // Only operators follow all stages.
                let message = encoding.of(&entry.sender.borrow(), stage, PublicCount::Exact);
                text.extend_from_slice(&message);
            }
        }
        (reached > number).then(|| (text.into(), reached))
    }

    /// Whether it is time to [`evict_idle`](Self::evict_idle).
    pub(super) fn is_to_forget(&self, now_mono_ms: u64) -> bool {
        now_mono_ms >= self.forgot_mono_ms + FORGET_EVERY_MS
    }

    /// Evicts stages without subscribers, and stages without viewers, after a while. Stages that
    /// never had viewers go at once.
    ///
    /// An evicted stage with viewers is missing when a subscriber of all stages continues from a
    /// number. So a new epoch begins.
    pub(super) fn evict_idle(&mut self, now_mono_ms: u64) {
        self.forgot_mono_ms = now_mono_ms;
        let is_old = |since: u64| now_mono_ms > since + LIVE_FORGET_MS;
        let mut has_forgotten = false;
        self.entries.retain(|_, entry| {
            if self.all > 0 || entry.has_subscribers() {
                entry.wanted_mono_ms = now_mono_ms;
            }
            let is_empty = entry.shown.count == Count::default();
            let is_recent =
                !(is_old(entry.wanted_mono_ms) || is_empty && is_old(entry.made_mono_ms));
            let stays = entry.has_subscribers() || is_recent && entry.was_watched;
            if !stays {
                self.unwatched -= usize::from(!entry.was_watched);
                self.by_number.remove(&entry.number());
                has_forgotten |= !is_empty;
            }
            stays
        });
        if has_forgotten {
            self.epoch = self.epoch.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
