//! Cost guard: warns when a month would cost more than the operator's limit, and optionally reduces
//! some writes.
//!
//! Only writes that can be rarer without a wrong number are reduced. Snapshots are taken up to
//! [`SNAPSHOT_STRETCH_MAX`] times as far apart. This shows only after the loss of all hot data, and
//! in the list of snapshots. Items of a DynamoDB log are put up to [`FLUSH_STRETCH_MAX`] flushes
//! apart, which shows in `asOf`. All events are still written, and proven to the millisecond.

use housecount_core::limits::{COST_GUARD_HOLD_MS, FLUSH_STRETCH_MAX, SNAPSHOT_STRETCH_MAX};

use super::prices::Usd;
use super::share;

/// Action of the guard above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetGuard {
    /// Warns only.
    Warn,
    /// Warns, and reduces some writes.
    Stretch,
    /// The same, and asks players for fewer heartbeats where bytes are the excess.
    Interval,
}

/// Operator's limit, and the action above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimit {
    /// Limit for a month.
    pub month: Usd,
    /// Action above the limit.
    pub guard: BudgetGuard,
}

/// State of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardState {
    /// Whether a month would cost more than the limit.
    pub is_exceeded: bool,
    /// Factor between 1 and [`SNAPSHOT_STRETCH_MAX`] by which snapshots are further apart.
    /// [`flushes`] derives that of the log's flushes.
    pub stretch: u64,
    /// Whether players are asked for a heartbeat every ttl/3 only.
    pub is_slowed: bool,
    /// Time of the last change of `stretch`, or of the node's start, on a clock that never goes
    /// backwards.
    pub changed_ms: u64,
}

impl GuardState {
    /// Returns the state at the start of a node.
    #[must_use]
    pub fn at(now_ms: u64) -> GuardState {
        GuardState { is_exceeded: false, stretch: 1, is_slowed: false, changed_ms: now_ms }
    }
}

/// Projected cost of a month at the present rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// Cost of all parts.
    pub month: Usd,
    /// Cost of snapshots.
    pub snapshots: Usd,
    /// Cost of flushes of the log, if each costs something. The guard assumes that it falls in
    /// proportion to their number. Items larger than a kilobyte save less, so the guard returns to
    /// normal later than it could.
    pub flushes: Usd,
    /// Cost of bytes to clients.
    pub egress: Usd,
    /// Cost of these bytes at the usual interval of heartbeats.
    pub egress_unslowed: Usd,
}

/// Returns the number of flushes of the log that are merged into one.
#[must_use]
pub fn flushes(stretch: u64) -> u64 {
    stretch.clamp(1, FLUSH_STRETCH_MAX)
}

/// Percentage of the limit below which the guard returns to normal. Between this and the limit
/// nothing changes.
const BACK_PERCENT: u64 = 90;

/// Returns the next state at `now_ms`. `stretch` changes at most once in [`COST_GUARD_HOLD_MS`].
/// After that time the projection contains only consumption at the present stretch, so the guard
/// does not oscillate.
#[must_use]
pub fn decide(
    before: GuardState,
    projected: Projection,
    limit: BudgetLimit,
    now_ms: u64,
) -> GuardState {
    let back = Usd(share(limit.month.0, BACK_PERCENT, 100));
    let is_exceeded = projected.month > limit.month || before.is_exceeded && projected.month > back;
    let held = now_ms.saturating_sub(before.changed_ms) < COST_GUARD_HOLD_MS;
    if limit.guard == BudgetGuard::Warn || held {
        return GuardState { is_exceeded, ..before };
    }
    let is_slowed =
        limit.guard == BudgetGuard::Interval && is_to_slow(before, projected, limit, back);
    let Projection { month, snapshots, flushes: flushed, .. } = projected;
    let fixed = month.0.saturating_sub(snapshots.0).saturating_sub(flushed.0);
    let month_at = |stretch: u64| {
        let snapshots = share(snapshots.0, before.stretch, stretch);
        let flushed = share(flushed.0, flushes(before.stretch), flushes(stretch));
        Usd(fixed.saturating_add(snapshots).saturating_add(flushed))
    };
    let smallest =
        |bound: Usd| (1..SNAPSHOT_STRETCH_MAX).find(|stretch| month_at(*stretch) <= bound);
    let stretch = if projected.month > limit.month {
        smallest(limit.month).unwrap_or(SNAPSHOT_STRETCH_MAX).max(before.stretch)
    } else {
        smallest(back).unwrap_or(SNAPSHOT_STRETCH_MAX).min(before.stretch)
    };
    let is_same = stretch == before.stretch && is_slowed == before.is_slowed;
    let changed_ms = if is_same { before.changed_ms } else { now_ms };
    GuardState { is_exceeded, stretch, is_slowed, changed_ms }
}

