//! An operator who creates, changes and deletes stage configurations at any node during faults, and
//! the check of the result.
//!
//! During the run, the cold tier's server checks that no version applies to committed time
//! (`world::cold`).

use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::rng;
use housecount_core::ids::StageId;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_engine::internals::ChangeError;
use housecount_engine::internals::EngineState;
use housecount_engine::internals::history;

use crate::active_faults::advance;
use crate::nodes::Nodes;
use crate::world::World;

/// Pause between two changes, in ms.
const PAUSE_MS: std::ops::Range<u64> = 1_000..180_000;
/// Longest pause of a process between its read of the clock and its change. It exceeds a window and
/// a ttl.
const STILL_MS: u64 = 10 * 60_000;
/// Number of customers that stages can belong to.
const CUSTOMERS: u32 = 3;

/// Changes configurations until `ends_ms`.
pub async fn operate(world: Arc<World>, nodes: Arc<Nodes>, ends_ms: u64) {
    loop {
        advance(rng::random_range(PAUSE_MS)).await;
        if world.now_ms() >= ends_ms {
            return;
        }
        let stage = format!("stage-{}", rng::random_range(0..world.plan.stages));
        let number = rng::random_range(0..world.plan.nodes);
        let (Some((node, run)), Ok(id)) = (nodes.get(number), StageId::parse(&stage)) else {
            continue;
        };
        let changed = change(&node, &id).await;
        let from = changed.as_ref().ok().and_then(|(_, from)| *from);
        world.digest(|hasher, now_ms| hasher.change(now_ms, run, from));
        let outcome = match changed {
            Ok((what, _)) => what,
            Err(ChangeError::Store(error)) if !error.is_temporary() => {
                world.violated(format!("run {run} can't change {stage}: {error}"));
                return;
            }
            // The error that an operator would see and might retry after.
            Err(error) => error.to_string(),
        };
        world.happened(&format!("run {run}: configuration of {stage}: {outcome}"));
    }
}

/// Makes one change. Returns text for the trace, and the time from which the change applies.
async fn change(
    node: &EngineState,
    stage: &StageId,
) -> Result<(String, Option<UnixMs>), ChangeError> {
    let Some(now) = node.clock.now() else {
        return Ok(("the clock is not known yet".to_string(), None));
    };
    if rng::random_range(0..4) == 0 {
        // The process pauses here, and then continues with the time that it has read.
        advance(rng::random_range(0..STILL_MS)).await;
    }
    let customer = Some(format!("customer {}", rng::random_range(0..CUSTOMERS)));
    let changed = match (node.stages.get(stage).await?, rng::random_range(0..4)) {
        (None, _) => {
            let config =
                StageConfig { stage: stage.to_string(), customer, ..StageConfig::default() };
            node.stages.create(config, now).await?
        }
        (Some(_), 0) => node.stages.delete(stage, now).await?,
        (Some(_), _) => {
            node.stages.edit(stage, now, |config| config.customer.clone_from(&customer)).await?
        }
    };
    let customer = changed.config.and_then(|config| config.customer);
    let from = changed.effective_from;
    Ok((format!("{customer:?} from {from}"), Some(from)))
}

/// Checks that all versions of all stages are in order and agree with the configuration. Returns
/// the number of versions.
///
/// # Errors
/// Returns the first damage found, or the failed read's error.
pub async fn in_the_end(world: &World, cold: &Arc<dyn Cold>) -> Result<u64, String> {
    let mut versions = 0;
    for stage in (0..world.plan.stages).map(|n| format!("stage-{n}")) {
        let (history, damage) =
            history::read_past_damage(&**cold, &stage).await.map_err(|e| e.to_string())?;
        if let Some(damage) = damage.into_iter().next() {
            return Err(damage);
        }
        versions += history.versions().len() as u64;
    }
    Ok(versions)
}
