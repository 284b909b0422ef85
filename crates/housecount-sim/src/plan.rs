//! A plan: all that a seed decides before the run, namely the faults and the settings.
//!
//! Faults begin, last and end independently, so several may be active at once. Any fault still
//! active at the end of the fault period ends then. A ttl later everything must be right again.

use std::fmt;

use housecount_core::fold::StreamsPolicy;
use housecount_engine::ArchiveFormat;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// One minute in milliseconds.
const MINUTE_MS: u64 = 60_000;
/// Time without faults at the beginning.
const WARM_UP_MS: u64 = 3 * MINUTE_MS;

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A node is killed and starts again.
    NodeKilled(usize),
    /// A node is stopped in order and starts again.
    NodeStopped(usize),
    /// A node can't reach the log or the cold tier, and no answer of theirs reaches it. Players can
    /// still reach it.
    NodeCutOff(usize),
    /// The wall clock of a node's machine is set.
    NodeClock(usize, i64),
    /// All nodes are killed at once.
    AllKilled,
    /// The log loses everything.
    LogEmptied,
    /// The log refuses all calls.
    LogUnavailable,
    /// The log pauses, and then answers all calls that wait in its sockets.
    LogFrozen,
    /// The log fails over to a replica that lacks its last second.
    LogFailedOver,
    /// The log refuses the appends of one node, or of all, and takes all other calls.
    AppendsRefused(Option<usize>),
    /// The log refuses all writes of one node, or of all, and answers reads.
    WritesRefused(Option<usize>),
    /// Writes of one node, or of all, never arrive, and reads do.
    WritesTimeOut(Option<usize>),
    /// The log's clock is set ahead by this time, in ms.
    LogClock(i64),
    /// Some answers of the log are lost after it has done the work.
    RepliesLost,
    /// Calls take up to seconds, and overtake each other.
    Slow,
    /// Appends are applied a second time, some of them later.
    AppendsDuplicated,
    /// The cold tier refuses all calls.
    ColdUnavailable,
    /// The cold tier throttles most calls.
    ColdThrottled,
    /// The cold tier does a part of the work, or all of it, and then fails.
    ColdFailsAfterWrite,
    /// Calls to the cold tier take so long that leases expire meanwhile.
    ColdSlow,
    /// Every node gets every lease that it requests.
    LeasesGrantedToAll,
    /// All nodes are killed and the log loses everything. Events that are not in the ledger are
    /// lost.
    HotLost,
}

/// A fault, in milliseconds since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Beginning of the fault.
    pub from_ms: u64,
    /// End of the fault; a momentary fault has also ended by then.
    pub to_ms: u64,
    /// Kind of the fault.
    pub kind: FaultKind,
}

/// Settings, audience and faults of a simulation, drawn from one seed.
#[derive(Clone, Debug)]
pub struct SimPlan {
    /// Seed that all of it was drawn from.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// Number of the log's partitions.
    pub partitions: u16,
    /// Number of viewers.
    pub viewers: usize,
    /// Number of stages.
    pub stages: usize,
    /// Setting `window`.
    pub window_ms: u64,
    /// Setting `snapshot_interval`.
    pub snapshot_interval_ms: u64,
    /// Setting `archive`; `None` is off.
    pub archive: Option<ArchiveFormat>,
    /// Whether beats are acknowledged before the log has them (`ack = "memory"`).
    pub is_acknowledged_early: bool,
    /// Settings `limits.streams_per_viewer` and `limits.streams_policy`; `None` without a limit.
    pub streams: Option<(usize, StreamsPolicy)>,
    /// Whether nodes keep events and deliver them to a webhook.
    pub has_events: bool,
    /// Faults in the order of their beginnings.
    pub faults: Vec<Fault>,
    /// End of the last fault.
    pub faults_end_ms: u64,
    /// Whether the oracle keeps and compares all events. A week of events would need too much
    /// memory.
    pub is_checked: bool,
}

impl SimPlan {
    /// Whether sessions have a label.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.seed % 2 == 1
    }

    /// Draws the plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> SimPlan {
        let mut chance = SmallRng::seed_from_u64(seed);
        let nodes = chance.random_range(1..=3);
        let trouble_ms = chance.random_range(15..=75) * MINUTE_MS;
        let faults_end_ms = WARM_UP_MS + trouble_ms;
        let count = chance.random_range(1..=9);
        let mut faults: Vec<Fault> = (0..count)
            .map(|_| {
                let from_ms = chance.random_range(WARM_UP_MS..faults_end_ms);
                let kind = kind(&mut chance, nodes);
                let lasts_ms = lasts_ms(&mut chance, kind);
                Fault { from_ms, to_ms: (from_ms + lasts_ms).min(faults_end_ms), kind }
            })
            .collect();
        faults.sort_by_key(|fault| fault.from_ms);
        SimPlan {
            seed,
            nodes,
            partitions: chance.random_range(1..=2),
            viewers: chance.random_range(8..=48),
            stages: chance.random_range(1..=4),
            window_ms: [MINUTE_MS, 5 * MINUTE_MS][chance.random_range(0..2)],
            snapshot_interval_ms: [MINUTE_MS, 5 * MINUTE_MS][chance.random_range(0..2)],
            is_acknowledged_early: chance.random_range(0..8) == 0,
            archive: [None, None, Some(ArchiveFormat::Packed), Some(ArchiveFormat::Items)]
                [chance.random_range(0..4)],
            has_events: chance.random_range(0..2) == 0,
            faults,
            faults_end_ms,
            is_checked: true,
            // Drawn last, so that all else of a seed is as it was before the limit was simulated.
            streams: match chance.random_range(0..6) {
                0 => Some((1, StreamsPolicy::Refuse)),
                1 => Some((1, StreamsPolicy::Displace)),
                2 => Some((2, StreamsPolicy::Displace)),
                _ => None,
            },
        }
    }
}

