//! Samples of consumption, a minute apart, and the usage of the last hour that follows from them.
//!
//! A window has at most an hour of samples ([`COST_READINGS_MAX`]), so memory is bounded however
//! long a node runs.

use std::collections::VecDeque;

use housecount_core::limits::COST_READINGS_MAX;
use housecount_core::units::Units;

use super::{MONTH_MS, share};

/// Length of "the last hour".
const HOUR_MS: u64 = 3_600_000;

/// Consumption until a moment, by purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSample<const N: usize> {
    /// Time of the sample, on a clock that never goes backwards.
    pub at_ms: u64,
    /// Units consumed, by purpose.
    pub units: [Units; N],
    /// Watch time of all viewers together.
    pub watched_ms: u64,
    /// Bytes of the packets sent to clients.
    pub egress_bytes: u64,
}

/// Consumption between two samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage<const N: usize> {
    /// Time between the samples.
    pub ms: u64,
    /// Units consumed, by purpose.
    pub units: [Units; N],
    /// Watch time in this period.
    pub watched_ms: u64,
    /// Bytes of the packets sent to clients in this period.
    pub egress_bytes: u64,
}

/// Samples of the last hour.
#[derive(Clone, Debug)]
pub struct UsageWindow<const N: usize>(VecDeque<UsageSample<N>>);

impl<const N: usize> UsageWindow<N> {
    /// Creates a window with a first sample.
    #[must_use]
    pub fn new(first: UsageSample<N>) -> UsageWindow<N> {
        UsageWindow(VecDeque::from([first]))
    }

    /// Adds a sample. Drops samples that are older than an hour, except for the latest of them.
    pub fn push(&mut self, reading: UsageSample<N>) {
        let hour_ago_ms = reading.at_ms.saturating_sub(HOUR_MS);
        self.0.push_back(reading);
        while self.0.len() > COST_READINGS_MAX
            || self.0.get(1).is_some_and(|second| second.at_ms <= hour_ago_ms)
        {
            self.0.pop_front();
        }
    }

    /// Returns the number of samples.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the usage of the hour before `now`, or since the first sample if that is later.
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
            egress_bytes: now.egress_bytes.saturating_sub(from.egress_bytes),
        }
    }
}

/// Returns the bytes of a month in which `ms` has this many. Returns zero for no time.
#[must_use]
pub fn bytes_per_month(bytes: u64, ms: u64) -> u64 {
    share(bytes, MONTH_MS, ms)
}

/// Returns the units of a month in which `ms` consumes this much. Returns zero for no time.
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
            egress_bytes: minute * 10,
        }
    }

    #[test]
    fn the_last_hour_and_no_more() {
        let mut readings = UsageWindow::new(reading(0, 50));
        assert_eq!(readings.last_hour(&reading(0, 50)).ms, 0);
        let half = readings.last_hour(&reading(30, 80));
        assert_eq!((half.ms, half.units[0].writes, half.watched_ms), (30 * MINUTE_MS, 30, 3_000));
        // COST_READINGS_MAX bounds the count.
        for minute in 1..=1_000 {
            readings.push(reading(minute, 50 + minute));
            assert!(readings.count() <= COST_READINGS_MAX);
        }
        let hour = readings.last_hour(&reading(1_000, 1_050));
        assert_eq!((hour.ms, hour.units[0].writes, hour.watched_ms), (60 * MINUTE_MS, 60, 6_000));
        assert_eq!(per_month(hour.units[0], hour.ms).writes, 60 * 730);
        assert_eq!(bytes_per_month(hour.egress_bytes, hour.ms), 600 * 730);
        // A node that was suspended for a day has one earlier sample. The usage covers the time
        // since then.
        let late = readings.last_hour(&reading(3_000, 2_000));
        assert_eq!((late.ms, late.units[0].writes), (2_000 * MINUTE_MS, 950));
    }

    #[test]
    fn nothing_divides_by_zero() {
        assert_eq!(per_month(Units::writes(5), 0), Units::default());
        assert_eq!(bytes_per_month(5, 0), 0);
        assert_eq!(per_month(Units::writes(u64::MAX), 1).writes, u64::MAX);
    }
}
