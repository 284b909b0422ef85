//! Counts at a moment, and the buffer of them that every node keeps.
//!
//! A sample holds only the counts that differ from the sample before. The oldest samples are merged
//! into the counts that all others start from. So the buffer always has a beginning, and its size
//! is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use housecount_core::fold::Count;
use housecount_core::limits::{EVENT_CHANGES_MAX, EVENT_GAP_MS_MAX, EVENT_SAMPLES_MAX};
use housecount_core::time::UnixMs;

use crate::event::BudgetExcess;

/// Longest time between two samples of a node that has nothing else to do.
const STEP_MS_MAX: u64 = 1_500;

/// Counts of stages with viewers.
pub type StageCounts = BTreeMap<Arc<str>, Count>;

/// A moment's complete counts, as far as they differ from those of the sample before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountSample {
    /// Time of the counts. It is later than that of the sample before.
    pub at: UnixMs,
    /// Stages whose count differs, with their count now.
    pub changes: Vec<(Arc<str>, Count)>,
    /// Count of all stages together.
    pub total: Count,
    /// Excess of the node's budget, if it is exceeded.
    pub budget: Option<BudgetExcess>,
}

/// A node without complete counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountLoss {
    /// Latest time at which it had none, on the log's clock.
    pub at: UnixMs,
    /// Whether earlier counts stand in.
    pub is_recovering: bool,
}

/// Samples of the last hour or less.
#[derive(Debug, Default)]
pub struct SampleBuffer {
    /// Counts before the first sample, and their time; zero if there were none.
    base: StageCounts,
    base_at: UnixMs,
    samples: VecDeque<Arc<CountSample>>,
    /// Counts of the latest complete sample.
    latest: StageCounts,
    /// Number of changes in all samples.
    changes: usize,
    /// State of the node since the latest sample, if it has no complete counts.
    loss: Option<CountLoss>,
}

/// Samples after a time, and the counts before them.
#[derive(Debug)]
pub struct SampleHistory {
    /// Counts before the first sample.
    pub base: StageCounts,
    /// Time of these counts; zero if there were none.
    pub base_at: UnixMs,
    /// All samples of the buffer.
    pub samples: Vec<Arc<CountSample>>,
}

impl SampleBuffer {
    /// Adds complete counts as of `at`, sorted by stage. Ignored unless time has passed.
    pub fn push(
        &mut self,
        at: UnixMs,
        counts: impl IntoIterator<Item = (Arc<str>, Count)>,
        total: Count,
        budget: Option<BudgetExcess>,
    ) {
        if at <= self.last_at() {
            return;
        }
        let mut gone = std::mem::take(&mut self.latest);
        let mut changes = Vec::new();
        for (stage, count) in counts {
            let (stage, before) =
                gone.remove_entry(&stage).map_or((stage, None), |(s, c)| (s, Some(c)));
            if before != Some(count) {
                changes.push((stage.clone(), count));
            }
            self.latest.insert(stage, count);
        }
        changes.extend(gone.into_keys().map(|stage| (stage, Count::default())));
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.loss = None;
        self.changes += changes.len();
        self.samples.push_back(Arc::new(CountSample { at, changes, total, budget }));
        while self.samples.len() > EVENT_SAMPLES_MAX
            || self.changes > EVENT_CHANGES_MAX && self.samples.len() > 1
        {
            self.merge_first();
        }
    }

    /// Records that the node has no complete counts at `now`.
    pub fn push_loss(&mut self, now: UnixMs, is_recovering: bool) {
        self.loss = Some(CountLoss { at: now.max(self.last_at()), is_recovering });
    }

    /// State of the node since the latest sample, if it has no complete counts.
    #[must_use]
    pub fn loss(&self) -> Option<CountLoss> {
        self.loss
    }

    /// Merges the samples up to `to`, which are needed no more.
    pub fn forget(&mut self, to: UnixMs) {
        // The latest one stays, since the next one is compared with its time.
        while self.samples.len() > 1 && self.samples.front().is_some_and(|first| first.at <= to) {
            self.merge_first();
        }
    }

    fn merge_first(&mut self) {
        let Some(first) = self.samples.pop_front() else { return };
        self.changes -= first.changes.len();
        self.base_at = first.at;
        apply_changes(&mut self.base, &first.changes);
    }

    fn last_at(&self) -> UnixMs {
        self.samples.back().map_or(self.base_at, |last| last.at)
    }

    /// Whether these samples show all that happened between `to` and `now`, as far as they reach.
    ///
    /// They must begin `before_ms` earlier, for the peaks that a drop is compared with, or a step
    /// later. The next one after `to` must be close enough.
    #[must_use]
    pub fn covers(&self, to: UnixMs, before_ms: u64, now: UnixMs) -> bool {
        let first = self.samples.front().map_or(UnixMs::MAX, |first| first.at);
        let begins_at = if self.base_at == UnixMs::ZERO { first } else { self.base_at };
        if begins_at > to.plus(STEP_MS_MAX).minus(before_ms) {
            return false;
        }
        // A node may have slept. So no two samples on the way may be too far apart.
        let mut last_at = begins_at.min(to);
        for sample in &self.samples {
            let is_needed = sample.at > to.minus(before_ms);
            if is_needed && sample.at.since(last_at) > EVENT_GAP_MS_MAX {
                return false;
            }
            if sample.at > to {
                return true;
            }
            last_at = sample.at;
        }
        now.since(last_at.min(to)) <= EVENT_GAP_MS_MAX
    }

