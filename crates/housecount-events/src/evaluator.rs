//! Finds events in samples: the only place that decides what an event is.
//!
//! Pure: samples and the state of all events so far in, the next events out. Only complete counts
//! are looked at. More than [`EVENT_GAP_MS_MAX`] between two of them is a span without counts. It
//! is one pair of `count.incomplete` and `count.complete`, and then all that differs from before.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use housecount_core::fold::Count;
use housecount_core::limits::EVENT_GAP_MS_MAX;
use housecount_core::time::{DAY_MS, UnixMs};

use crate::event::{AudienceChange, AudienceEvent};
use crate::sample::{CountLoss, CountSample, StageCounts, apply_changes};
use crate::settings::EventRules;
use crate::state::{AudienceState, OpenStage};

/// Evaluates samples in their order.
#[derive(Debug)]
pub struct Evaluator {
    rules: EventRules,
    /// Counts of the latest complete sample, and its time.
    counts: StageCounts,
    counted_at: UnixMs,
    /// Earlier counts of a stage that no later one within `drop_within_ms` exceeds, oldest first.
    peaks: HashMap<Arc<str>, VecDeque<Peak>>,
    /// Whether the next complete sample is compared with the state as a whole.
    compares_all: bool,
}

/// Number of viewers that a stage had.
///
/// The larger one comes last in order, and of two equal ones the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Peak {
    viewers: u64,
    /// Last sample with this number.
    until: UnixMs,
}

impl Evaluator {
    /// Creates an evaluator of the samples that follow `counts`, which are of `counted_at`.
    #[must_use]
    pub fn new(rules: EventRules, counts: StageCounts, counted_at: UnixMs) -> Evaluator {
        Evaluator { rules, counts, counted_at, peaks: HashMap::new(), compares_all: true }
    }

    /// Takes in a sample whose events are known already.
    pub fn observe(&mut self, sample: &CountSample) {
        self.count(sample.at, &sample.changes);
        self.forget_gone(&sample.changes);
    }

    /// Evaluates the next sample. Applies its events to the state, and returns them.
    pub fn evaluate(
        &mut self,
        state: &mut AudienceState,
        sample: &CountSample,
    ) -> Vec<AudienceEvent> {
        let mut events = EventSink { state, events: Vec::new() };
        let CountSample { at, changes, total, budget } = sample;
        if is_loss(events.state, *at) {
            events.lose_counts(false);
        }
        if !events.state.is_complete {
            events.add(*at, AudienceChange::CountComplete, Some(*total));
            self.compares_all = true;
        }
        let is_due = at.since(events.state.budget_at) >= DAY_MS;
        if let Some(excess) = budget.filter(|_| is_due) {
            events.add(*at, AudienceChange::BudgetExceeded(excess), Some(*total));
        }
        self.count(*at, changes);
        if std::mem::take(&mut self.compares_all) {
            let open = events.state.open.keys().cloned();
            let all: BTreeSet<Arc<str>> = open.chain(self.counts.keys().cloned()).collect();
            all.iter().for_each(|stage| self.compare(stage, *at, &mut events));
        } else {
            changes.iter().for_each(|(stage, _)| self.compare(stage, *at, &mut events));
        }
        self.forget_gone(changes);
        events.state.to = *at;
        events.events
    }

