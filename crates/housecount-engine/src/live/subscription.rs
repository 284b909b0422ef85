//! A subscription: the stages that a subscriber follows, and the messages that it has read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use housecount_backend::clock::mono_ms;
use housecount_core::fold::Count;
use housecount_core::ids::StageId;
use housecount_core::public_count::PublicCount;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::message::{ALL, Encoding};
use super::{Live, LiveMessage, PublishedCount};

/// Time without a message after which a comment is sent. It keeps the connection open in proxies,
/// and detects a subscriber that is gone.
///
/// It is a quarter of the shortest timeout of proxies (nginx's and AWS ALB's default is 60 s,
/// 2026-10).
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A comment, which readers skip.
const KEEP_ALIVE_COMMENT: &[u8] = b": still here\n\n";
/// Makes the subscriber discard its counts, because this node can't tell what has changed since.
const RESET: &[u8] = b"event: reset\ndata: {}\n\n";

/// Stages that a subscriber follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionFilter {
    /// Some stages.
    Stages {
        /// The stages, at most `SUBSCRIPTION_STAGES_MAX`.
        stages: Vec<StageId>,
        /// Whether to send the totals of all stages, too.
        with_totals: bool,
    },
    /// All stages.
    All {
        /// Whether to send the totals of all stages, too.
        with_totals: bool,
    },
}

/// Rule for the view that a subscriber has of each stage's count. Without one, it is exact.
#[derive(Clone, Default)]
pub struct SeenCounts(Option<Arc<SeenRule>>);

/// Function from a stage to what is seen of its count.
type SeenRule = dyn Fn(&str) -> PublicCount + Send + Sync;

impl SeenCounts {
    /// Creates a rule, which is asked for each message.
    pub fn new(rule: impl Fn(&str) -> PublicCount + Send + Sync + 'static) -> SeenCounts {
        SeenCounts(Some(Arc::new(rule)))
    }

    fn of(&self, stage: &str) -> PublicCount {
        self.0.as_ref().map_or(PublicCount::Exact, |rule| rule(stage))
    }
}

impl fmt::Debug for SeenCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "SeenCounts(rule)" } else { "SeenCounts(all)" })
    }
}

/// One subscriber's filter, and the number of the last message that it has read.
#[derive(Debug)]
pub struct Subscription {
    live: Arc<Live>,
    from: MessageSource,
    latest: watch::Receiver<u64>,
    has_ended: watch::Receiver<bool>,
    /// Text to send before all else.
    first: Option<Bytes>,
    /// Whether the last call returned a message.
    has_sent: bool,
    wants_all: bool,
    encoding: Encoding,
    seen: SeenCounts,
    /// Least time between two returns of messages.
    every: Duration,
    /// When the next messages may be returned.
    not_before: Option<Instant>,
}

/// Source of messages.
#[derive(Debug)]
enum MessageSource {
    /// Each named stage.
    Stages(Vec<StageFeed>),
    /// The board, after a number. The receiver of totals keeps them updated as long as a subscriber
    /// follows them.
    Board { after: u64, totals: Option<watch::Receiver<LiveMessage>> },
}

/// A named stage's own channel.
#[derive(Debug)]
struct StageFeed {
    stage: Box<str>,
    messages: watch::Receiver<LiveMessage>,
    /// Number of the last message that was read.
    number: u64,
    /// Contents of that message, and what was seen of them, if it was sent on this subscription.
    sent: Option<(PublishedCount, PublicCount)>,
}

impl StageFeed {
    /// Takes the stage's message, if it has not been read yet. In the brief form, and where counts
    /// are not exact, a message that shows the same as the one before is left out.
    fn take(&mut self, encoding: Encoding, seen: &SeenCounts) -> Option<Bytes> {
        let seen = seen.of(&self.stage);
        let message = self.messages.borrow_and_update();
        if message.number <= self.number {
            return None;
        }
        self.number = message.number;
        let before = std::mem::replace(&mut self.sent, message.shown.map(|shown| (shown, seen)));
        let is_brief = encoding != Encoding::Full;
        let is_known = self.sent.zip(before).is_some_and(|((shown, seen), (sent, saw))| {
            let viewers = |count: Count, seen: PublicCount| seen.of(count.viewers);
            let sessions = |count: Count, seen: PublicCount| seen.of(count.sessions);
            viewers(shown.count, seen) == viewers(sent.count, saw)
                && (is_brief || sessions(shown.count, seen) == sessions(sent.count, saw))
                && shown.has_same_status(&sent)
        });
        let may_skip = *self.stage != *ALL && (is_brief || seen != PublicCount::Exact);
        if may_skip && is_known {
            return None;
        }
        Some(encoding.of(&message, &self.stage, seen))
    }
}

