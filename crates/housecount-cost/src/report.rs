//! Figures of a node's cost at one time.

use housecount_backend::log::RedisUsage;
use housecount_backend::meter::Purpose;
use housecount_core::time::UnixMs;
use housecount_core::units::Units;

use crate::Usd;
use crate::guard::GuardState;
use crate::plans::AudienceProfile;

/// Consumption and cost of a purpose.
#[derive(Clone, Copy, Debug)]
pub struct PurposeCost {
    /// The purpose.
    pub purpose: Purpose,
    /// Units consumed so far.
    pub units: Units,
    /// Cost so far.
    pub usd: Usd,
    /// Cost of the last hour.
    pub hour: Usd,
    /// Cost of a month at the rate of the last hour.
    pub month: Usd,
}

/// Usage and cost of Redis, where the log uses it.
#[derive(Clone, Debug)]
pub struct RedisCost {
    /// Usage of Redis.
    pub used: RedisUsage,
    /// Smallest node that holds twice the current memory use; `None` if no node does.
    pub node: Option<String>,
    /// Monthly cost of that node, or of a serverless cache.
    pub month: Usd,
}

/// Bytes to clients, and their cost.
#[derive(Clone, Copy, Debug)]
pub struct EgressCost {
    /// Bytes of the packets sent to clients so far.
    pub bytes: u64,
    /// Bytes of a month at the rate of the last hour.
    pub month_bytes: u64,
    /// Cost of a month at that rate, if they are the only bytes of the account.
    pub month: Usd,
}

/// The machine that a node runs on, and its cost.
#[derive(Clone, Debug)]
pub struct MachineCost {
    /// Name in the file of prices.
    pub name: String,
    /// Cost of a month, with a public address and a disk.
    pub month: Usd,
}

/// All figures at one time.
#[derive(Clone, Debug)]
pub struct CostReport {
    /// Start of the count.
    pub since: UnixMs,
    /// Time of the figures.
    pub as_of: UnixMs,
    /// Current audience.
    pub audience: AudienceProfile,
    /// Cost by purpose.
    pub spending: Vec<PurposeCost>,
    /// Bytes stored in the cold tier: the table's own figure, or else the bytes that this node has
    /// put there.
    pub stored_bytes: u64,
    /// Monthly cost of the stored bytes.
    pub storage: Usd,
    /// Cost of Redis.
    pub redis: Option<RedisCost>,
    /// Cost of requests so far.
    pub total: Usd,
    /// Cost of requests in the last hour.
    pub hour: Usd,
    /// Cost of a month: requests, storage and Redis.
    pub month: Usd,
    /// Bytes to clients.
    pub egress: EgressCost,
    /// The machine; `None` if it is not known or not counted.
    pub machine: Option<MachineCost>,
    /// Cost of a month with bytes and machine.
    pub whole_month: Usd,
    /// Cost of a million viewer hours at the rate of the last hour; `None` if no viewer watched.
    pub per_million_viewer_hours: Option<Usd>,
    /// Decision of the cost guard.
    pub decided: GuardState,
}
