//! Live: the counts that subscribers are told, encoded once however many there are.
//!
//! A board holds the latest message of every stage that somebody wants to hear of, numbered in the
//! order in which they were made. `tasks::show` renews it from the hub; a subscription remembers
//! the number it has come to, and nothing else. So a slow reader skips to the latest by itself, and
//! what a node holds grows with stages, not with subscribers or beats.

mod latest;
mod message;
mod pending;
mod subscription;

use std::sync::Arc;

use housecount_core::fold::Count;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::yield_now;

use self::latest::{LatestCounts, LiveMessage};
use self::message::ALL;
use self::pending::Due;
pub use self::subscription::{Subscription, SubscriptionFilter};
use crate::hub::{CountStatus, Hub, WithStatus};
use crate::rng;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedCount {
    /// Who is online.
    pub count: Count,
    /// Stages with somebody online, where all are counted together.
    pub stages: Option<u64>,
    /// How far it can be trusted.
    pub standing: CountStatus,
}

impl PublishedCount {
    fn of(answer: WithStatus<Count>) -> PublishedCount {
        PublishedCount { count: answer.value, stages: None, standing: answer.standing }
    }

    /// Whether a subscriber would see something else; that time has gone on is nothing.
    fn eq_for_subscribers(&self, other: &PublishedCount) -> bool {
        let fields = |shown: &PublishedCount| {
            (shown.count, shown.stages, shown.standing.complete, shown.standing.recovering)
        };
        fields(self) == fields(other)
    }
}

/// Source of live counts for all subscribers of this node.
#[derive(Debug)]
pub struct Live {
    hub: Arc<Hub>,
    board: Mutex<LatestCounts>,
    /// The number of the latest message of all.
    latest: watch::Sender<u64>,
    closed: watch::Sender<bool>,
}

impl Live {
    /// Nobody listens yet.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Live {
        let board = Mutex::new(LatestCounts::new(rng::random::<u32>()));
        Live { hub, board, latest: watch::channel(0).0, closed: watch::channel(false).0 }
    }

    /// Subscribes. A subscriber that was told up to `last`, as a message's id says it, isn't told
    /// again what hasn't changed since. `None` where no more stages without viewers can be followed
    /// (`LIVE_EMPTY_STAGES_MAX`).
    #[must_use]
    pub fn subscribe(
        self: &Arc<Live>,
        wanted: SubscriptionFilter,
        last: Option<&str>,
    ) -> Option<Subscription> {
        Subscription::new(self.clone(), wanted, last)
    }

    /// Makes new messages of what has changed, at `now_mono_ms`. Stages are looked at in slices,
    /// and other tasks of the thread get their turn in between.
    pub async fn refresh(&self, now_mono_ms: u64) {
        self.mark_changed().await;
        let mut due: Option<Due> = None;
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

    /// Looks at some of the changed stages, after those that were looked at before.
    fn renew_some(&self, after: Option<&Due>, now_mono_ms: u64) -> Option<Due> {
        let mut board = self.board.lock();
        let due = board.pending.due(after, now_mono_ms)?;
        for stage in &due.stages {
            board.note_pending(stage, self.current(stage), now_mono_ms);
        }
        Some(due)
    }

    /// Tells the board which stages may have changed.
    async fn mark_changed(&self) {
        let standing = self.hub.totals().standing;
        let lacks_stages = {
            let mut board = self.board.lock();
            // Totals are looked at each time: they also change while counts are bridged.
            board.mark(ALL.into());
            board.note_trust(standing)
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

    /// What is to be said of a stage now; of [`ALL`], of all together.
    fn current(&self, stage: &str) -> PublishedCount {
        if stage != ALL {
            return PublishedCount::of(self.hub.count(stage));
        }
        let WithStatus { value: (count, stages), standing } = self.hub.totals();
        PublishedCount { count, stages: Some(stages), standing }
    }

    /// How many listen.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.board.lock().subscribers()
    }

    /// Ends all subscriptions: the node stops.
    pub fn end(&self) {
        self.closed.send_replace(true);
    }
}
