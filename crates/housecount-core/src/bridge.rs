//! Counts to answer with while the fold is known to be missing viewers.
//!
//! After the hot tier was lost, or after a time without logged events, the fold has only viewers
//! with a beat since then. All others who still watch beat within one `ttl`. Until then the last
//! known counts are a floor under the real ones, and every answer has `recovering`. Clients get a
//! flagged high count instead of a low one that looks real.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::fold::{Count, StageView};
use crate::roster::Roster;
use crate::time::UnixMs;

/// Last known counts from before a gap, and the time until which they are used.
#[derive(Clone, Debug, Default)]
pub struct Bridge {
    until: UnixMs,
    total: Count,
    stages: BTreeMap<String, StageView>,
}

impl Bridge {
    /// Creates a bridge from `roster` until `until`.
    #[must_use]
    pub fn new(roster: Roster, until: UnixMs) -> Bridge {
        let stages = roster.stages.into_iter().map(|view| (view.stage.clone(), view)).collect();
        Bridge { until, total: roster.total, stages }
    }

    /// Keeps the bridge open at least until `until`. If it was closed at `now`, its old floors are
    /// dropped.
    pub fn extend(&mut self, until: UnixMs, now: UnixMs) {
        if !self.is_open(now) {
            *self = Bridge::default();
        }
        self.until = self.until.max(until);
    }

    /// Returns the time at which the bridge ends.
    #[must_use]
    pub fn until(&self) -> UnixMs {
        self.until
    }

    /// Returns whether counts at `now` are bridged.
    #[must_use]
    pub fn is_open(&self, now: UnixMs) -> bool {
        now < self.until
    }

    /// Returns a stage's count from the fold's `real` count, at least the floor.
    #[must_use]
    pub fn count(&self, stage: &str, real: Count, now: UnixMs) -> Count {
        match self.stages.get(stage) {
            Some(floor) if self.is_open(now) => at_least(real, floor.count),
            _ => real,
        }
    }

    /// Returns the count over all stages from the fold's `real` count, at least the floor.
    #[must_use]
    pub fn total(&self, real: Count, now: UnixMs) -> Count {
        if self.is_open(now) { at_least(real, self.total) } else { real }
    }

    /// Returns the stages that are bridged at `now`.
    pub fn stages(&self, now: UnixMs) -> impl Iterator<Item = &StageView> {
        self.stages.values().filter(move |_| self.is_open(now))
    }

    /// Returns the stages that are bridged at `now` with ids greater than `after` and not greater
    /// than `last`, sorted by id.
    pub fn stages_within<'a>(
        &'a self,
        now: UnixMs,
        after: Option<&str>,
        last: Option<&str>,
    ) -> impl Iterator<Item = &'a StageView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = last.map_or(Bound::Unbounded, Bound::Included);
        self.stages
            .range::<str, _>((from, to))
            .map(|(_, view)| view)
            .filter(move |_| self.is_open(now))
    }

    /// Returns the bridged stage, if there is one.
    #[must_use]
    pub fn stage(&self, stage: &str, now: UnixMs) -> Option<&StageView> {
        self.stages.get(stage).filter(|_| self.is_open(now))
    }
}

fn at_least(real: Count, floor: Count) -> Count {
    Count { viewers: real.viewers.max(floor.viewers), sessions: real.sessions.max(floor.sessions) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(viewers: u64) -> Count {
        Count { viewers, sessions: viewers }
    }

    #[test]
    fn extending_keeps_floors_and_never_brings_old_ones_back() {
        let stages = || vec![StageView { stage: "s".into(), count: count(40), peak: 50 }];
        let mut bridge = Bridge::new(Roster { total: count(40), stages: stages() }, UnixMs(100));
        bridge.extend(UnixMs(200), UnixMs(99));
        assert_eq!(bridge.count("s", count(3), UnixMs(199)), count(40));
        bridge.extend(UnixMs(400), UnixMs(300));
        assert!(bridge.is_open(UnixMs(399)));
        assert_eq!(bridge.count("s", count(3), UnixMs(399)), count(3));
    }

    #[test]
    fn a_floor_until_its_end() {
        let stages = vec![StageView { stage: "s".into(), count: count(40), peak: 50 }];
        let bridge = Bridge::new(Roster { total: count(40), stages }, UnixMs(100));
        assert_eq!(bridge.count("s", count(3), UnixMs(99)), count(40));
        assert_eq!(bridge.count("s", count(41), UnixMs(99)), count(41));
        assert_eq!(bridge.count("other", count(3), UnixMs(99)), count(3));
        assert_eq!(bridge.total(count(3), UnixMs(99)), count(40));
        assert_eq!(bridge.count("s", count(3), UnixMs(100)), count(3), "the bridge has ended");
        assert_eq!(bridge.total(count(3), UnixMs(100)), count(3));
        assert_eq!((bridge.stages(UnixMs(99)).count(), bridge.stages(UnixMs(100)).count()), (1, 0));
    }
}
