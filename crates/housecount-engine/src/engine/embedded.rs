//! An engine in the caller's own process: the public API of this crate.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::cold::Cold;
use housecount_backend::cold::WatchedCold;
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_backend::log::Log;
use housecount_core::event::{EventKind, SessionLabels};
use housecount_core::fold::{Count, Ids, StageView};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::limits::{HISTORY_STEPS_MAX, VIEWERS_PER_HOLD_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::curve::Step;
use housecount_ledger::watch::{WatchFilter, WatchTime};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

use super::{CountUpdates, EngineError, EngineRunner, EngineState, Settings};
use crate::hub::WithStatus;
use crate::ingest::UnstampedEvent;
use crate::ledger::{Proofs, scan};
use crate::live::SubscriptionFilter;

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
    pub committed_to: UnixMs,
}

/// A running engine.
///
/// It counts viewers from their heartbeats and proves their watch time. It is one node: any number
/// of engines and of `housecount` nodes may follow the same log, and all answer alike. A drop stops
/// it in the background; [`stop`](Engine::stop) waits until it has stopped.
///
/// ```
/// use std::sync::Arc;
///
/// use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
///
/// # #[tokio::main] async fn main() -> Result<(), EngineError> {
/// let engine = Engine::start(Settings::default(), Arc::new(MemoryLog::default()), None).await?;
/// let ann = Ids { stage: "show", viewer: "ann", session: "tab-1" };
/// let next = engine.beat(ann).await?;
/// assert!(next.as_secs() < 60, "about 30 s later a player sends its next heartbeat");
///
/// let count = engine.count("show");
/// assert_eq!(count.value.viewers, 1);
/// // A log in memory does not know who was online before. So counts are complete after `ttl_ms`.
/// assert!(!count.status.complete);
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
    /// the log has been read to its end, so that counts have all that is in it.
    ///
    /// It waits without a limit for a store that can't be reached. A drop of the future ends the
    /// wait.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// let settings = Settings { interval_ms: 10_000, ..Settings::default() };
    /// let engine = Engine::start(settings, Arc::new(MemoryLog::default()), None).await?;
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for settings out of bounds. Returns [`EngineError::Store`]
    /// for an error of a store that a retry can't fix.
    pub async fn start(
        settings: Settings,
        log: Arc<dyn Log>,
        cold: Option<Arc<dyn Cold>>,
    ) -> Result<Engine, EngineError> {
        settings.check(cold.is_some()).map_err(EngineError::Invalid)?;
        let cold = cold.map(|cold| Arc::new(WatchedCold::new(cold)) as Arc<dyn Cold>);
        let runner = EngineRunner::new(settings, log, cold);
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
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
    /// let next = engine.beat(Ids { stage: "show", viewer: "ann", session: "tab-1" }).await?;
    /// let header = ("X-Next-Ms", next.as_millis().to_string());
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for an id that is not allowed,
    /// [`EngineError::StageClosed`], or [`EngineError::NotTaken`].
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
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
    /// engine.leave(Ids { stage: "show", viewer: "ann", session: "tab-1" }).await?;
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for an id that is not allowed, or
    /// [`EngineError::NotTaken`].
    pub async fn leave(&self, ids: Ids<'_>) -> Result<(), EngineError> {
        checked(ids)?;
        self.submit(EventKind::Leave, ids).await.map(drop)
    }

    async fn submit(&self, kind: EventKind, ids: Ids<'_>) -> Result<Duration, EngineError> {
        let event = UnstampedEvent { kind, ids, labels: SessionLabels::NONE };
        let ack = self.state.ingest.enqueue(event, false)?;
        ack.wait().await?;
        Ok(Duration::from_millis(self.state.next_beat_ms(&ack)))
    }

    /// Returns the online viewers and sessions of a stage.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
    /// let count = engine.count("show");
    /// let text = format!("{} viewers as of {}", count.value.viewers, count.status.as_of);
    /// # engine.stop().await }
    /// ```
    #[must_use]
    pub fn count(&self, stage: &str) -> WithStatus<Count> {
        self.state.hub.count(stage)
    }

    /// Returns the online viewers and sessions of all stages together. A viewer of two stages
    /// counts once.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
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
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
    /// engine.beat(Ids { stage: "show", viewer: "ann", session: "" }).await?;
    /// let stages = engine.stages().await.value;
    /// assert_eq!((stages[0].stage.as_str(), stages[0].count.viewers), ("show", 1));
    /// # engine.stop().await }
    /// ```
    pub async fn stages(&self) -> WithStatus<Vec<StageView>> {
        self.state.hub.stages().await
    }

    /// Returns the online viewers of a stage, each once.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
    /// engine.beat(Ids { stage: "show", viewer: "ann", session: "" }).await?;
    /// assert_eq!(engine.viewers("show").await.value, ["ann"]);
    /// # engine.stop().await }
    /// ```
    pub async fn viewers(&self, stage: &str) -> WithStatus<Vec<String>> {
        let hub = &self.state.hub;
        loop {
            let order = hub.list_order();
            let mut page = hub.viewers_of(stage, None, VIEWERS_PER_HOLD_MAX);
            let mut slice_rows = page.value.len();
            while slice_rows == VIEWERS_PER_HOLD_MAX {
                yield_now().await;
                let after = page.value.last().map(|view| view.id.as_str());
                let next = hub.viewers_of(stage, after, VIEWERS_PER_HOLD_MAX);
                slice_rows = next.value.len();
                page.value.extend(next.value);
                page.status = page.status.worse(next.status);
            }
            // A lost log has changed the order, so viewers may be missing. Start again.
            if order == hub.list_order() {
                let ids = page.value.into_iter().map(|view| view.id).collect();
                return WithStatus { value: ids, status: page.status };
            }
        }
    }

    /// Subscribes to the count of a stage.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
    /// let mut counts = engine.subscribe("show")?;
    /// assert_eq!(counts.next().await.map(|count| count.value.viewers), Some(0));
    /// # engine.stop().await }
    /// ```
    ///
    /// # Errors
    /// Returns [`EngineError::Invalid`] for an id that is not allowed, or if no more stages without
    /// viewers can be followed (`LIVE_EMPTY_STAGES_MAX`).
    pub fn subscribe(&self, stage: &str) -> Result<CountUpdates, EngineError> {
        let stage = StageId::parse(stage).map_err(invalid)?;
        let wanted = SubscriptionFilter::Stages { stages: vec![stage.clone()], with_totals: false };
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
    /// let sum_ms: u64 = watched.value.iter().map(|(_, time)| time.watch_ms).sum();
    /// let is_final = watched.committed_to >= day.to;
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
    /// let peak = history.value.iter().map(|step| step.max).max();
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
            let text =
                format!("the range has {steps} steps; at most {HISTORY_STEPS_MAX} are allowed");
            return Err(EngineError::Invalid(text));
        }
        let stage = stage.to_string();
        let read = async move { scan::history(&cold, &proofs, range, step_ms, Some(&stage)).await };
        let (value, committed_to) = self.state.scans.run(read).await?;
        Ok(Committed { value, committed_to })
    }

    fn ledger(&self) -> Result<(Arc<dyn Cold>, Arc<Proofs>), EngineError> {
        let state = &self.state;
        state.reads.clone().zip(state.proofs.clone()).ok_or(EngineError::NoColdTier)
    }

    /// Stops in order: events that were taken are appended, the ledger is committed as far as it
    /// can be, and the stores are closed.
    ///
    /// ```
    /// # use housecount_engine::{Engine, EngineError, MemoryLog, Settings};
    /// # use std::sync::Arc;
    /// # #[tokio::main] async fn main() -> Result<(), EngineError> {
    /// # let log = Arc::new(MemoryLog::default());
    /// # let engine = Engine::start(Settings::default(), log, None).await?;
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
