//! The events that wait for one webhook: a lane for each stage. Pure: the time is an argument.
//!
//! A lane's first event is delivered until it is accepted or given up. Then the next one follows.
//! Lanes do not wait for each other. If several deliveries in a row fail, the webhook counts as
//! failing: then one delivery at a time tries it, at growing intervals.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use housecount_core::limits::{
    WEBHOOK_DELIVERIES_MAX, WEBHOOK_EVENT_MS_MAX, WEBHOOK_PENDING_MAX, WEBHOOK_WAIT_MS_MAX,
};
use housecount_core::time::UnixMs;

use crate::event::AudienceEvent;

/// Wait after the first failed delivery. Each further wait doubles, up to the longest.
const WAIT_MS_FIRST: u64 = 5_000;
/// Failed deliveries in a row after which the webhook counts as failing.
const FAILURES_MAX: u32 = 3;

/// Stage of a lane; `None` for events of all stages.
pub type LaneStage = Option<Arc<str>>;

/// Events that wait for a webhook.
#[derive(Debug, Default)]
pub struct DeliveryQueue {
    /// Number of the last event that was looked at.
    read_to: u64,
    /// Events up to this number were looked at before. Of them only those in `resumed` wait.
    resumed_to: u64,
    resumed: BTreeSet<u64>,
    lanes: BTreeMap<LaneStage, Lane>,
    pending: usize,
    sending: usize,
    /// Failed deliveries in a row, and the time before which a failing webhook is not tried.
    failures: u32,
    due_ms: u64,
}

#[derive(Debug, Default)]
struct Lane {
    events: VecDeque<AudienceEvent>,
    /// Failed deliveries of the first event.
    failures: u32,
    /// Time before which it is not tried again.
    due_ms: u64,
    is_sending: bool,
}

/// Effect of a failed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureEffect {
    /// The event waits for another try.
    Waits,
    /// The event is given up, because it is too old.
    GivenUp,
}

impl DeliveryQueue {
    /// Continues a queue: events up to `read_to` were looked at, and `waiting` of them wait.
    #[must_use]
    pub fn resume(read_to: u64, waiting: BTreeSet<u64>) -> DeliveryQueue {
        let first = waiting.first().map_or(read_to, |first| first.saturating_sub(1));
        DeliveryQueue {
            read_to: first.min(read_to),
            resumed_to: read_to,
            resumed: waiting,
            ..DeliveryQueue::default()
        }
    }

    /// Number of the last event that was looked at.
    #[must_use]
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// Whether further events can be added.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending < WEBHOOK_PENDING_MAX
    }

    /// Adds the next event, if the webhook wants it.
    pub fn add(&mut self, event: AudienceEvent, is_wanted: bool) {
        if event.seq <= self.read_to {
            return;
        }
        self.read_to = event.seq;
        // The webhook may want other events than it did before.
        let waits = if event.seq <= self.resumed_to {
            self.resumed.remove(&event.seq)
        } else {
            // Events that are not kept any more can't be delivered.
            self.resumed.clear();
            is_wanted
        };
        if waits {
            self.pending += 1;
            self.lanes.entry(event.stage().cloned()).or_default().events.push_back(event);
        }
    }

    /// Chooses the next delivery at `now_ms`, the oldest event first, and marks it as begun.
    pub fn begin(&mut self, now_ms: u64) -> Option<AudienceEvent> {
        let is_blocked = match self.is_failing() {
            true => self.sending > 0 || now_ms < self.due_ms,
            false => self.sending >= WEBHOOK_DELIVERIES_MAX,
        };
        if is_blocked {
            return None;
        }
        let due = self.lanes.values_mut().filter(|lane| !lane.is_sending && lane.due_ms <= now_ms);
        let lane = due.min_by_key(|lane| lane.events.front().map(|event| event.seq))?;
        let event = lane.events.front()?.clone();
        lane.is_sending = true;
        self.sending += 1;
        Some(event)
    }

    /// Records that the first event of a stage was accepted.
    pub fn accept(&mut self, stage: &LaneStage) {
        self.sending = self.sending.saturating_sub(1);
        (self.failures, self.due_ms) = (0, 0);
        self.remove_first(stage);
    }

    /// Records that its delivery failed at `now_ms`, which is `now` on the log's clock. `draw`
    /// from 0 to 1 spreads the next tries. The receiver may ask for a longer wait.
    pub fn fail(
        &mut self,
        stage: &LaneStage,
        now_ms: u64,
        now: UnixMs,
        draw: f64,
        retry_after_ms: Option<u64>,
    ) -> FailureEffect {
        self.sending = self.sending.saturating_sub(1);
        self.failures = self.failures.saturating_add(1);
        let wait_ms = |failures| {
            let drawn_ms = (wait_ms_max(failures) as f64 * (0.5 + draw / 2.0)) as u64;
            drawn_ms.max(retry_after_ms.unwrap_or(0)).min(WEBHOOK_WAIT_MS_MAX)
        };
        self.due_ms = now_ms + wait_ms(self.failures);
        let Some(lane) = self.lanes.get_mut(stage) else { return FailureEffect::Waits };
        lane.is_sending = false;
        let is_old = |event: &AudienceEvent| now.since(event.at) >= WEBHOOK_EVENT_MS_MAX;
        if lane.events.front().is_some_and(is_old) {
            self.remove_first(stage);
            return FailureEffect::GivenUp;
        }
        lane.failures = lane.failures.saturating_add(1);
        lane.due_ms = now_ms + wait_ms(lane.failures);
        FailureEffect::Waits
    }

    fn remove_first(&mut self, stage: &LaneStage) {
        let Some(lane) = self.lanes.get_mut(stage) else { return };
        if lane.events.pop_front().is_some() {
            self.pending -= 1;
        }
        if lane.events.is_empty() {
            self.lanes.remove(stage);
        } else {
            (lane.failures, lane.due_ms, lane.is_sending) = (0, 0, false);
        }
    }

    /// Whether the webhook counts as failing.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// Number of deliveries under way.
    #[must_use]
    pub fn sending(&self) -> usize {
        self.sending
    }

    /// Time at which the next delivery is due; `None` while none waits, or until one ends.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        let waiting = self.lanes.values().filter(|lane| !lane.is_sending);
        let due_ms = waiting.map(|lane| lane.due_ms).min()?;
        match self.is_failing() {
            true if self.sending > 0 => None,
            true => Some(due_ms.max(self.due_ms)),
            false if self.sending >= WEBHOOK_DELIVERIES_MAX => None,
            false => Some(due_ms),
        }
    }

    /// Numbers of the events that wait, of those up to the second number, which are all looked at.
    #[must_use]
    pub fn waiting(&self) -> (BTreeSet<u64>, u64) {
        let waiting = self.lanes.values().flat_map(|lane| &lane.events).map(|event| event.seq);
        let unread = self.resumed.iter().copied();
        (waiting.chain(unread).collect(), self.read_to.max(self.resumed_to))
    }

    /// Number of events that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending + self.resumed.len()
    }

    /// Time of the oldest event that waits.
    #[must_use]
    pub fn oldest_at(&self) -> Option<UnixMs> {
        self.lanes.values().filter_map(|lane| lane.events.front()).map(|event| event.at).min()
    }
}

fn wait_ms_max(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(20);
    (WAIT_MS_FIRST << doublings).min(WEBHOOK_WAIT_MS_MAX)
}

#[cfg(test)]
mod tests;
