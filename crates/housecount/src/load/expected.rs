//! Viewers that must be counted: a heartbeat was acknowledged, and no leave was sent.

use std::collections::{BTreeSet, HashMap};

use housecount_backend::clock::mono_ms;

/// Number of intervals for which an acknowledged heartbeat counts, since ttl is at least three of
/// the nodes' own intervals.
const GOOD_FOR_INTERVALS: u64 = 3;

/// Viewers that a node must count: acknowledged, and without a leave.
#[derive(Debug, Default)]
pub(super) struct ExpectedViewers {
    /// Time of the last acknowledged heartbeat of a viewer on a stage; `None` once its leave was
    /// sent.
    acknowledged: HashMap<(String, String), Option<u64>>,
    online: u64,
    /// Leaves sent so far for viewers that were online.
    leaves: u64,
}

impl ExpectedViewers {
    pub(super) fn beat(&mut self, stage: String, viewer: String) {
        let now_ms = mono_ms();
        let known = self.acknowledged.entry((stage, viewer)).or_insert_with(|| {
            self.online += 1;
            Some(now_ms)
        });
        // An acknowledgement that arrives after the viewer's leave was sent does not bring the
        // viewer back.
        if known.is_some() {
            *known = Some(now_ms);
        }
    }

    pub(super) fn leave(&mut self, stage: &str, viewer: &str) {
        let known = self.acknowledged.insert((stage.to_string(), viewer.to_string()), None);
        if let Some(Some(_)) = known {
            self.online -= 1;
            self.leaves += 1;
        }
    }

    /// Number of viewers that must be counted, and number of leaves sent.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.online, self.leaves)
    }

    /// All viewers that must be counted now, for players that beat every `interval_ms`.
    pub(super) fn online(&self, interval_ms: u64) -> BTreeSet<(String, String)> {
        let oldest_ms = mono_ms().saturating_sub(interval_ms * GOOD_FOR_INTERVALS);
        let good =
            self.acknowledged.iter().filter(|(_, at_ms)| at_ms.is_some_and(|at| at >= oldest_ms));
        good.map(|(seat, _)| seat.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat() -> (String, String) {
        ("s".to_string(), "v".to_string())
    }

    #[test]
    fn acknowledged_until_the_leave_begins() {
        let mut truth = ExpectedViewers::default();
        truth.beat(seat().0, seat().1);
        truth.beat(seat().0, seat().1);
        assert_eq!((truth.totals(), truth.online(1_000).len()), ((1, 0), 1));
        truth.leave("s", "v");
        truth.beat(seat().0, seat().1);
        assert_eq!((truth.totals(), truth.online(1_000).len()), ((0, 1), 0));
    }
}