impl Subscription {
    /// Subscribes. Returns `None` if no more stages without viewers can be followed.
    pub(super) fn new(
        live: Arc<Live>,
        wanted: SubscriptionFilter,
        last: Option<&str>,
    ) -> Option<Subscription> {
        let wants_all = matches!(wanted, SubscriptionFilter::All { .. });
        let mut board = live.board.lock();
        let known = last.and_then(|id| board.number_of(id));
        let after = known.unwrap_or(0);
        let mut follow = |stage: &str| {
            // The stage may not have been updated for a while.
            let shown = live.current(stage);
            if board.has_room_for(stage, &shown) {
                board.update(stage, shown, mono_ms());
                board.follow(stage)
            } else {
                None
            }
        };
        let from = match &wanted {
            SubscriptionFilter::Stages { stages, with_totals } => {
                let totals = with_totals.then_some(ALL);
                let stages = stages.iter().map(StageId::as_str).chain(totals);
                MessageSource::Stages(
                    stages
                        .map(|stage| {
                            let messages = follow(stage)?;
                            Some(StageFeed {
                                stage: stage.into(),
                                messages,
                                number: after,
                                sent: None,
                            })
                        })
                        .collect::<Option<_>>()?,
                )
            }
            SubscriptionFilter::All { with_totals } => {
                let totals = if *with_totals { follow(ALL) } else { None };
                MessageSource::Board { after, totals }
            }
        };
        board.count(true, wants_all);
        drop(board);
        let first = (last.is_some() && known.is_none()).then(|| Bytes::from_static(RESET));
        let (latest, has_ended) = (live.latest.subscribe(), live.closed.subscribe());
        Some(Subscription {
            live,
            from,
            latest,
            has_ended,
            first,
            has_sent: false,
            wants_all,
            encoding: Encoding::Full,
            seen: SeenCounts::default(),
            every: Duration::ZERO,
            not_before: None,
        })
    }

    /// Sets what the subscriber sees of each stage's count.
    pub fn set_seen(&mut self, seen: SeenCounts) {
        self.seen = seen;
    }

    /// Sets the form of messages, and the least time between two returns of them.
    pub fn set_pace(&mut self, encoding: Encoding, every: Duration) {
        (self.encoding, self.every) = (encoding, every);
    }

    /// Waits for the next messages, or returns a comment after a while without any; `None` when the
    /// node stops.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if *self.has_ended.borrow() {
                return None;
            }
            // A piece has just been sent, and the next may be ready. Other tasks of this thread
            // come first.
            if std::mem::take(&mut self.has_sent) {
                yield_now().await;
            }
            if let Some(wait) = self.not_before.take().map(|at| at - Instant::now())
                && !wait.is_zero()
            {
                tokio::select! {
                    biased;
                    _ = self.has_ended.changed() => return None,
                    () = sleep(wait) => {}
                }
            }
            // Marked as seen before the check, so that later messages wake this task.
            self.latest.mark_unchanged();
            if let Some(text) = self.first.take().or_else(|| self.take()) {
                self.has_sent = true;
                self.not_before = (!self.every.is_zero()).then(|| Instant::now() + self.every);
                return Some(text);
            }
            let changed = tokio::select! {
                biased;
                _ = self.has_ended.changed() => return None,
                changed = timeout(KEEP_ALIVE, changed(&mut self.from, &mut self.latest)) => changed,
            };
            if changed.is_err() {
                return Some(Bytes::from_static(KEEP_ALIVE_COMMENT));
            }
        }
    }

    /// Takes some or all of the messages that have not been read yet.
    fn take(&mut self) -> Option<Bytes> {
        match &mut self.from {
            MessageSource::Stages(stages) => {
                let mut text = BytesMut::new();
                for feed in stages {
                    text.extend(feed.take(self.encoding, &self.seen));
                }
                (!text.is_empty()).then(|| text.freeze())
            }
            MessageSource::Board { after, totals } => loop {
                let (text, reached) =
                    self.live.board.lock().after(*after, totals.is_some(), self.encoding)?;
                *after = reached;
                if !text.is_empty() {
                    return Some(text);
                }
            },
        }
    }
}

/// Waits until there may be a message.
///
/// One stage has its own channel, so that most subscribers aren't woken by other stages.
async fn changed(from: &mut MessageSource, latest: &mut watch::Receiver<u64>) {
    let changed = match from {
        MessageSource::Stages(stages) if stages.len() == 1 => stages[0].messages.changed().await,
        _ => latest.changed().await,
    };
    if changed.is_err() {
        // No sender is left, so only the node's end is awaited.
        std::future::pending::<()>().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.board.lock().count(false, self.wants_all);
    }
}
