//! Days with viewers and without faults, in which a node's state must not grow.

use std::sync::Arc;

use housecount_core::time::{DAY_MS, UnixMs};
use housecount_engine::ArchiveFormat;
use housecount_engine::internals::EngineState;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::active_faults::advance;
use crate::nodes::{Nodes, settings};
use crate::plan::SimPlan;
use crate::player::SimAudience;
use crate::streams::SimStreams;
use crate::world::World;

/// Size of the state at the end of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoakSample {
    /// Number of the day, from 1.
    pub day: u64,
    /// Beats and leaves that all nodes have accepted so far.
    pub events: u64,
    /// Sessions that a node remembers; the maximum over the nodes.
    pub sessions: usize,
    /// Stages that a node knows; the maximum over the nodes.
    pub stages: usize,
    /// Records in the log.
    pub records: usize,
    /// Items of the last two days in the cold tier, and their bytes.
    pub items: (usize, usize),
}

/// Simulates days without faults, and reports the size of the state at the end of each.
///
/// # Errors
/// Returns the I/O error if the runtime can't be built or the settings are refused.
pub fn soak(
    seed: u64,
    days: u64,
    viewers: usize,
    mut tell: impl FnMut(SoakSample),
) -> std::io::Result<()> {
    let faults_end_ms = days * DAY_MS;
    let archive = Some(ArchiveFormat::Packed);
    let plan = SimPlan {
        has_events: false,
        viewers,
        faults: Vec::new(),
        faults_end_ms,
        is_checked: false,
        archive,
        ..SimPlan::of(seed)
    };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let lived = runtime.block_on(async {
        housecount_backend::sim::begin(seed);
        let settings = settings(&plan);
        let world = World::new(plan, settings.rules.ttl_ms, false);
        let nodes = Arc::new(Nodes::new(world.clone(), settings)?);
        (0..world.plan.nodes).for_each(|node| nodes.start(node));
        let streams = Arc::new(SimStreams::new(&world.plan));
        let audience = SimAudience::new(world.clone(), nodes.clone(), streams, days * DAY_MS);
        let mut tasks = JoinSet::new();
        for viewer in 0..viewers {
            tasks.spawn(audience.clone().live(viewer));
        }
        for day in 1..=days {
            advance((day * DAY_MS).saturating_sub(world.now_ms())).await;
            tell(kept(&world, &nodes, day).await);
            // The ledger and the archive grow by design. Here their growth would only hide other
            // growth.
            let yesterday = world.log.lock().clock(world.now_ms()).minus(DAY_MS);
            world.cold.lock().drop_chunks_before(yesterday);
        }
        Ok(())
    });
    drop(runtime);
    housecount_backend::sim::end();
    lived
}

async fn kept(world: &World, nodes: &Nodes, day: u64) -> SoakSample {
    let running =
        || (0..world.plan.nodes).filter_map(|number| nodes.get(number)).map(|(node, _)| node);
    let remembered = running().filter_map(|node| node.proofs.as_ref().map(|proofs| proofs.len()));
    let mut stages = 0;
    for node in running() {
        stages = stages.max(node.hub.stages().await.value.len());
    }
    let taken = |node: Arc<EngineState>| {
        node.metrics.events_total("beat") + node.metrics.events_total("leave")
    };
    SoakSample {
        day,
        events: running().map(taken).sum(),
        sessions: remembered.max().unwrap_or_default(),
        stages,
        records: world.log.lock().records_before(UnixMs::MAX),
        items: world.cold.lock().size(),
    }
}
