//! What to do when a month would cost more than is wished: say so, and if that is wished too, write
//! some things less often.
//!
//! What is written less often is what can be without a wrong number: counts are taken up to
//! [`SNAPSHOT_STRETCH_MAX`] times as far apart, which shows after the loss of everything hot and in
//! the list of snapshots, and nowhere else; items of a DynamoDB log are put up to
//! [`FLUSH_STRETCH_MAX`] flushes apart, which shows in `asOf`. All that is said is written all the
//! same, and proven to the millisecond.

use super::prices::Usd;
use super::share;
use crate::limits::{
    BRIDGE_AGE_MS_MAX, COST_GUARD_HOLD_MS, FLUSH_STRETCH_MAX, SNAPSHOT_STRETCH_MAX,
};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetGuard {
    /// It is said.
    Warn,
    /// It is said, and some things are written less often.
    Stretch,
}

/// The limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimit {
    /// A month.
    pub month: Usd,
    /// What is done above it.
    pub guard: BudgetGuard,
}

/// What has been decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardState {
    /// Whether a month would cost more than the limit.
    pub is_exceeded: bool,
    /// How many times as far apart snapshots are taken, from 1 to [`SNAPSHOT_STRETCH_MAX`]; and
    /// flushes of the log, as [`flushes`] has it.
    pub stretch: u64,
    /// When that changed last, or the node started, on a clock that only goes forward.
    pub changed_ms: u64,
}

impl GuardState {
    /// At the start.
    #[must_use]
    pub fn at(now_ms: u64) -> GuardState {
        GuardState { is_exceeded: false, stretch: 1, changed_ms: now_ms }
    }
}

/// What a month comes to as things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// All of it.
    pub month: Usd,
    /// The part that snapshots are.
    pub snapshots: Usd,
    /// The part that flushes of the log are, where each costs something. Taken to be less the
    /// further apart they are; where items are larger than a kilobyte they save less than that, and
    /// go back later than they could.
    pub flushes: Usd,
}

/// How many flushes of the log are made one, at most.
#[must_use]
pub fn flushes(stretch: u64) -> u64 {
    stretch.clamp(1, FLUSH_STRETCH_MAX)
}

/// Of the limit, in percent: below this all is well again. Between this and the limit nothing
/// changes.
const BACK_PERCENT: u64 = 90;

/// Decides at `now_ms`. Stretched is changed at most once in [`COST_GUARD_HOLD_MS`]: only then all
/// of what is projected from was consumed as things are now, so that it doesn't swing.
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
    let Projection { month, snapshots, flushes: flushed } = projected;
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
    let changed_ms = if stretch == before.stretch { before.changed_ms } else { now_ms };
    GuardState { is_exceeded, stretch, changed_ms }
}

