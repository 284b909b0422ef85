//! Stages whose counts may have changed since their last message.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Interval of checks of stages that only subscribers of all stages follow. It is the greatest
/// delay of such a change.
pub(super) const LOOK_EVERY_MS: u64 = 500;
/// Stages checked under one hold of the board's lock: some 50 us.
pub(super) const STAGES_PER_HOLD: usize = 64;

/// Stages to check now.
#[derive(Debug)]
pub(super) struct DueStages {
    /// Whether subscribers named them.
    is_named: bool,
    /// The stages, sorted.
    pub(super) stages: Vec<Arc<str>>,
}

/// Stages that wait for a check, each once however often it changed.
#[derive(Debug, Default)]
pub(super) struct PendingStages {
    /// Stages that a subscriber named.
    named: BTreeSet<Arc<str>>,
    /// Other stages, for the subscribers of all.
    unnamed: BTreeSet<Arc<str>>,
    /// When the other stages were last checked.
    looked_mono_ms: u64,
}

impl PendingStages {
    pub(super) fn insert_named(&mut self, stage: Arc<str>) {
        self.named.insert(stage);
    }

    pub(super) fn insert_unnamed(&mut self, stage: Arc<str>) {
        self.unnamed.insert(stage);
    }

    pub(super) fn remove(&mut self, stage: &Arc<str>) {
        self.named.remove(stage);
        self.unnamed.remove(stage);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.unnamed.is_empty()
    }

    /// Returns some of the stages to check now, after those in `after`.
    pub(super) fn due(&mut self, after: Option<&DueStages>, now_mono_ms: u64) -> Option<DueStages> {
        let is_named = after.is_none_or(|after| after.is_named);
        let from = after.and_then(|after| after.stages.last());
        if is_named && let Some(stages) = slice_of(&self.named, from) {
            return Some(DueStages { is_named: true, stages });
        }
        let from = from.filter(|_| !is_named);
        if from.is_none() && now_mono_ms < self.looked_mono_ms + LOOK_EVERY_MS {
            return None;
        }
        self.looked_mono_ms = now_mono_ms;
        slice_of(&self.unnamed, from).map(|stages| DueStages { is_named: false, stages })
    }
}

/// Returns some of the stages after `after`; `None` at the end.
fn slice_of(stages: &BTreeSet<Arc<str>>, after: Option<&Arc<str>>) -> Option<Vec<Arc<str>>> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let slice: Vec<Arc<str>> = stages
        .range::<Arc<str>, _>((from, Bound::Unbounded))
        .take(STAGES_PER_HOLD)
        .cloned()
        .collect();
    (!slice.is_empty()).then_some(slice)
}
