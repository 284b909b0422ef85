//! The board: the latest message of each stage, by its number.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use housecount_core::fold::Count;
use housecount_core::limits::{
    LIVE_EMPTY_STAGES_MAX, LIVE_EVERY_MS_MIN, LIVE_FORGET_MS, LIVE_WRITE_BYTES,
};
use tokio::sync::watch;

use super::PublishedCount;
use super::message::{ALL, text};
use super::pending::PendingStages;
use crate::hub::CountStatus;

/// Interval between two checks for entries to evict.
const FORGET_EVERY_MS: u64 = 1_000;
/// A message of the board.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveMessage {
    /// Number of the message; 0 before the first.
    pub(super) number: u64,
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
            if says_the_same || now_mono_ms < known.made_mono_ms + LIVE_EVERY_MS_MIN {
                return says_the_same;
            }
        }
        self.latest += 1;
        let message =
            LiveMessage { number: self.latest, text: text(self.epoch, self.latest, stage, &shown) };
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
    pub(super) fn after(&self, number: u64, with_totals: bool) -> Option<(Bytes, u64)> {
        let (mut text, mut reached) = (Vec::new(), number);
        for (number, stage) in self.by_number.range((Bound::Excluded(number), Bound::Unbounded)) {
            if text.len() >= LIVE_WRITE_BYTES {
                break;
            }
            reached = *number;
            if let Some(entry) = self.entries.get(stage)
                && (with_totals || **stage != *ALL)
            {
                text.extend_from_slice(&entry.sender.borrow().text);
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
mod tests {
    use housecount_core::time::UnixMs;
    use proptest::prelude::*;

    use super::super::pending::{LOOK_EVERY_MS, STAGES_PER_HOLD};
    use super::*;

    fn shown(viewers: u64) -> PublishedCount {
        let status = CountStatus { as_of: UnixMs(7), complete: true, recovering: false };
        PublishedCount { count: Count { viewers, sessions: viewers }, stages: None, status }
    }

    #[test]
    fn live_every_ms_min_is_kept_between_two_messages_of_a_stage() {
        let mut board = LatestCounts::new(1);
        board.update("s", shown(1), 5_000);
        let mut receiver = board.follow("s").unwrap();
        for (viewers, after_ms) in [(2, 1), (3, LIVE_EVERY_MS_MIN - 1)] {
            board.update("s", shown(viewers), 5_000 + after_ms);
        }
        assert!(!receiver.has_changed().unwrap());
        board.update("s", shown(4), 5_000 + LIVE_EVERY_MS_MIN);
        assert_eq!(receiver.borrow_and_update().number, 2);
        board.update("s", shown(4), 5_000 + 9 * LIVE_EVERY_MS_MIN);
        assert!(!receiver.has_changed().unwrap(), "an equal count sends nothing");
    }

    #[test]
    fn live_forget_ms_after_the_last_subscriber_all_is_evicted() {
        let mut board = LatestCounts::new(1);
        board.update("s", shown(1), 5_000);
        board.update("empty", shown(0), 5_000);
        let receiver = board.follow("s").unwrap();
        assert_eq!(board.number_of("00000001-2"), Some(2));
        board.update("emptied", shown(1), 5_000);
        board.update("emptied", shown(0), 6_000);
        board.evict_idle(6_000);
        assert!(board.follow("empty").is_none() && board.follow("emptied").is_some());
        board.evict_idle(6_001 + LIVE_FORGET_MS);
        assert!(board.follow("emptied").is_none() && board.number_of("00000001-2") == Some(2));
        drop(receiver);
        board.evict_idle(6_001 + LIVE_FORGET_MS);
        assert_eq!(
            board.number_of("00000001-2"),
            Some(2),
            "a disconnected subscriber can still resume"
        );
        board.evict_idle(6_002 + 2 * LIVE_FORGET_MS);
        assert!(board.follow("s").is_none() && board.by_number.is_empty());
        assert_eq!(board.number_of("00000001-2"), None, "a late subscriber can't resume");
        assert_eq!([board.number_of("00000002-2"), board.number_of("00000002-5")], [Some(2), None]);
        assert_eq!([board.number_of(""), board.number_of("x-1"), board.number_of("1-")], [None; 3]);
    }

    #[test]
    fn live_empty_stages_max_bounds_what_is_named_without_viewers() {
        let mut board = LatestCounts::new(1);
        let mut followed = Vec::new();
        for n in 0..LIVE_EMPTY_STAGES_MAX {
            let stage = n.to_string();
            assert!(board.has_room_for(&stage, &shown(0)));
            board.update(&stage, shown(0), 0);
            followed.push(board.follow(&stage).unwrap());
        }
        assert!(!board.has_room_for("one more", &shown(0)));
        for (stage, viewers) in [("watched", 1), ("7", 0), (ALL, 0)] {
            assert!(board.has_room_for(stage, &shown(viewers)), "{stage}");
        }
        // A stage that gets viewers makes room, and so does one without subscribers.
        board.update("7", shown(1), LIVE_EVERY_MS_MIN);
        assert!(board.has_room_for("one more", &shown(0)));
        board.update("one more", shown(0), LIVE_EVERY_MS_MIN);
        assert!(!board.has_room_for("another", &shown(0)));
        board.evict_idle(LIVE_EVERY_MS_MIN);
        assert!(board.has_room_for("another", &shown(0)));
        drop(followed);
        board.evict_idle(LIVE_EVERY_MS_MIN);
        assert_eq!(
            (board.unwatched, board.entries.len()),
            (0, 1),
            "only the watched entry is left"
        );
    }

    #[test]
    fn live_write_bytes_are_sent_at_once() {
        let mut board = LatestCounts::new(1);
        (0..2_000).for_each(|n| {
            board.update(&format!("stage-{n}"), shown(n), 0);
        });
        let (mut number, mut pieces) = (0, Vec::new());
        while let Some((text, reached)) = board.after(number, false) {
            (number, pieces) = (reached, [pieces, vec![text.len()]].concat());
        }
        assert_eq!(number, 2_000);
        let (last, full) = pieces.split_last().unwrap();
        let is_full = |bytes: &usize| (LIVE_WRITE_BYTES..LIVE_WRITE_BYTES + 512).contains(bytes);
        assert!(
            full.len() >= 2 && full.iter().all(is_full) && *last < LIVE_WRITE_BYTES,
            "{pieces:?}"
        );
    }

    fn looked_at(board: &mut LatestCounts, now_mono_ms: u64) -> Vec<String> {
        let (mut all, mut due) = (Vec::new(), None);
        while let Some(next) = board.pending.due(due.as_ref(), now_mono_ms) {
            all.extend(next.stages.iter().map(|stage| stage.to_string()));
            due = Some(next);
        }
        all
    }

    #[test]
    fn only_changed_stages_that_a_subscriber_follows_are_looked_at() {
        let (mut board, status) = (LatestCounts::new(1), shown(0).status);
        assert!(!board.note_trust(status));
        board.update("a", shown(1), 0);
        let receiver = board.follow("a").unwrap();
        board.mark("a".into());
        board.mark("b".into());
        assert_eq!(looked_at(&mut board, 1_000), ["a"], "no subscriber follows b");
        board.note_pending(&"a".into(), shown(2), LIVE_EVERY_MS_MIN - 1);
        assert_eq!(looked_at(&mut board, 1_001), ["a"], "the last message is too recent");
        board.note_pending(&"a".into(), shown(2), LIVE_EVERY_MS_MIN);
        assert!(looked_at(&mut board, 2_000).is_empty());
        assert_eq!(receiver.borrow().number, 2);
        // A subscriber of all stages gets those that the board lacked, once.
        board.count(true, true);
        assert!(board.note_trust(status));
        let stages: Vec<String> = (0..3 * STAGES_PER_HOLD).map(|n| format!("s{n:04}")).collect();
        stages.iter().for_each(|stage| board.mark(stage.as_str().into()));
        assert!(!board.note_trust(status));
        assert_eq!(looked_at(&mut board, 9_000), stages);
        assert!(
            looked_at(&mut board, 9_000 + LOOK_EVERY_MS - 1).is_empty(),
            "the next look is not due yet"
        );
        for stage in looked_at(&mut board, 9_000 + LOOK_EVERY_MS) {
            board.note_pending(&stage.as_str().into(), shown(1), 9_500);
        }
        assert!(looked_at(&mut board, 20_000).is_empty());
        // When counts become incomplete, every entry has a change to report.
        assert!(board.note_trust(CountStatus { complete: false, ..status }));
        assert_eq!(looked_at(&mut board, 30_000).len(), stages.len() + 1);
        board.count(false, true);
        drop(receiver);
        for stage in looked_at(&mut board, 40_000) {
            board.note_pending(&stage.as_str().into(), shown(9), 40_000);
        }
        assert!(board.pending.is_empty(), "no pending message without a subscriber");
    }

    proptest! {
        /// A subscriber that reads piece by piece, however slowly, ends with the latest of every
        /// stage. It gets nothing twice.
        #[test]
        fn slow_readers_skip_to_the_latest(
            notes in proptest::collection::vec((0..5u8, 0..4u64), 1..60), read_every in 1..20usize,
        ) {
            let mut board = LatestCounts::new(1);
            let (mut number, mut received) = (0, BTreeMap::new());
            let read = |board: &LatestCounts, number: &mut u64, received: &mut BTreeMap<u8, u64>| {
                while let Some((text, reached)) = board.after(*number, false) {
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    for message in text.split_terminator("\n\n") {
                        let data = message.split_once("data: ").unwrap().1;
                        let data: serde_json::Value = serde_json::from_str(data).unwrap();
                        let stage = data["stage"].as_str().unwrap().parse().unwrap();
                        received.insert(stage, data["viewers"].as_u64().unwrap());
                    }
                    assert!(reached > *number);
                    *number = reached;
                }
            };
            let mut latest = BTreeMap::new();
            for (n, (stage, viewers)) in notes.iter().enumerate() {
                board.update(&stage.to_string(), shown(*viewers), n as u64 * LIVE_EVERY_MS_MIN);
                latest.insert(*stage, *viewers);
                if n % read_every == 0 {
                    read(&board, &mut number, &mut received);
                }
            }
            read(&board, &mut number, &mut received);
            prop_assert_eq!(received, latest);
        }
    }
}
