//! Counts of a stage as they change.

use std::sync::Arc;

use housecount_core::fold::Count;
use housecount_core::ids::StageId;

use super::EngineState;
use crate::hub::WithStatus;
use crate::live::Subscription;

/// Counts of one stage, as they change. Made by
/// [`Engine::subscribe`](super::Engine::subscribe).
///
/// ```
/// # use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
/// # use std::sync::Arc;
/// # #[tokio::main] async fn main() -> Result<(), EngineError> {
/// # let log = Arc::new(MemoryLog::default());
/// # let engine = Engine::start(Settings::default(), log, None).await?;
/// let mut counts = engine.subscribe("show")?;
/// assert_eq!(counts.next().await.map(|count| count.value.viewers), Some(0));
/// engine.beat(Ids { stage: "show", viewer: "ann", session: "tab-1" }).await?;
/// assert_eq!(counts.next().await.map(|count| count.value.viewers), Some(1));
/// # engine.stop().await }
/// ```
#[derive(Debug)]
pub struct CountUpdates {
    pub(super) state: Arc<EngineState>,
    pub(super) stage: StageId,
    pub(super) messages: Subscription,
    pub(super) last: Option<WithStatus<Count>>,
}

impl CountUpdates {
    /// Waits until the count, `complete` or `recovering` differs from the last one, and returns it.
    ///
    /// The first call returns at once. Changes that come close together are one. Returns `None`
    /// when the engine stops.
    pub async fn next(&mut self) -> Option<WithStatus<Count>> {
        loop {
            self.messages.next().await?;
            let count = self.state.hub.count(self.stage.as_str());
            let is_news = self.last.as_ref().is_none_or(|last| {
                let shown = |count: &WithStatus<Count>| {
                    (count.value, count.status.complete, count.status.recovering)
                };
                shown(last) != shown(&count)
            });
            if is_news {
                self.last = Some(count.clone());
                return Some(count);
            }
        }
    }
}
