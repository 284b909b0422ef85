//! An engine in the caller's own process: the whole face of this crate.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_backend::log::Log;
use housecount_core::event::EventKind;
use housecount_core::fold::{Count, Ids, StageView};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::ledger::curve::Step;
use housecount_core::ledger::watch::{WatchFilter, WatchTime};
use housecount_core::limits::{HISTORY_STEPS_MAX, VIEWERS_PER_HOLD_MAX};
use housecount_core::span::Span;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{EngineRunner, EngineState, Settings};
use crate::cold::WatchedCold;
use crate::hub::WithStatus;
use crate::ingest::{IngestError, UnstampedEvent};
use crate::ledger::scan;
use crate::live::{Subscription, SubscriptionFilter};
use crate::stages::StageClosed;

/// Reason why a call of an [`Engine`] failed.
///
/// ```
/// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
/// # #[tokio::main] async fn main() -> Result<(), EngineError> {
/// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
/// let bad = engine.beat(Ids { stage: "", viewer: "ann", session: "" }).await;
/// assert_eq!(bad.unwrap_err().to_string(), "stage is empty");
/// # engine.stop().await }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// An argument is not allowed: an id, or a range with too many steps.
    #[error("{0}")]
    Invalid(String),
    /// The event was not taken, or the log has not taken it in time. After the latter it may still
    /// be counted. Send it again: an event that is counted twice counts once.
    #[error("{0}")]
    NotTaken(String),
    /// The stage is not configured, and `stages_auto` is off.
    #[error("the stage {0} is not configured, and stages_auto is off")]
    StageClosed(String),
    /// The engine has no cold tier, which this call reads.
    #[error("the engine was started without a cold tier, so it keeps no watch time")]
    NoColdTier,
    /// A store failed. [`StoreError::kind`] tells whether a retry may succeed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<IngestError> for EngineError {
    fn from(error: IngestError) -> EngineError {
        EngineError::NotTaken(match error {
            IngestError::Starting => "the engine is starting".to_string(),
            IngestError::QueueFull => "too many events wait for the log".to_string(),
            IngestError::AppendPending => "the log has not taken the event in time".to_string(),
            IngestError::NotTaken => "the log refuses events".to_string(),
            IngestError::Stopping => "the engine is stopping".to_string(),
        })
    }
}

impl From<StageClosed> for EngineError {
    fn from(closed: StageClosed) -> EngineError {
        match closed {
            StageClosed::NotConfigured(stage) => EngineError::StageClosed(stage.to_string()),
            StageClosed::Unknown(why) => StoreError::new(ErrorKind::Unavailable, why).into(),
        }
    }
}

/// Figures of a range of time, and the part of it that is final.
///
/// Figures up to [`committed_to`](Committed::committed_to) never change any more. Later ones may
/// still grow.
///
/// ```
/// use housecount_engine::{Committed, UnixMs};
///
/// let watched = Committed { value: 5_000, committed_to: UnixMs(1_790_000_000_000) };
/// assert_eq!((watched.value, watched.committed_to.0), (5_000, 1_790_000_000_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The figures.
    pub value: T,
    /// Time up to which the ledger has the range; zero if nothing is committed yet.
    pub committed_to: housecount_core::time::UnixMs,
}

/// Counts of one stage, as they change. Made by [`Engine::subscribe`].
///
/// ```
/// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
/// # #[tokio::main] async fn main() -> Result<(), EngineError> {
/// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
/// let mut counts = engine.subscribe("show")?;
/// assert_eq!(counts.next().await.map(|count| count.value.viewers), Some(0));
/// engine.beat(Ids { stage: "show", viewer: "ann", session: "tab-1" }).await?;
/// assert_eq!(counts.next().await.map(|count| count.value.viewers), Some(1));
/// # engine.stop().await }
/// ```
#[derive(Debug)]
pub struct CountUpdates {
    state: Arc<EngineState>,
    stage: StageId,
    messages: Subscription,
    last: Option<WithStatus<Count>>,
}

