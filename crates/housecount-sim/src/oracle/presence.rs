//! The viewers online by the rule word for word: slowly, from all events, without a fold.

use std::collections::BTreeSet;

use housecount_core::event::EventKind;
use housecount_core::fold::Rules;
use housecount_core::time::UnixMs;

use super::{Oracle, OracleEvent};

/// Numbers of viewers and sessions online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Online {
    /// Distinct viewers.
    pub viewers: u64,
    /// Online sessions.
    pub sessions: u64,
}

/// Bounds of a right count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Viewers and sessions that must be counted.
    pub least: Online,
    /// Viewers and sessions that may be counted.
    pub most: Online,
}

/// Scope and time of a count.
#[derive(Clone, Copy, Debug)]
pub struct CountQuery<'a> {
    /// One stage, or all stages (`None`).
    pub stage: Option<&'a str>,
    /// One value of the label, or all sessions (`None`).
    pub label: Option<&'a str>,
    /// The run that answers.
    pub run: usize,
    /// The time that the run has reached, on the log's clock.
    pub at: UnixMs,
    /// Current time of the simulation.
    pub now_ms: u64,
    /// Age at which the run must know an event of the log.
    pub slack_ms: u64,
    /// Time of the simulation up to which the run claims to have all acknowledged events. `None`
    /// without a claim.
    pub as_of_ms: Option<u64>,
}

impl Oracle {
    /// Bounds of a right answer of a run.
    #[must_use]
    pub fn online(&self, asked: CountQuery<'_>, rules: Rules) -> Bounds {
        let known = |event: &&OracleEvent| self.must_know(event, &asked);
        let all = |_: &&OracleEvent| true;
        Bounds {
            least: self.count(asked, rules, known, all),
            most: self.count(asked, rules, all, known),
        }
    }

    /// Counts with the given beats and leaves.
    fn count(
        &self,
        asked: CountQuery<'_>,
        Rules { ttl_ms, leave_grace_ms }: Rules,
        beats: impl Fn(&&OracleEvent) -> bool,
        leaves: impl Fn(&&OracleEvent) -> bool,
    ) -> Online {
        let now = asked.at;
        let mut viewers = BTreeSet::new();
        let mut sessions = 0;
        for (number, seat) in self.seats.iter().enumerate() {
            if asked.stage.is_some_and(|stage| stage != seat.stage) {
                continue;
            }
            if asked.label.is_some_and(|label| label != seat.label()) {
                continue;
            }
            if self.latest[number].plus(ttl_ms) <= now {
                continue;
            }
            let leavers = [Some(number), self.unnamed[number]].into_iter().flatten();
            let left = leavers
                .flat_map(|seat| self.of_seat(seat))
                .filter(|event| {
                    event.kind == EventKind::Leave && event.at.plus(leave_grace_ms) <= now
                })
                .filter(&leaves)
                .map(|event| event.at)
                .max();
            let displaced = self
                .of_seat(number)
                .filter(|event| event.kind == EventKind::Displace && event.at <= now)
                .filter(&leaves)
                .map(|event| event.at)
                .max();
            let is_on = |event: &OracleEvent| {
                event.at.plus(ttl_ms) > now && left.max(displaced).is_none_or(|end| event.at > end)
            };
            if self
                .of_seat(number)
                .filter(|event| event.kind == EventKind::Beat && is_on(event))
                .any(|e| beats(&e))
            {
                sessions += 1;
                viewers.insert(&seat.viewer);
            }
        }
        Online { viewers: viewers.len() as u64, sessions }
    }
}