    /// Returns the samples after `at`. Returns `None` if later ones are merged already, so that
    /// changes between would be lost.
    #[must_use]
    pub fn after(&self, at: UnixMs) -> Option<Vec<Arc<CountSample>>> {
        if self.base_at > at {
            return None;
        }
        let from = self.samples.partition_point(|sample| sample.at <= at);
        Some(self.samples.range(from..).cloned().collect())
    }

    /// Returns all samples.
    #[must_use]
    pub fn history(&self) -> SampleHistory {
        let samples = self.samples.iter().cloned().collect();
        SampleHistory { base: self.base.clone(), base_at: self.base_at, samples }
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// Applies the changes of a sample to the counts before it.
pub fn apply_changes(counts: &mut StageCounts, changes: &[(Arc<str>, Count)]) {
    for (stage, count) in changes {
        if *count == Count::default() {
            counts.remove(stage);
        } else {
            counts.insert(stage.clone(), *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Counts = Vec<(Arc<str>, Count)>;

    fn counts(of: &[(&str, u64)]) -> Counts {
        let count = |viewers| Count { viewers, sessions: viewers };
        of.iter().map(|(stage, viewers)| ((*stage).into(), count(*viewers))).collect()
    }

    fn push(buffer: &mut SampleBuffer, at: u64, of: &[(&str, u64)]) {
        buffer.push(UnixMs(at), counts(of), Count::default(), None);
    }

    fn changes(buffer: &SampleBuffer, after: u64) -> Option<Vec<(u64, Counts)>> {
        let samples = buffer.after(UnixMs(after))?;
        Some(samples.iter().map(|sample| (sample.at.0, sample.changes.clone())).collect())
    }

    #[test]
    fn a_sample_has_only_what_differs() {
        let mut buffer = SampleBuffer::default();
        push(&mut buffer, 10, &[("a", 1), ("b", 2)]);
        push(&mut buffer, 10, &[("a", 9)]);
        push(&mut buffer, 20, &[("a", 1), ("c", 3)]);
        buffer.push_loss(UnixMs(25), false);
        assert_eq!(buffer.loss(), Some(CountLoss { at: UnixMs(25), is_recovering: false }));
        push(&mut buffer, 30, &[("a", 1), ("c", 3)]);
        let all = [
            (10, counts(&[("a", 1), ("b", 2)])),
            (20, counts(&[("b", 0), ("c", 3)])),
            (30, vec![]),
        ];
        assert_eq!(changes(&buffer, 0).as_deref(), Some(&all[..]));
        assert_eq!(changes(&buffer, 10).as_deref(), Some(&all[1..]));
        buffer.forget(UnixMs(10));
        assert_eq!((changes(&buffer, 9), changes(&buffer, 10)), (None, Some(all[1..].to_vec())));
        assert_eq!(buffer.history().base.len(), 2);
        buffer.forget(UnixMs(99));
        assert_eq!((buffer.len(), buffer.history().base.len(), buffer.loss()), (1, 2, None));
    }

    #[test]
    fn samples_cover_what_follows_without_a_gap() {
        let mut buffer = SampleBuffer::default();
        assert!(!buffer.covers(UnixMs(10), 0, UnixMs(10)), "no samples");
        push(&mut buffer, 3_000, &[]);
        push(&mut buffer, 4_000, &[]);
        push(&mut buffer, 4_000 + EVENT_GAP_MS_MAX + 500, &[]);
        let last = 4_000 + EVENT_GAP_MS_MAX + 500;
        let covers = |to, now| buffer.covers(UnixMs(to), 0, UnixMs(now));
        assert!(!covers(3_000 - STEP_MS_MAX - 1, 9_000), "they begin later");
        assert!(covers(3_000 - STEP_MS_MAX, 9_000) && covers(3_999, 9_000));
        let with_peaks = |before_ms| buffer.covers(UnixMs(3_999), before_ms, UnixMs(9_000));
        assert!(with_peaks(999 + STEP_MS_MAX) && !with_peaks(1_000 + STEP_MS_MAX));
        assert!(!covers(4_000, 9_000) && !covers(9_000, 9_000), "no sample for too long");
        assert!(
            covers(last, last + EVENT_GAP_MS_MAX) && !covers(last, last + EVENT_GAP_MS_MAX + 1)
        );
        buffer.forget(UnixMs(3_500));
        assert!(buffer.covers(UnixMs(3_500), 0, UnixMs(9_000)));
    }

    #[test]
    fn event_samples_max_are_kept() {
        let mut buffer = SampleBuffer::default();
        for at in 1..=EVENT_SAMPLES_MAX as u64 + 5 {
            push(&mut buffer, at, &[("a", at)]);
        }
        assert_eq!((buffer.len(), changes(&buffer, 4)), (EVENT_SAMPLES_MAX, None));
        assert_eq!(changes(&buffer, 5).unwrap().len(), EVENT_SAMPLES_MAX);
    }

    #[test]
    fn event_changes_max_bounds_the_memory() {
        let (mut buffer, stages) = (SampleBuffer::default(), 1_000);
        let names: Vec<Arc<str>> = (0..stages).map(|n| format!("{n:04}").into()).collect();
        for at in 1..=(EVENT_CHANGES_MAX / stages) as u64 + 3 {
            let count = Count { viewers: at, sessions: at };
            let all = names.iter().map(|stage| (stage.clone(), count));
            buffer.push(UnixMs(at), all, count, None);
        }
        assert_eq!(buffer.len(), EVENT_CHANGES_MAX / stages);
        assert_eq!((changes(&buffer, 2), buffer.history().base.len()), (None, stages));
    }
}
