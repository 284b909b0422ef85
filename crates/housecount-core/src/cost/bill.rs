//! Readings of what was consumed, a minute apart, and what they come to: in the last hour, and in a
//! month if it goes on like that.
//!
//! There are never more than an hour's ([`COST_READINGS_MAX`]): memory is bounded however long a
//! node runs.

use std::collections::VecDeque;

use super::units::Units;
use super::{MONTH_MS, share};
use crate::limits::COST_READINGS_MAX;

/// What "the last hour" is.
const HOUR_MS: u64 = 3_600_000;

/// What had been consumed at a moment, by what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSample<const N: usize> {
    /// When, on a clock that only goes forward.
    pub at_ms: u64,
    /// How much.
    pub units: [Units; N],
    /// How long had been watched, all viewers together.
    pub watched_ms: u64,
}

/// What was consumed between two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage<const N: usize> {
    /// How long it took.
    pub ms: u64,
    /// How much.
    pub units: [Units; N],
    /// How long was watched meanwhile.
    pub watched_ms: u64,
}

/// The readings of the last hour.
#[derive(Clone, Debug)]
pub struct UsageWindow<const N: usize>(VecDeque<UsageSample<N>>);

impl<const N: usize> UsageWindow<N> {
    /// Begins with a first one.
    #[must_use]
    pub fn new(first: UsageSample<N>) -> UsageWindow<N> {
        UsageWindow(VecDeque::from([first]))
    }

    /// Takes in the next one. Those that end more than an hour before it go, but for the last of
    /// them.
    pub fn push(&mut self, reading: UsageSample<N>) {
        let hour_ago_ms = reading.at_ms.saturating_sub(HOUR_MS);
        self.0.push_back(reading);
        while self.0.len() > COST_READINGS_MAX
            || self.0.get(1).is_some_and(|second| second.at_ms <= hour_ago_ms)
        {
            self.0.pop_front();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What was consumed in the hour before `now`, or since the first reading if that is younger.
    #[must_use]
    pub fn last_hour(&self, now: &UsageSample<N>) -> Usage<N> {
        let hour_ago_ms = now.at_ms.saturating_sub(HOUR_MS);
        let from = self.0.iter().take_while(|reading| reading.at_ms <= hour_ago_ms).last();
        let from = from.or(self.0.front()).unwrap_or(now);
        let mut units = now.units;
        for (units, before) in units.iter_mut().zip(&from.units) {
            *units = units.since(*before);
        }
        Usage {
            ms: now.at_ms.saturating_sub(from.at_ms),
            units,
            watched_ms: now.watched_ms.saturating_sub(from.watched_ms),
        }
    }
}

/// What it comes to in a month if `ms` took so much. Nothing for no time.
#[must_use]
pub fn per_month(units: Units, ms: u64) -> Units {
    Units {
        writes: share(units.writes, MONTH_MS, ms),
        read_halves: share(units.read_halves, MONTH_MS, ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    fn reading(minute: u64, writes: u64) -> UsageSample<1> {
        UsageSample {
            at_ms: 7_000 + minute * MINUTE_MS,
            units: [Units::writes(writes)],
            watched_ms: minute * 100,
        }
    }

    #[test]
    fn the_last_hour_and_no_more() {
        let mut readings = UsageWindow::new(reading(0, 50));
        assert_eq!(readings.last_hour(&reading(0, 50)).ms, 0);
        let half = readings.last_hour(&reading(30, 80));
        assert_eq!((half.ms, half.units[0].writes, half.watched_ms), (30 * MINUTE_MS, 30, 3_000));
        // COST_READINGS_MAX
        for minute in 1..=1_000 {
            readings.push(reading(minute, 50 + minute));
            assert!(readings.count() <= COST_READINGS_MAX);
        }
        let hour = readings.last_hour(&reading(1_000, 1_050));
        assert_eq!((hour.ms, hour.units[0].writes, hour.watched_ms), (60 * MINUTE_MS, 60, 6_000));
        assert_eq!(per_month(hour.units[0], hour.ms).writes, 60 * 730);
        // A node that stood still for a day has one reading of before, and says over how long it
        // speaks.
        let late = readings.last_hour(&reading(3_000, 2_000));
        assert_eq!((late.ms, late.units[0].writes), (2_000 * MINUTE_MS, 950));
    }

    #[test]
    fn nothing_divides_by_zero() {
        assert_eq!(per_month(Units::writes(5), 0), Units::default());
        assert_eq!(per_month(Units::writes(u64::MAX), 1).writes, u64::MAX);
    }
}
