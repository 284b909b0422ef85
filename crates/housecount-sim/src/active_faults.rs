//! The faults that are active now, as calls between nodes and stores meet them.

use std::time::Duration;

use housecount_backend::rng;
use tokio::time::sleep;

use crate::plan::FaultKind;

/// Longest time of one way of a call while nothing is wrong.
const WAY_MS_MAX: u64 = 6;
/// Longest time of one way while calls are slow. A call may time out before its answer arrives, and
/// calls may overtake each other.
const SLOW_MS_MAX: u64 = 1_500;

/// Longest time of a call to a slow cold tier, which is longer than a lease.
pub const COLD_SLOW_MS_MAX: u64 = 45_000;

/// Kind of a call to the log, since a store may refuse one kind and take the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Changes nothing in the log.
    Read,
    /// Appends a record.
    Append,
    /// Writes something that is not a record: a trim, a note, or the origin of a partition.
    Note,
}

/// Number of active faults of one kind, and the time since which at least one is active.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lasting {
    count: u32,
    since_ms: Option<u64>,
}

impl Lasting {
    fn change(&mut self, comes: bool, now_ms: u64) {
        self.count = if comes { self.count + 1 } else { self.count.saturating_sub(1) };
        self.since_ms = (self.count > 0).then(|| self.since_ms.unwrap_or(now_ms));
    }
}

/// Faults of a node's writes; its reads have faults of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writes {
    /// [`FaultKind::AppendsRefused`]
    appends_refused: Lasting,
    /// [`FaultKind::WritesRefused`]
    refused: Lasting,
    /// [`FaultKind::WritesTimeOut`]
    time_out: Lasting,
}

/// Number of active faults of each kind.
#[derive(Clone, Debug, Default)]
pub struct ActiveFaults {
    /// Faults by node.
    pub cut_off: Vec<u32>,
    /// Faults by node.
    writes: Vec<Writes>,
    /// [`FaultKind::LogUnavailable`]
    pub log_away: u32,
    /// [`FaultKind::LogFrozen`]
    pub log_frozen: u32,
    /// [`FaultKind::RepliesLost`]
    pub answers_lost: u32,
    /// [`FaultKind::Slow`]
    pub slow: u32,
    /// [`FaultKind::AppendsDuplicated`]
    pub doubled: u32,
    /// [`FaultKind::ColdUnavailable`]
    pub cold_away: u32,
    /// [`FaultKind::ColdThrottled`]
    pub cold_throttled: u32,
    /// [`FaultKind::ColdFailsAfterWrite`]
    pub cold_lying: u32,
    /// [`FaultKind::ColdSlow`]
    pub cold_slow: u32,
    /// [`FaultKind::LeasesGrantedToAll`]
    pub lease_for_all: u32,
}

/// Fate of a call on its way to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRoute {
    /// The call arrives.
    Open,
    /// The store refuses the call.
    Refused,
    /// The call waits in the socket until the fault ends.
    Held,
    /// The call arrives once the network is back, or never.
    CutOff,
    /// The call never arrives.
    Lost,
}

impl ActiveFaults {
    /// No active faults.
    #[must_use]
    pub fn none(nodes: usize) -> ActiveFaults {
        ActiveFaults {
            cut_off: vec![0; nodes],
            writes: vec![Writes::default(); nodes],
            ..ActiveFaults::default()
        }
    }

    /// Begins or ends a fault that lasts. Returns false for a momentary fault, which the run
    /// applies itself (`run::apply_fault`).
    pub fn change(&mut self, kind: FaultKind, comes: bool, now_ms: u64) -> bool {
        if let FaultKind::AppendsRefused(scope)
        | FaultKind::WritesRefused(scope)
        | FaultKind::WritesTimeOut(scope) = kind
        {
            let hit = self.writes.iter_mut().enumerate();
            hit.filter(|(node, _)| scope.is_none_or(|only| only == *node)).for_each(
                |(_, writes)| {
                    let fault = match kind {
                        FaultKind::AppendsRefused(_) => &mut writes.appends_refused,
                        FaultKind::WritesRefused(_) => &mut writes.refused,
                        _ => &mut writes.time_out,
                    };
                    fault.change(comes, now_ms);
                },
            );
            return true;
        }
        let count = match kind {
            FaultKind::NodeCutOff(node) => &mut self.cut_off[node],
            FaultKind::LogUnavailable => &mut self.log_away,
            FaultKind::LogFrozen => &mut self.log_frozen,
            FaultKind::RepliesLost => &mut self.answers_lost,
            FaultKind::Slow => &mut self.slow,
            FaultKind::AppendsDuplicated => &mut self.doubled,
            FaultKind::ColdUnavailable => &mut self.cold_away,
            FaultKind::ColdThrottled => &mut self.cold_throttled,
            FaultKind::ColdFailsAfterWrite => &mut self.cold_lying,
            FaultKind::ColdSlow => &mut self.cold_slow,
            FaultKind::LeasesGrantedToAll => &mut self.lease_for_all,
            _ => return false,
        };
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        true
    }

    /// Fate of a call from a node to the log.
    #[must_use]
    pub fn to_log(&self, node: usize, call: CallKind) -> CallRoute {
        let writes = &self.writes[node];
        let is_append_refused = call == CallKind::Append && writes.appends_refused.count > 0;
        match call {
            _ if self.cut_off[node] > 0 => CallRoute::CutOff,
            _ if self.log_away > 0 => CallRoute::Refused,
            _ if self.log_frozen > 0 => CallRoute::Held,
            CallKind::Read => CallRoute::Open,
            _ if writes.refused.count > 0 || is_append_refused => CallRoute::Refused,
            _ if writes.time_out.count > 0 => CallRoute::Lost,
            _ => CallRoute::Open,
        }
    }

    /// Time since which the log has taken no call of this kind from a node while reads may still
    /// pass.
    #[must_use]
    pub fn refused_since_ms(&self, node: usize, call: CallKind) -> Option<u64> {
        let writes = &self.writes[node];
        let appends = writes.appends_refused.since_ms.filter(|_| call == CallKind::Append);
        [writes.refused.since_ms, writes.time_out.since_ms, appends].into_iter().flatten().min()
    }

    /// Whether the log's answer to a node is lost.
    #[must_use]
    pub fn loses_answer(&self, node: usize) -> bool {
        self.cut_off[node] > 0 || self.answers_lost > 0 && rng::random_range(0..3) == 0
    }

    /// Fate of a call from a node to the cold tier.
    #[must_use]
    pub fn to_cold(&self, node: usize) -> CallRoute {
        match self {
            _ if self.cut_off[node] > 0 => CallRoute::CutOff,
            _ if self.cold_away > 0 => CallRoute::Refused,
            _ if self.cold_throttled > 0 && rng::random_range(0..10) < 8 => CallRoute::Refused,
            _ => CallRoute::Open,
        }
    }

    /// Time that a message needs one way.
    #[must_use]
    pub fn way_ms(&self) -> u64 {
        rng::random_range(1..=if self.slow > 0 { SLOW_MS_MAX } else { WAY_MS_MAX })
    }

    /// Time that a call to the cold tier takes.
    #[must_use]
    pub fn cold_ms(&self) -> u64 {
        match self.cold_slow {
            0 => self.way_ms() + rng::random_range(2..=20),
            _ => rng::random_range(1_000..=COLD_SLOW_MS_MAX),
        }
    }
}

/// Waits for a time of the simulation.
pub async fn advance(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}
