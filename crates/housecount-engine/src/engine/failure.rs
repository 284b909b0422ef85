//! Failures of an engine's calls.

use housecount_backend::error::{ErrorKind, StoreError};

use crate::ingest::IngestError;
use crate::stages::StageClosed;

/// Reason why a call of an [`Engine`](super::Engine) failed.
///
/// ```
/// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
/// # use std::sync::Arc;
/// # #[tokio::main] async fn main() -> Result<(), EngineError> {
/// # let log = Arc::new(MemoryLog::default());
/// # let engine = Engine::start(Settings::default(), log, None).await?;
/// let bad = engine.beat(Ids { stage: "", viewer: "ann", session: "" }).await;
/// assert_eq!(bad.unwrap_err().to_string(), "stage is empty");
/// # engine.stop().await }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// An argument is not allowed: an id, a range with too many steps, or settings out of bounds.
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
