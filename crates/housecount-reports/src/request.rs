//! The request of a report.

use housecount_core::span::Span;

/// Largest number of steps of a report if the caller gives no length.
const STEPS_DEFAULT: u64 = 500;
const MINUTE_MS: u64 = 60_000;

/// Returns the length of a step if the caller gives none: the shortest number of whole minutes that
/// makes at most 500 steps.
#[must_use]
pub fn default_step_ms(range: Span) -> u64 {
    range.ms().div_ceil(STEPS_DEFAULT).next_multiple_of(MINUTE_MS).max(MINUTE_MS)
}

/// Request of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportRequest {
    /// The stage; `None` for all stages together.
    pub stage: Option<String>,
    /// Range of the report.
    pub range: Span,
    /// Length of a step.
    pub step_ms: u64,
    /// Time from the start of the broadcast in which its cohort comes.
    pub cohort_ms: u64,
    /// Time before the range in which viewers are looked for who return in it.
    pub before_ms: Option<u64>,
    /// Largest gap within a view: the setting `ttl`.
    pub gap_ms: u64,
}

impl ReportRequest {
    /// Returns the range to read. What lies beyond both ends of the report's own shows whether a
    /// view begins or ends there.
    #[must_use]
    pub fn reads(&self) -> Span {
        let beyond_ms = self.gap_ms + 1;
        let before_ms = self.before_ms.unwrap_or(0).max(beyond_ms);
        Span::new(self.range.from.minus(before_ms), self.range.to.plus(beyond_ms))
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::time::UnixMs;

    use super::*;

    #[test]
    fn a_step_is_of_whole_minutes() {
        let of = |ms| default_step_ms(Span::new(UnixMs(7), UnixMs(7 + ms)));
        let minutes = |count: u64| count * MINUTE_MS;
        assert_eq!(
            [1, minutes(500), minutes(500) + 1, minutes(1_440)].map(of),
            [1, 1, 2, 3].map(minutes)
        );
    }
}