impl CountUpdates {
    /// Waits until the count, or its completeness, differs from the last one, and returns it. The
    /// first call returns at once. Changes that come close together are one. Returns `None` when the
    /// engine stops.
    pub async fn next(&mut self) -> Option<WithStatus<Count>> {
        loop {
            self.messages.next().await?;
            let count = self.state.hub.count(self.stage.as_str());
            let is_news = self.last.as_ref().is_none_or(|last| {
                (last.value, last.status.complete) != (count.value, count.status.complete)
            });
            if is_news {
                self.last = Some(count.clone());
                return Some(count);
            }
        }
    }
}

/// A running engine.
///
/// It counts viewers from their heartbeats and proves their watch time. It is one node: any number
/// of engines and of `housecount` nodes may follow the same log, and all answer alike. A drop stops
/// it in the background; [`stop`](Engine::stop) waits until it has stopped.
///
/// ```
/// use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
///
/// # #[tokio::main] async fn main() -> Result<(), EngineError> {
/// let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
/// let ann = Ids { stage: "show", viewer: "ann", session: "tab-1" };
/// let next = engine.beat(ann).await?;
/// assert!(next.as_secs() <= 30, "a player sends its next heartbeat after {next:?}");
///
/// let count = engine.count("show");
/// assert_eq!(count.value.viewers, 1);
/// assert!(count.status.complete);
/// engine.stop().await
/// # }
/// ```
#[derive(Debug)]
pub struct Engine {
    state: Arc<EngineState>,
    /// A drop of this sender stops the engine.
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), StoreError>>,
}

impl Engine {
    /// Starts an engine over a log, and over a cold tier if watch time is to be kept. Returns once
    /// the log has been read to its end, so that counts are complete.
    ///
    /// It waits without a limit for a store that can't be reached. A drop of the future ends the
    /// wait.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// let settings = Settings { interval_ms: 10_000, ..Settings::default() };
    /// let engine = Engine::start(settings, MemoryLog::default(), None).await?;
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Store`] for an error of a store that a retry can't fix.
    pub async fn start(
        settings: Settings,
        log: impl Into<Arc<dyn Log>>,
        cold: Option<Arc<dyn Cold>>,
    ) -> Result<Engine, EngineError> {
        let cold = cold.map(|cold| Arc::new(WatchedCold::new(cold)) as Arc<dyn Cold>);
        let runner = EngineRunner::new(settings, log.into(), cold);
        let state = runner.state.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // A dropped sender asks for the same.
            let _ = stopped.await;
        };
        let mut running = tokio::spawn(runner.run_alone(shutdown));
        tokio::select! {
            biased;
            () = state.readiness.finished() => Ok(Engine { state, stop, running }),
            ended = &mut running => Err(outcome(ended).err().unwrap_or_else(ended_early)),
        }
    }

    /// Takes a heartbeat of a player. Returns once the log has it, with the time after which the
    /// player should send its next one.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// let next = engine.beat(Ids { stage: "show", viewer: "ann", session: "tab-1" }).await?;
    /// println!("next heartbeat in {next:?}");
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for an id that is not allowed, [`EngineError::StageClosed`],
    /// or [`EngineError::NotTaken`].
    pub async fn beat(&self, ids: Ids<'_>) -> Result<Duration, EngineError> {
        let stage = checked(ids)?;
        self.state.stages.check_open(&stage).await?;
        self.submit(EventKind::Beat, ids).await
    }

    /// Takes the leave of a player: its session, or all sessions of the viewer on the stage if the
    /// session is empty. The viewer is offline after `leave_grace`, unless another session of the
    /// viewer is on the stage.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// engine.leave(Ids { stage: "show", viewer: "ann", session: "tab-1" }).await?;
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for an id that is not allowed, or [`EngineError::NotTaken`].
    pub async fn leave(&self, ids: Ids<'_>) -> Result<(), EngineError> {
        checked(ids)?;
        self.submit(EventKind::Leave, ids).await.map(drop)
    }

    async fn submit(&self, kind: EventKind, ids: Ids<'_>) -> Result<Duration, EngineError> {
        let Ids { stage, viewer, session } = ids;
        let event = UnstampedEvent { kind, stage, viewer, session };
        let ack = self.state.ingest.enqueue(event, false)?;
        ack.wait().await?;
        Ok(Duration::from_millis(self.state.next_beat_ms(&ack)))
    }

    /// Returns the online viewers and sessions of a stage.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// let count = engine.count("show");
    /// println!("{} viewers as of {}", count.value.viewers, count.status.as_of);
    /// # engine.stop().await }
    /// ```
    #[must_use]
    pub fn count(&self, stage: &str) -> WithStatus<Count> {
        self.state.hub.count(stage)
    }

