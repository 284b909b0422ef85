//! What to answer while the fold is known to be missing viewers.
//!
//! After the hot tier was lost, or after nobody could say anything for a while, the fold knows only
//! those who have beaten since. Everybody who still watches will have within one `ttl`. Until then
//! the last counts known are a floor under the real ones, and every answer says `recovering`: a
//! flagged high count instead of a low one that looks real.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::fold::{Count, StageView};
use crate::roster::Roster;
use crate::time::UnixMs;

/// The last counts known from before a gap, and until when they stand in.
#[derive(Clone, Debug, Default)]
pub struct Bridge {
    until: UnixMs,
    total: Count,
    stages: BTreeMap<String, StageView>,
}

impl Bridge {
    /// A bridge over `roster` until `until`.
    #[must_use]
    pub fn new(roster: Roster, until: UnixMs) -> Bridge {
        let stages = roster.stages.into_iter().map(|view| (view.stage.clone(), view)).collect();
        Bridge { until, total: roster.total, stages }
    }

    /// Keeps it open until `until` at least. The floors of one that was over by `now` are not
    /// brought back.
    pub fn extend(&mut self, until: UnixMs, now: UnixMs) {
        if !self.is_open(now) {
            *self = Bridge::default();
        }
        self.until = self.until.max(until);
    }

    /// Until when it stands.
    #[must_use]
    pub fn until(&self) -> UnixMs {
        self.until
    }

    /// Whether counts at `now` are bridged.
    #[must_use]
    pub fn is_open(&self, now: UnixMs) -> bool {
        now < self.until
    }

    /// A stage's count, given what the fold says.
    #[must_use]
    pub fn count(&self, stage: &str, real: Count, now: UnixMs) -> Count {
        match self.stages.get(stage) {
            Some(floor) if self.is_open(now) => at_least(real, floor.count),
            _ => real,
        }
    }

    /// The count over all stages, given what the fold says.
    #[must_use]
    pub fn total(&self, real: Count, now: UnixMs) -> Count {
        if self.is_open(now) { at_least(real, self.total) } else { real }
    }

    /// The stages that are bridged at `now`.
    pub fn stages(&self, now: UnixMs) -> impl Iterator<Item = &StageView> {
        self.stages.values().filter(move |_| self.is_open(now))
    }

    /// The stages that are bridged at `now` with ids greater than `after` and not greater than
    /// `last`, sorted by id.
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

    /// The bridged stage, if it is one.
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
        assert_eq!(bridge.count("s", count(3), UnixMs(100)), count(3), "over");
        assert_eq!(bridge.total(count(3), UnixMs(100)), count(3));
        assert_eq!((bridge.stages(UnixMs(99)).count(), bridge.stages(UnixMs(100)).count()), (1, 0));
    }
}