fn kind(chance: &mut SmallRng, nodes: usize) -> FaultKind {
    let node = chance.random_range(0..nodes);
    let step_ms = chance.random_range(-600_000..=600_000);
    // The distance between the furthest ahead and the furthest behind is less than
    // `STAMP_AHEAD_MS_MAX`. Beyond that, nodes wait and report it.
    let ahead_ms = chance.random_range(-600_000..=270_000);
    let scope = [None, Some(node)][chance.random_range(0..2)];
    match chance.random_range(0..28) {
        0..=3 => FaultKind::NodeKilled(node),
        4..=5 => FaultKind::NodeStopped(node),
        6..=7 => FaultKind::NodeCutOff(node),
        8 => FaultKind::NodeClock(node, step_ms),
        9 => FaultKind::AllKilled,
        10 => FaultKind::LogEmptied,
        11 => FaultKind::LogUnavailable,
        12 => FaultKind::LogFrozen,
        13 => FaultKind::LogFailedOver,
        14 => FaultKind::LogClock(ahead_ms),
        15..=16 => FaultKind::RepliesLost,
        17 => FaultKind::Slow,
        18 => FaultKind::AppendsDuplicated,
        19 => FaultKind::ColdUnavailable,
        20 => FaultKind::ColdThrottled,
        21 => FaultKind::ColdFailsAfterWrite,
        22 => [FaultKind::ColdSlow, FaultKind::LeasesGrantedToAll][chance.random_range(0..2)],
        23 => FaultKind::AppendsRefused(scope),
        24..=25 => FaultKind::WritesRefused(scope),
        26 => FaultKind::WritesTimeOut(scope),
        _ => [FaultKind::HotLost, FaultKind::LogFailedOver, FaultKind::LogEmptied]
            [chance.random_range(0..3)],
    }
}

fn lasts_ms(chance: &mut SmallRng, kind: FaultKind) -> u64 {
    match kind {
        FaultKind::LogEmptied
        | FaultKind::LogFailedOver
        | FaultKind::LogClock(_)
        | FaultKind::NodeClock(..) => 0,
        FaultKind::ColdUnavailable => chance.random_range(1..=60) * MINUTE_MS,
        // From seconds to an hour, each scale equally likely. `tests/faults.rs` covers hours.
        FaultKind::AppendsRefused(_)
        | FaultKind::WritesRefused(_)
        | FaultKind::WritesTimeOut(_) => {
            let longest_ms = [MINUTE_MS / 6, MINUTE_MS, 10 * MINUTE_MS, 60 * MINUTE_MS];
            let longest_ms = longest_ms[chance.random_range(0..longest_ms.len())];
            chance.random_range(1_000..longest_ms)
        }
        FaultKind::NodeKilled(_)
        | FaultKind::NodeStopped(_)
        | FaultKind::AllKilled
        | FaultKind::HotLost => chance.random_range(500..5 * MINUTE_MS),
        _ => chance.random_range(2_000..10 * MINUTE_MS),
    }
}

impl fmt::Display for SimPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimPlan {
            seed,
            nodes,
            partitions,
            viewers,
            stages,
            window_ms,
            snapshot_interval_ms,
            archive,
            streams,
            has_events,
            ..
        } = self;
        let ack = if self.is_acknowledged_early { "memory" } else { "log" };
        writeln!(
            f,
            "seed {seed}: {nodes} nodes, {partitions} partitions, {viewers} viewers, {stages} stages, ack = {ack}, a \
             window of {} s, snapshots every {} s, archive {}, events {has_events}; faults end at {}",
            window_ms / 1000,
            snapshot_interval_ms / 1000,
            archive_name(*archive),
            clock(self.faults_end_ms)
        )?;
        if let Some((max, policy)) = streams {
            writeln!(f, "  at most {max} streams a viewer, {policy:?}")?;
        }
        for Fault { from_ms, to_ms, kind } in &self.faults {
            writeln!(f, "  {} to {}  {kind:?}", clock(*from_ms), clock(*to_ms))?;
        }
        Ok(())
    }
}

/// Value of the setting `archive`.
#[must_use]
pub fn archive_name(archive: Option<ArchiveFormat>) -> &'static str {
    match archive {
        None => "off",
        Some(ArchiveFormat::Packed) => "packed",
        Some(ArchiveFormat::Items) => "items",
    }
}

/// Formats milliseconds as `1:02:03.004`.
#[must_use]
pub fn clock(ms: u64) -> String {
    let (s, m, h) = (ms / 1000, ms / MINUTE_MS, ms / MINUTE_MS / 60);
    format!("{h}:{:02}:{:02}.{:03}", m % 60, s % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_is_drawn_and_ends_in_time() {
        let mut names: Vec<String> = (0..500)
            .flat_map(|seed| SimPlan::of(seed).faults)
            .map(|fault| {
                format!("{:?}", fault.kind).split('(').next().unwrap_or_default().to_string()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 22, "{names:?}");
        for plan in (0..500).map(SimPlan::of) {
            assert!(
                plan.faults
                    .iter()
                    .all(|fault| fault.from_ms <= fault.to_ms && fault.to_ms <= plan.faults_end_ms)
            );
        }
    }
}
