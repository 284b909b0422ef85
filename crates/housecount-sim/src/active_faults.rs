//! What is broken just now, as calls between nodes and stores find it.

use std::time::Duration;

use housecount::rng;
use tokio::time::sleep;

use crate::plan::FaultKind;

/// A call in which nothing goes wrong takes this long one way, at most.
const WAY_MS_MAX: u64 = 6;
/// The same while calls are slow: a call may give up before its answer, and overtake another one.
const SLOW_MS_MAX: u64 = 1_500;

/// A call to a cold tier that is slow takes this long at most: longer than a lease.
pub const COLD_SLOW_MS_MAX: u64 = 45_000;

/// A call to the log, by what a store may refuse of it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// It changes nothing.
    Read,
    /// It appends a record.
    Append,
    /// It writes something else: a trim, a note, the beginning of a partition.
    Note,
}

/// How many faults there are of one kind, and since when there are any.
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

/// How a node's writes fail, beside what its reads meet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writes {
    /// [`FaultKind::AppendsRefused`]
    appends_refused: Lasting,
    /// [`FaultKind::WritesRefused`]
    refused: Lasting,
    /// [`FaultKind::WritesTimeOut`]
    time_out: Lasting,
}

/// How many faults of each kind there are at the moment.
#[derive(Clone, Debug, Default)]
pub struct ActiveFaults {
    /// By node.
    pub cut_off: Vec<u32>,
    /// By node.
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

/// What a call meets on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRoute {
    /// It comes through.
    Open,
    /// It is refused.
    Refused,
    /// It lies there until that is over.
    Held,
    /// It comes when the network is back, or never.
    CutOff,
    /// It never comes.
    Lost,
}

impl ActiveFaults {
    /// No trouble.
    #[must_use]
    pub fn none(nodes: usize) -> ActiveFaults {
        ActiveFaults {
            cut_off: vec![0; nodes],
            writes: vec![Writes::default(); nodes],
            ..ActiveFaults::default()
        }
    }

    /// A fault that lasts comes or ends. False for one that doesn't: it is done elsewhere.
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

    /// What a call from a node to the log meets.
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

    /// Since when the log has taken no call of this kind from a node, for all that reads say.
    #[must_use]
    pub fn refused_since_ms(&self, node: usize, call: CallKind) -> Option<u64> {
        let writes = &self.writes[node];
        let appends = writes.appends_refused.since_ms.filter(|_| call == CallKind::Append);
        [writes.refused.since_ms, writes.time_out.since_ms, appends].into_iter().flatten().min()
    }

    /// Whether the log's answer is lost.
    #[must_use]
    pub fn loses_answer(&self, node: usize) -> bool {
        self.cut_off[node] > 0 || self.answers_lost > 0 && rng::random_range(0..3) == 0
    }

    /// What a call from a node to the cold tier meets.
    #[must_use]
    pub fn to_cold(&self, node: usize) -> CallRoute {
        match self {
            _ if self.cut_off[node] > 0 => CallRoute::CutOff,
            _ if self.cold_away > 0 => CallRoute::Refused,
            _ if self.cold_throttled > 0 && rng::random_range(0..10) < 8 => CallRoute::Refused,
            _ => CallRoute::Open,
        }
    }

    /// How long a message is under way.
    #[must_use]
    pub fn way_ms(&self) -> u64 {
        rng::random_range(1..=if self.slow > 0 { SLOW_MS_MAX } else { WAY_MS_MAX })
    }

    /// How long a call to the cold tier takes.
    #[must_use]
    pub fn cold_ms(&self) -> u64 {
        match self.cold_slow {
            0 => self.way_ms() + rng::random_range(2..=20),
            _ => rng::random_range(1_000..=COLD_SLOW_MS_MAX),
        }
    }
}

/// A moment passes, in the simulation's time.
pub async fn advance(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}
