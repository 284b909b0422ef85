//! Live counts for subscribers, encoded once for any number of them.
//!
//! A board holds the latest message of every stage that a subscriber follows. Messages are numbered
//! in the order in which they were made. `tasks::live_refresh` renews them from the hub. A
//! subscription only remembers the number that it has reached. So a slow reader skips to the latest
//! messages by itself. The memory of a node grows with stages, not with subscribers or beats.

mod latest;
mod message;
mod pending;
pub mod refresh;
mod subscription;

use std::sync::Arc;

use housecount_backend::rng;
use housecount_core::fold::Count;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::yield_now;

use self::latest::{LatestCounts, LiveMessage};
use self::message::ALL;
pub use self::message::Encoding as CountEncoding;
use self::pending::DueStages;
pub use self::subscription::{SeenCounts, Subscription, SubscriptionFilter};
use crate::hub::{CountStatus, Hub, WithStatus};

/// Contents of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedCount {
    /// Viewers and sessions online.
    pub count: Count,
    /// Number of stages with viewers, in the count of all stages together.
    pub stages: Option<u64>,
    /// Status of the count.
    pub status: CountStatus,
}

impl PublishedCount {
    fn of(answer: WithStatus<Count>) -> PublishedCount {
        PublishedCount { count: answer.value, stages: None, status: answer.status }
    }

    /// Whether a subscriber would see no difference. A later time alone is not one.
    fn eq_for_subscribers(&self, other: &PublishedCount) -> bool {
        let numbers = |shown: &PublishedCount| (shown.count, shown.stages);
        numbers(self) == numbers(other) && self.has_same_status(other)
    }

    fn has_same_status(&self, other: &PublishedCount) -> bool {
        let flags = |shown: &PublishedCount| (shown.status.complete, shown.status.recovering);
        flags(self) == flags(other)
    }
}

/// Source of live counts for all subscribers of this node.
#[derive(Debug)]
pub struct Live {
    hub: Arc<Hub>,
    board: Mutex<LatestCounts>,
    /// Number of the latest message of all.
    latest: watch::Sender<u64>,
    closed: watch::Sender<bool>,
}

impl Live {
    /// Creates a source without subscribers. `events_per_second` is the number of messages of a
    /// stage that all of its subscribers together are sent.
    #[must_use]
    pub fn new(hub: Arc<Hub>, events_per_second: u64) -> Live {
        let mut board = LatestCounts::new(rng::random::<u32>());
        board.events_per_second = events_per_second;
        let board = Mutex::new(board);
        Live { hub, board, latest: watch::channel(0).0, closed: watch::channel(false).0 }
    }

    /// Subscribes to stages.
    ///
    /// `last` is the id of the last message that the subscriber has; unchanged stages are not sent
    /// again. Returns `None` if no more stages without viewers can be followed
    /// (`LIVE_EMPTY_STAGES_MAX`).
    #[must_use]
    pub fn subscribe(
        self: &Arc<Live>,
        wanted: SubscriptionFilter,
        last: Option<&str>,
    ) -> Option<Subscription> {
        Subscription::new(self.clone(), wanted, last)
    }

    /// Makes new messages of the changes, at `now_mono_ms`.
    ///
    /// Stages are processed in slices, and other tasks of the thread run in between.
    pub async fn refresh(&self, now_mono_ms: u64) {
        self.mark_changed().await;
        let mut due: Option<DueStages> = None;
        loop {
            due = self.renew_some(due.as_ref(), now_mono_ms);
            if due.is_none() {
                break;
            }
            yield_now().await;
        }
        let mut board = self.board.lock();
        if board.is_to_forget(now_mono_ms) {
            board.evict_idle(now_mono_ms);
        }
        let latest = board.latest();
        drop(board);
        self.latest.send_if_modified(|known| std::mem::replace(known, latest) != latest);
    }

    /// Updates some of the changed stages, after those that were updated before.
    fn renew_some(&self, after: Option<&DueStages>, now_mono_ms: u64) -> Option<DueStages> {
        let mut board = self.board.lock();
        let due = board.pending.due(after, now_mono_ms)?;
        for stage in &due.stages {
            board.note_pending(stage, self.current(stage), now_mono_ms);
        }
        Some(due)
    }

    /// Marks the stages on the board that may have changed.
    async fn mark_changed(&self) {
        let status = self.hub.totals().status;
        let lacks_stages = {
            let mut board = self.board.lock();
            // Totals are checked each time, since they also change while counts are bridged.
            board.mark(ALL.into());
            board.note_trust(status)
        };
        loop {
            let changed = self.hub.take_changed_stages();
            if changed.is_empty() {
                break;
            }
            self.mark(changed);
            yield_now().await;
        }
        if lacks_stages {
            let known = self.hub.stages().await.value;
            self.mark(known.into_iter().map(|view| view.stage.into()));
        }
    }

    fn mark(&self, stages: impl IntoIterator<Item = Arc<str>>) {
        let mut board = self.board.lock();
        stages.into_iter().for_each(|stage| board.mark(stage));
    }

    /// Returns the current count of a stage, or for [`ALL`] that of all stages together.
    fn current(&self, stage: &str) -> PublishedCount {
        if stage != ALL {
            return PublishedCount::of(self.hub.count(stage));
        }
        let WithStatus { value: (count, stages), status } = self.hub.totals();
        PublishedCount { count, stages: Some(stages), status }
    }

    /// Number of subscribers.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.board.lock().subscribers()
    }

    /// Ends all subscriptions, because the node stops.
    pub fn end(&self) {
        self.closed.send_replace(true);
    }
}
