//! The limit of a viewer's streams as the nodes' admission applies it, and its check.
//!
//! Nodes may admit too many at once, since each decides by what it has read. The excess must end
//! soon after: each beat of one of the viewer's sessions finds it.

use std::collections::BTreeMap;

use housecount_access::admission::StreamSettings;
use housecount_access::admission::streams::StreamLimits;
use housecount_engine::internals::EngineState;
use parking_lot::Mutex;

use crate::plan::{Fault, SimPlan};
use crate::world::World;

/// Time after a fault in which too many streams may be admitted still.
const AFTER_FAULT_MS: u64 = 60_000;
/// Longest time of an excess: within a `ttl` each session beats, or is offline. The rest is for
/// calls on their way and for the time between two checks.
const EXCESS_MS_MAX: u64 = 120_000 + 15_000;

/// Id of a viewer.
#[must_use]
pub fn viewer_name(number: usize) -> String {
    format!("viewer-{number:04}")
}

/// Limits of all nodes, and viewers who have too many streams.
#[derive(Debug)]
pub struct SimStreams {
    settings: Option<StreamSettings>,
    limits: Vec<StreamLimits>,
    /// Since when, by run and viewer.
    excess_since_ms: Mutex<BTreeMap<(usize, usize), u64>>,
}

impl SimStreams {
    /// Limits of a plan's nodes.
    #[must_use]
    pub fn new(SimPlan { streams, nodes, .. }: &SimPlan) -> SimStreams {
        let settings = streams.map(|(max, policy)| StreamSettings { max, policy });
        let limits = (0..*nodes).map(|_| StreamLimits::new(settings)).collect();
        SimStreams { settings, limits, excess_since_ms: Mutex::default() }
    }

    /// Limits of a node.
    #[must_use]
    pub fn of(&self, number: usize) -> &StreamLimits {
        &self.limits[number]
    }

    /// Checks that no viewer has too many streams for long, as a node counts them that knows all.
    pub fn look(&self, world: &World, node: &EngineState, run: usize) {
        let Some(StreamSettings { max, .. }) = self.settings else { return };
        let now_ms = world.now_ms();
        let is_near =
            |fault: &Fault| (fault.from_ms..fault.to_ms + AFTER_FAULT_MS).contains(&now_ms);
        let is_calm = node.hub.totals().status.complete && !world.plan.faults.iter().any(is_near);
        let mut excess = self.excess_since_ms.lock();
        for viewer in 0..world.plan.viewers {
            let streams = node.hub.streams(&viewer_name(viewer));
            if streams.len() <= max || !is_calm {
                excess.remove(&(run, viewer));
                continue;
            }
            let since_ms = *excess.entry((run, viewer)).or_insert(now_ms);
            if now_ms > since_ms + EXCESS_MS_MAX {
                world.violated(format!(
                    "run {run} has counted too many streams of viewer {viewer} for {} ms: {streams:?}",
                    now_ms - since_ms
                ));
            }
        }
    }
}
