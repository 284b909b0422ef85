//! Merges consecutive failures into two log lines: one when they begin, and one when they are over.

/// State of an operation that may fail repeatedly.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailureStreak {
    began_ms: Option<u64>,
    failed_ms: u64,
    failures: u64,
}

/// Effect of an outcome on the streak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The operation fails as before, or works as before.
    None,
    /// The operation has begun to fail.
    Begins,
    /// The operation works again.
    Ends {
        /// Time for which it has failed.
        away_ms: u64,
        /// Number of failures.
        failures: u64,
    },
}

impl FailureStreak {
    /// Records a failure.
    pub fn failed(&mut self, now_ms: u64) -> Change {
        self.failed_ms = now_ms;
        self.failures += 1;
        let is_first = self.began_ms.is_none();
        self.began_ms.get_or_insert(now_ms);
        if is_first { Change::Begins } else { Change::None }
    }

    /// Records a success. The failures are over once there were none for `calm_ms`, so an operation
    /// that fails and works alternately is logged once.
    pub fn worked(&mut self, now_ms: u64, calm_ms: u64) -> Change {
        match self.began_ms {
            Some(began_ms) if now_ms.saturating_sub(self.failed_ms) >= calm_ms => {
                let failures = std::mem::take(self).failures;
                Change::Ends { away_ms: now_ms.saturating_sub(began_ms), failures }
            }
            _ => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM_MS: u64 = 5_000;

    #[test]
    fn it_begins_once_and_ends_once() {
        let mut streak = FailureStreak::default();
        assert_eq!(streak.worked(0, CALM_MS), Change::None);
        assert_eq!(streak.failed(1_000), Change::Begins);
        assert_eq!(streak.failed(1_100), Change::None);
        assert_eq!(streak.worked(1_200, CALM_MS), Change::None);
        assert_eq!(streak.failed(2_000), Change::None);
        assert_eq!(streak.worked(1_999 + CALM_MS, CALM_MS), Change::None);
        let ends = Change::Ends { away_ms: 1_000 + CALM_MS, failures: 3 };
        assert_eq!(streak.worked(2_000 + CALM_MS, CALM_MS), ends);
        assert_eq!(streak.worked(2_001 + CALM_MS, CALM_MS), Change::None);
        assert_eq!(streak.failed(9_000 + CALM_MS), Change::Begins);
    }
}
