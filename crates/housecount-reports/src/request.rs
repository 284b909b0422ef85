//! The request of a report.

use housecount_core::span::Span;

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