/// Whether players should send fewer heartbeats: bytes alone put the month above the limit. They
/// return to the usual interval once the month would be below `back` with it.
fn is_to_slow(before: GuardState, projected: Projection, limit: BudgetLimit, back: Usd) -> bool {
    let Projection { month, egress, egress_unslowed, .. } = projected;
    let others = Usd(month.0.saturating_sub(egress.0));
    match before.is_slowed {
        true => others.plus(egress_unslowed) > back,
        false => month > limit.month && others <= limit.month,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: BudgetLimit = BudgetLimit { month: Usd(1_000), guard: BudgetGuard::Stretch };

    fn before(is_exceeded: bool, stretch: u64) -> GuardState {
        GuardState { is_exceeded, stretch, is_slowed: false, changed_ms: 0 }
    }

    #[test]
    fn the_table() {
        let hold = COST_GUARD_HOLD_MS;
        // Columns: exceeded and stretch before, cost of a month and its stretched part, time,
        // exceeded and stretch after.
        for (was, month, stretched, now_ms, is) in [
            ((false, 1), 900, 500, hold, (false, 1)),
            ((false, 1), 1_000, 500, hold, (false, 1)),
            // Half of 500 is enough.
            ((false, 1), 1_250, 500, hold, (true, 2)),
            ((false, 1), 1_251, 500, hold, (true, 3)),
            // SNAPSHOT_STRETCH_MAX is the limit, at any cost.
            ((false, 1), 9_000, 500, hold, (true, 3)),
            // COST_GUARD_HOLD_MS has not passed.
            ((false, 1), 9_000, 500, hold - 1, (true, 1)),
            // Stretched, the cost is within the limit; unstretched it would not be.
            ((true, 2), 880, 250, hold, (false, 2)),
            ((true, 2), 950, 250, hold, (true, 2)),
            // Back by one: 500 + 200 x 3 / 2 = 800, but 500 + 600 would be too much.
            ((true, 3), 700, 200, hold, (false, 2)),
            ((true, 3), 300, 100, hold, (false, 1)),
            ((true, 3), 300, 100, hold - 1, (false, 3)),
        ] {
            let projected = Projection {
                month: Usd(month),
                snapshots: Usd(stretched),
                flushes: Usd(0),
                ..Projection::default()
            };
            let decided = decide(before(was.0, was.1), projected, LIMIT, now_ms);
            assert_eq!(
                (decided.is_exceeded, decided.stretch),
                is,
                "{was:?} {month} {stretched} {now_ms}"
            );
            let warned = decide(
                before(was.0, was.1),
                projected,
                BudgetLimit { guard: BudgetGuard::Warn, ..LIMIT },
                now_ms,
            );
            assert_eq!(
                (warned.is_exceeded, warned.stretch),
                (is.0, was.1),
                "a warning changes nothing else"
            );
        }
    }

    /// FLUSH_STRETCH_MAX bounds the effect: flushes are half as many, and never fewer.
    #[test]
    fn flushes_are_stretched_with_them() {
        let at = |month, flushes| Projection {
            month: Usd(month),
            snapshots: Usd(0),
            flushes: Usd(flushes),
            ..Projection::default()
        };
        let decide = |was, projected| {
            decide(before(true, was), projected, LIMIT, COST_GUARD_HOLD_MS).stretch
        };
        assert_eq!((decide(1, at(1_400, 800)), decide(1, at(1_401, 800))), (2, 3));
        // Flushes unstretched again would make 400 + 600 = 1,000.
        assert_eq!((decide(3, at(700, 300)), decide(3, at(600, 300))), (2, 1));
        assert_eq!(
            [0, 1, 2, 3, 99].map(flushes),
            [1, 1, FLUSH_STRETCH_MAX, FLUSH_STRETCH_MAX, FLUSH_STRETCH_MAX]
        );
    }

    /// The limit is 1,000, and the interval grows by a third.
    #[test]
    fn bytes_above_the_limit_slow_players_down() {
        let hold = COST_GUARD_HOLD_MS;
        let interval = BudgetLimit { guard: BudgetGuard::Interval, ..LIMIT };
        // Columns: slowed before, cost of the others, of bytes now and at the usual interval, time,
        // slowed after.
        for (was, others, egress, unslowed, now_ms, is) in [
            (false, 100, 900, 900, hold, false),
            (false, 100, 901, 901, hold, true),
            (false, 100, 901, 901, hold - 1, false),
            // The others alone exceed the limit.
            (false, 1_001, 500, 500, hold, false),
            // The usual interval would be above nine tenths of the limit.
            (true, 100, 601, 801, hold, true),
            (true, 100, 600, 800, hold, false),
        ] {
            let projected = Projection {
                month: Usd(others + egress),
                egress: Usd(egress),
                egress_unslowed: Usd(unslowed),
                ..Projection::default()
            };
            let before = GuardState { is_slowed: was, ..before(was, 1) };
            let decided = decide(before, projected, interval, now_ms);
            assert_eq!(decided.is_slowed, is, "{was} {others} {egress} {now_ms}");
            let stretched =
                decide(GuardState { is_slowed: false, ..before }, projected, LIMIT, now_ms);
            assert!(!stretched.is_slowed, "only where the operator asked for it");
        }
    }

    proptest! {
        /// Under any steady load the guard settles, and then changes no more.
        #[test]
        fn it_does_not_swing(fixed in 0u64..3_000, part in 0u64..3_000) {
            let mut decided = before(false, 1);
            let mut changes = 0;
            for hour in 1..20 {
                let stretched = share(part, 1, decided.stretch);
                let projected =
                    Projection { month: Usd(fixed + stretched), snapshots: Usd(stretched), flushes: Usd(0), ..Projection::default() };
                let next = decide(decided, projected, LIMIT, hour * COST_GUARD_HOLD_MS);
                prop_assert!((1..=SNAPSHOT_STRETCH_MAX).contains(&next.stretch));
                changes += u64::from(next.stretch != decided.stretch);
                decided = next;
            }
            prop_assert!(changes <= 1, "the stretch changed {} times", changes);
            prop_assert!(fixed + part > 1_000 || decided.stretch == 1);
        }

        /// When the load falls, the guard returns to normal.
        #[test]
        fn it_comes_back(fixed in 0u64..300, part in 0u64..300, stretch in 1..=SNAPSHOT_STRETCH_MAX) {
            let stretched = share(part, 1, stretch);
            let projected =
                    Projection { month: Usd(fixed + stretched), snapshots: Usd(stretched), flushes: Usd(0), ..Projection::default() };
            let decided = decide(before(true, stretch), projected, LIMIT, COST_GUARD_HOLD_MS);
            prop_assert_eq!((decided.is_exceeded, decided.stretch), (false, 1));
        }
    }
}