    /// Returns the online viewers and sessions of all stages together. A viewer of two stages counts
    /// once.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// assert_eq!(engine.total().value.viewers, 0);
    /// # engine.stop().await }
    /// ```
    #[must_use]
    pub fn total(&self) -> WithStatus<Count> {
        let WithStatus { value: (count, _), status } = self.state.hub.totals();
        WithStatus { value: count, status }
    }

    /// Returns all stages with their counts and peaks, sorted by id.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// engine.beat(Ids { stage: "show", viewer: "ann", session: "" }).await?;
    /// for stage in engine.stages().await.value {
    ///     println!("{}: {} viewers, {} at most", stage.stage, stage.count.viewers, stage.peak);
    /// }
    /// # engine.stop().await }
    /// ```
    pub async fn stages(&self) -> WithStatus<Vec<StageView>> {
        self.state.hub.stages().await
    }

    /// Returns the online viewers of a stage, each once.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// engine.beat(Ids { stage: "show", viewer: "ann", session: "" }).await?;
    /// assert_eq!(engine.viewers("show").await.value, ["ann"]);
    /// # engine.stop().await }
    /// ```
    pub async fn viewers(&self, stage: &str) -> WithStatus<Vec<String>> {
        let page = |after: Option<&str>| {
            self.state.hub.viewers_of(stage, after, VIEWERS_PER_HOLD_MAX)
        };
        let WithStatus { value: mut slice, mut status } = page(None);
        let mut viewers: Vec<String> = Vec::new();
        while !slice.is_empty() {
            viewers.extend(slice.into_iter().map(|view| view.viewer));
            tokio::task::yield_now().await;
            let next = page(viewers.last().map(String::as_str));
            (slice, status) = (next.value, status.worse(next.status));
        }
        WithStatus { value: viewers, status }
    }

    /// Subscribes to the count of a stage.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// let mut counts = engine.subscribe("show")?;
    /// if let Some(count) = counts.next().await {
    ///     println!("{} viewers", count.value.viewers);
    /// }
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for an id that is not allowed, or if no more stages without
    /// viewers can be followed (`LIVE_EMPTY_STAGES_MAX`).
    pub fn subscribe(&self, stage: &str) -> Result<CountUpdates, EngineError> {
        let stage = StageId::parse(stage).map_err(invalid)?;
        let wanted =
            SubscriptionFilter::Stages { stages: vec![stage.clone()], with_totals: false };
        let messages = self.state.live.subscribe(wanted, None).ok_or_else(|| {
            EngineError::Invalid("too many stages without viewers are followed".to_string())
        })?;
        Ok(CountUpdates { state: self.state.clone(), stage, messages, last: None })
    }