/// Between two snapshots, stretched. Never beyond a quarter of the age at which a snapshot is no
/// bridge any more, unless the setting is.
#[must_use]
pub fn stretched_ms(interval_ms: u64, stretch: u64) -> u64 {
    let bound_ms = interval_ms.max(BRIDGE_AGE_MS_MAX / 4);
    interval_ms.saturating_mul(stretch.clamp(1, SNAPSHOT_STRETCH_MAX)).min(bound_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: BudgetLimit = BudgetLimit { month: Usd(1_000), guard: BudgetGuard::Stretch };

    fn before(is_exceeded: bool, stretch: u64) -> GuardState {
        GuardState { is_exceeded, stretch, changed_ms: 0 }
    }

    #[test]
    fn the_table() {
        let hold = COST_GUARD_HOLD_MS;
        // was exceeded, stretch; a month, of that stretched; when -> is exceeded, stretch
        for (was, month, stretched, now_ms, is) in [
            ((false, 1), 900, 500, hold, (false, 1)),
            ((false, 1), 1_000, 500, hold, (false, 1)),
            // Half of 500 is enough.
            ((false, 1), 1_250, 500, hold, (true, 2)),
            ((false, 1), 1_251, 500, hold, (true, 3)),
            // SNAPSHOT_STRETCH_MAX: more is not done, whatever it costs.
            ((false, 1), 9_000, 500, hold, (true, 3)),
            // COST_GUARD_HOLD_MS
            ((false, 1), 9_000, 500, hold - 1, (true, 1)),
            // Stretched, it is in order; not stretched it would not be.
            ((true, 2), 880, 250, hold, (false, 2)),
            ((true, 2), 950, 250, hold, (true, 2)),
            // Back by one: 500 + 200 x 3 / 2 = 800; 500 + 600 would be too much.
            ((true, 3), 700, 200, hold, (false, 2)),
            ((true, 3), 300, 100, hold, (false, 1)),
            ((true, 3), 300, 100, hold - 1, (false, 3)),
        ] {
            let projected =
                Projection { month: Usd(month), snapshots: Usd(stretched), flushes: Usd(0) };
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

    /// FLUSH_STRETCH_MAX: flushes are half as many, and never fewer.
    #[test]
    fn flushes_are_stretched_with_them() {
        let at = |month, flushes| Projection {
            month: Usd(month),
            snapshots: Usd(0),
            flushes: Usd(flushes),
        };
        let decide = |was, projected| {
            decide(before(true, was), projected, LIMIT, COST_GUARD_HOLD_MS).stretch
        };
        assert_eq!((decide(1, at(1_400, 800)), decide(1, at(1_401, 800))), (2, 3));
        // 400 + 300 again would be 1,000.
        assert_eq!((decide(3, at(700, 300)), decide(3, at(600, 300))), (2, 1));
        assert_eq!(
            [0, 1, 2, 3, 99].map(flushes),
            [1, 1, FLUSH_STRETCH_MAX, FLUSH_STRETCH_MAX, FLUSH_STRETCH_MAX]
        );
    }

    #[test]
    fn intervals_stay_within_bounds() {
        for (interval_ms, stretch, is_ms) in [
            (300_000, 1, 300_000),
            (300_000, 3, 900_000),
            (300_000, 99, 900_000),
            (600_000, 3, 900_000),
            (3_600_000, 3, 3_600_000),
            (1_000, 0, 1_000),
        ] {
            assert_eq!(stretched_ms(interval_ms, stretch), is_ms, "{interval_ms} x {stretch}");
        }
    }

    proptest! {
        /// Whatever steady load there is: it settles, and then nothing changes any more.
        #[test]
        fn it_does_not_swing(fixed in 0u64..3_000, part in 0u64..3_000) {
            let mut decided = before(false, 1);
            let mut changes = 0;
            for hour in 1..20 {
                let stretched = share(part, 1, decided.stretch);
                let projected =
                    Projection { month: Usd(fixed + stretched), snapshots: Usd(stretched), flushes: Usd(0) };
                let next = decide(decided, projected, LIMIT, hour * COST_GUARD_HOLD_MS);
                prop_assert!((1..=SNAPSHOT_STRETCH_MAX).contains(&next.stretch));
                changes += u64::from(next.stretch != decided.stretch);
                decided = next;
            }
            prop_assert!(changes <= 1, "{} changes", changes);
            prop_assert!(fixed + part > 1_000 || decided.stretch == 1);
        }

        /// When the load goes, so does what was done about it.
        #[test]
        fn it_comes_back(fixed in 0u64..300, part in 0u64..300, stretch in 1..=SNAPSHOT_STRETCH_MAX) {
            let stretched = share(part, 1, stretch);
            let projected =
                    Projection { month: Usd(fixed + stretched), snapshots: Usd(stretched), flushes: Usd(0) };
            let decided = decide(before(true, stretch), projected, LIMIT, COST_GUARD_HOLD_MS);
            prop_assert_eq!((decided.is_exceeded, decided.stretch), (false, 1));
        }
    }
}
