//! IVS's counts of stages, and the source to query.

use std::collections::BTreeMap;

use housecount_core::time::UnixMs;

const DAY_MS: u64 = 86_400_000;

/// Shortest period that CloudWatch keeps for data of this age.
#[must_use]
pub fn period_ms_min(age_ms: u64) -> u64 {
    match age_ms / DAY_MS {
        0..15 => 60_000,
        15..63 => 300_000,
        _ => 3_600_000,
    }
}

/// Participants of a stage, by the start of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloudWatchCounts {
    /// Average of `Subscribers`.
    pub subscribers: BTreeMap<UnixMs, f64>,
    /// Average of `Publishers`.
    pub publishers: BTreeMap<UnixMs, f64>,
}

/// Source of the counts.
#[derive(Clone, Debug, Default)]
pub struct CloudWatchSource {
    /// Region of all stages, instead of each stage's own.
    pub region: Option<String>,
    /// Endpoint, instead of AWS's address.
    pub endpoint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_has_long_periods() {
        let days = |days: u64| period_ms_min(days * DAY_MS);
        assert_eq!(
            (days(0), days(14), days(15), days(62), days(63)),
            (60_000, 60_000, 300_000, 300_000, 3_600_000)
        );
    }
}
