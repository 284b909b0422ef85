//! Cost model: prices, a formula per plan, and the cost of a running node.
//!
//! - [`prices`]: every price, from one dated file. [`money`]: the only type for money here.
//! - [`plans`]: the store's cost of an audience under each well-known plan and under housecount's
//!   own. [`own_usage`]: the units that housecount consumes. [`redis_size`]: the Redis it needs.
//! - [`whole`]: the whole bill, from machines to bytes. [`wire`]: the measured figures behind it.
//!   [`sizing`]: machines for an audience. [`managed`]: services that are sold instead.
//! - [`crossover`]: the number of viewers up to which one plan is cheaper than another.
//! - [`bill`]: samples of consumption, and the usage of an hour and a month.
//! - [`guard`]: the action when the cost is above the limit.
//! - [`CostTracker`]: the cost of a node, from the meters of its stores.
//!
//! Money is whole micro-dollars in `u64`, multiplied in `u128`, and saturates. No float takes part.
//! Shares are rounded to the nearest micro-dollar once, at the end.

mod answer;
pub mod bill;
pub mod crossover;
pub mod guard;
pub mod managed;
pub mod money;
pub mod own_usage;
pub mod plans;
pub mod prices;
mod read;
pub mod redis_size;
mod report;
mod sampler;
pub mod sizing;
mod tracker;
pub mod whole;
pub mod wire;

pub use self::answer::CostBody;
pub use self::money::Usd;
pub use self::prices::Prices;
pub use self::read::{PricesError, read_prices};
pub use self::report::{CostReport, EgressCost, MachineCost, PurposeCost, RedisCost};
pub use self::tracker::{CostSettings, CostTracker, store_of};

/// Hours of a month, as in AWS's own calculator: 365 x 24 / 12.
pub const MONTH_HOURS: u64 = 730;
/// Milliseconds of a month.
pub const MONTH_MS: u64 = MONTH_HOURS * 3_600_000;

/// Returns `n x a / b`, rounded to the nearest, saturating. Returns zero for `b = 0`.
pub(crate) fn share(n: u64, a: u64, b: u64) -> u64 {
    if b == 0 {
        return 0;
    }
    let product = u128::from(n) * u128::from(a);
    u64::try_from((product + u128::from(b / 2)) / u128::from(b)).unwrap_or(u64::MAX)
}