    /// Returns the proven watch time of each viewer of a stage within a range, sorted by viewer.
    ///
    /// ```no_run
    /// # use housecount_engine::{Engine, EngineError, Span, UnixMs};
    /// # async fn example(engine: Engine) -> Result<(), EngineError> {
    /// let day = Span::new(UnixMs(1_790_035_200_000), UnixMs(1_790_121_600_000));
    /// let watched = engine.watch("show", day).await?;
    /// for (viewer, time) in watched.value {
    ///     println!("{viewer}: {} ms", time.watch_ms);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::NoColdTier`], or the error of the cold tier.
    pub async fn watch(
        &self,
        stage: &str,
        range: Span,
    ) -> Result<Committed<Vec<(String, WatchTime)>>, EngineError> {
        let (cold, proofs) = self.ledger()?;
        let wanted = WatchFilter { stage: Some(stage.to_string()), ..WatchFilter::default() };
        let page = async move { scan::watch(&cold, &proofs, range, wanted, usize::MAX).await };
        let page = self.state.scans.run(page).await?;
        let rows = page.rows.into_iter().map(|((_, viewer), time)| (viewer.into(), time));
        Ok(Committed { value: rows.collect(), committed_to: page.committed_to })
    }

    /// Returns the concurrent viewers of a stage within a range, in steps.
    ///
    /// ```no_run
    /// # use housecount_engine::{Engine, EngineError, Span, UnixMs};
    /// # use std::time::Duration;
    /// # async fn example(engine: Engine) -> Result<(), EngineError> {
    /// let day = Span::new(UnixMs(1_790_035_200_000), UnixMs(1_790_121_600_000));
    /// let history = engine.history("show", day, Duration::from_secs(3_600)).await?;
    /// for step in history.value {
    ///     println!("from {}: {} to {} viewers", step.span.from, step.min, step.max);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for more than [`HISTORY_STEPS_MAX`] steps,
    /// [`EngineError::NoColdTier`], or the error of the cold tier.
    pub async fn history(
        &self,
        stage: &str,
        range: Span,
        step: Duration,
    ) -> Result<Committed<Vec<Step>>, EngineError> {
        let (cold, proofs) = self.ledger()?;
        let step_ms = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
        let steps = range.ms().div_ceil(step_ms);
        if steps > HISTORY_STEPS_MAX {
            let text = format!("the range has {steps} steps; at most {HISTORY_STEPS_MAX} are allowed");
            return Err(EngineError::Invalid(text));
        }
        let stage = stage.to_string();
        let read = async move { scan::history(&cold, &proofs, range, step_ms, Some(&stage)).await };
        let (value, committed_to) = self.state.scans.run(read).await?;
        Ok(Committed { value, committed_to })
    }

    fn ledger(&self) -> Result<(Arc<dyn Cold>, Arc<crate::ledger::Proofs>), EngineError> {
        let state = &self.state;
        state.reads.clone().zip(state.proofs.clone()).ok_or(EngineError::NoColdTier)
    }

    /// Stops in order: events that were taken are appended, the ledger is committed as far as it
    /// can be, and the stores are closed.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let engine = Engine::start(Settings::default(), MemoryLog::default(), None).await?;
    /// engine.stop().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the permanent error of a store that has ended the engine before.
    pub async fn stop(self) -> Result<(), EngineError> {
        drop(self.stop);
        outcome(self.running.await)
    }
}

/// Checks the ids of an event. Returns the stage.
fn checked(ids: Ids<'_>) -> Result<StageId, EngineError> {
    ViewerId::check(ids.viewer).map_err(invalid)?;
    SessionId::check(ids.session).map_err(invalid)?;
    StageId::parse(ids.stage).map_err(invalid)
}

fn invalid(error: housecount_core::ids::IdError) -> EngineError {
    EngineError::Invalid(error.to_string())
}

fn outcome(
    ended: Result<Result<(), StoreError>, tokio::task::JoinError>,
) -> Result<(), EngineError> {
    Ok(ended.map_err(|e| StoreError::caused(ErrorKind::Unavailable, "running the engine", e))??)
}

fn ended_early() -> EngineError {
    EngineError::NotTaken("the engine is stopping".to_string())
}
