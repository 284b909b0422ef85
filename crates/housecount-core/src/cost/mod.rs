//! What it costs: prices, the provider's rules for what is counted, and a formula a plan.
//!
//! - [`prices`]: every price, from one dated file; [`money`]: the only form that money has here.
//! - [`units`]: what DynamoDB counts for an item, a read, a batch.
//! - [`plans`]: what an audience costs by each plan that people know, and by housecount's own;
//!   [`own`]: what housecount writes.
//! - [`crossover`]: for how many viewers one plan is cheaper than another.
//! - [`bill`]: readings of what was consumed, and what they come to in an hour and a month.
//! - [`guard`]: what to do when that is above the limit.
//!
//! Money is whole micro-dollars in `u64`, multiplied in `u128`, and saturates: no float comes near
//! it. Shares are rounded to the nearest micro-dollar once, at the end.

pub mod bill;
pub mod crossover;
pub mod guard;
pub mod money;
pub mod own_usage;
pub mod plans;
pub mod prices;
pub mod units;

pub use self::money::Usd;
pub use self::prices::Prices;
pub use self::units::Units;

/// Hours of a month, as AWS's own calculator has it: 365 x 24 / 12.
pub const MONTH_HOURS: u64 = 730;
/// The same in ms.
pub const MONTH_MS: u64 = MONTH_HOURS * 3_600_000;

/// `n x a / b`, rounded to the nearest, saturating. Zero for `b = 0`.
pub(crate) fn share(n: u64, a: u64, b: u64) -> u64 {
    if b == 0 {
        return 0;
    }
    let product = u128::from(n) * u128::from(a);
    u64::try_from((product + u128::from(b / 2)) / u128::from(b)).unwrap_or(u64::MAX)
}