    /// Adds the events of a stage, whose count is of `at`.
    fn compare(&self, stage: &Arc<str>, at: UnixMs, events: &mut EventSink<'_>) {
        let count = self.counts.get(stage).copied().unwrap_or_default();
        let viewers = count.viewers;
        let open = events.state.open.get(stage).cloned();
        if open.is_none() && viewers == 0 {
            return;
        }
        let mut changes = Vec::new();
        let (is_open, open) = (open.is_some(), open.unwrap_or_default());
        if !is_open {
            changes.push(AudienceChange::Opened(stage.clone()));
        }
        let is_above = |threshold: &u64| open.above.binary_search(threshold).is_ok();
        let crossed = |threshold: &u64, is_up| AudienceChange::Threshold {
            stage: stage.clone(),
            threshold: *threshold,
            is_up,
        };
        let thresholds = &self.rules.thresholds;
        let reached = thresholds.iter().filter(|of| !is_above(of) && viewers >= **of);
        changes.extend(reached.map(|threshold| crossed(threshold, true)));
        if is_open
            && let Some(peak) = self.peak(stage, &open, self.peaks_from(at))
            && self.rules.is_drop(peak.viewers, viewers)
        {
            let stage = stage.clone();
            changes.push(AudienceChange::Drop { stage, peak: peak.viewers, peak_at: peak.until });
        }
        let lost = thresholds.iter().rev();
        let lost = lost.filter(|of| is_above(of) && self.rules.is_below(**of, viewers));
        changes.extend(lost.map(|threshold| crossed(threshold, false)));
        if is_open && viewers == 0 {
            changes.push(AudienceChange::Emptied(stage.clone()));
        }
        changes.into_iter().for_each(|change| events.add(at, change, Some(count)));
    }

    /// Applies the changes of a sample, and keeps the counts that they replace as peaks.
    fn count(&mut self, at: UnixMs, changes: &[(Arc<str>, Count)]) {
        if self.rules.drop_percent > 0 {
            let from = self.peaks_from(at);
            for (stage, _) in changes {
                let Some(before) = self.counts.get(stage) else { continue };
                let peak = Peak { until: self.counted_at, viewers: before.viewers };
                let peaks = self.peaks.entry(stage.clone()).or_default();
                while peaks.back().is_some_and(|last| last.viewers <= peak.viewers) {
                    peaks.pop_back();
                }
                peaks.push_back(peak);
                while peaks.front().is_some_and(|first| first.until < from) {
                    peaks.pop_front();
                }
            }
        }
        apply_changes(&mut self.counts, changes);
        self.counted_at = at;
    }

    /// Forgets the peaks of stages without viewers. When one opens again, it has no peaks yet.
    fn forget_gone(&mut self, changes: &[(Arc<str>, Count)]) {
        for (stage, count) in changes {
            if count.viewers == 0 {
                self.peaks.remove(stage);
            }
        }
    }

    fn peaks_from(&self, at: UnixMs) -> UnixMs {
        at.minus(self.rules.drop_within_ms)
    }

    /// Returns the largest number of viewers of a stage at or after `from`, since its last event.
    fn peak(&self, stage: &Arc<str>, open: &OpenStage, from: UnixMs) -> Option<Peak> {
        let of_event = Peak { viewers: open.viewers, until: open.since };
        let of_event = (open.since >= from).then_some(of_event);
        let from = open.since.max(from);
        // They only fall, so the first one in time is the largest.
        let of_samples =
            self.peaks.get(stage).and_then(|peaks| peaks.iter().find(|peak| peak.until >= from));
        of_samples.copied().max(of_event)
    }
}

/// Whether a time is so long after the last sample that counts have been incomplete.
#[must_use]
pub fn is_loss(state: &AudienceState, at: UnixMs) -> bool {
    let is_late = at.since(state.to) > EVENT_GAP_MS_MAX;
    state.is_complete && state.to != UnixMs::ZERO && is_late
}

/// Evaluates that a node has no complete counts. Applies the event to the state, and returns it.
pub fn evaluate_loss(state: &mut AudienceState, loss: CountLoss) -> Vec<AudienceEvent> {
    let mut events = EventSink { state, events: Vec::new() };
    if is_loss(events.state, loss.at) {
        events.lose_counts(loss.is_recovering);
    }
    events.events
}

/// Numbers events and applies them to the state.
struct EventSink<'a> {
    state: &'a mut AudienceState,
    events: Vec<AudienceEvent>,
}

impl EventSink<'_> {
    fn add(&mut self, at: UnixMs, change: AudienceChange, count: Option<Count>) {
        let event = AudienceEvent { seq: self.state.next, at, change, count };
        self.state.apply(&event);
        self.events.push(event);
    }

    /// Adds the event of incomplete counts, at the last time at which they were complete.
    fn lose_counts(&mut self, is_recovering: bool) {
        self.add(self.state.to, AudienceChange::CountIncomplete { is_recovering }, None);
    }
}

#[cfg(test)]
mod tests;
