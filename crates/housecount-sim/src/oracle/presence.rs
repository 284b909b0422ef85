//! Who is online, by the rule word for word: slowly, from all events, without a fold.

use std::collections::BTreeSet;

use housecount_core::event::EventKind;
use housecount_core::fold::Rules;
use housecount_core::time::UnixMs;

use super::{Oracle, OracleEvent};

/// Viewers, and sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Online {
    /// Distinct viewers.
    pub viewers: u64,
    /// Online sessions.
    pub sessions: u64,
}

/// Who must be counted, and who may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// At least these.
    pub least: Online,
    /// At most these.
    pub most: Online,
}

/// Whom to ask about, and when.
#[derive(Clone, Copy, Debug)]
pub struct CountQuery<'a> {
    /// One stage, or all.
    pub stage: Option<&'a str>,
    /// The run that answers.
    pub run: usize,
    /// The time that it has come to.
    pub at: UnixMs,
    /// The simulation's time.
    pub now_ms: u64,
    /// What was in the log this long ago must be known.
    pub slack_ms: u64,
    /// Up to when it says that it has all that any run acknowledged, in the simulation's time;
    /// `None` if it doesn't say so.
    pub as_of_ms: Option<u64>,
}

impl Oracle {
    /// What a run may answer.
    #[must_use]
    pub fn online(&self, asked: CountQuery<'_>, rules: Rules) -> Bounds {
        let known = |event: &&OracleEvent| self.must_know(event, &asked);
        let all = |_: &&OracleEvent| true;
        Bounds {
            least: self.count(asked, rules, known, all),
            most: self.count(asked, rules, all, known),
        }
    }

    /// Counts with these beats and these leaves.
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
            let is_on = |event: &OracleEvent| {
                event.at.plus(ttl_ms) > now && left.is_none_or(|left| event.at > left)
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
