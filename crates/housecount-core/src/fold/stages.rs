//! Stages in the fold, found by their ids.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::{Bound, Index, IndexMut};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::labels::LabelCounts;
use super::online::OnlineSeats;
use super::presence::Count;
use super::seat::StageIndex;
use crate::time::UnixMs;

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) id: Arc<str>,
    pub(super) count: Count,
    /// Largest number of viewers so far.
    pub(super) peak: u64,
    /// Seats that are online here.
    pub(super) online: OnlineSeats,
    /// Online viewers by label, where labels are on.
    pub(super) labels: Option<Box<LabelCounts>>,
    /// Time since which no seat is online.
    pub(super) idle_since: UnixMs,
    /// Whether the stage is in the queue of idle stages.
    pub(super) is_queued: bool,
    /// Number of seats on the stage, online or not.
    seats: u32,
    /// Whether the stage is in `Stages::changed`.
    is_changed: bool,
}

/// Stages by index and by id, with the set of changed counts.
#[derive(Debug, Default)]
pub(super) struct Stages {
    stages: Slab<Stage>,
    by_id: HashTable<StageIndex>,
    hasher: RandomState,
    /// Stages sorted by id, so that a page of a list can start anywhere.
    sorted: BTreeMap<Arc<str>, StageIndex>,
    /// Stages whose count has changed since [`take_changed`](Self::take_changed), each once.
    changed: VecDeque<StageIndex>,
}

impl Index<StageIndex> for Stages {
    type Output = Stage;
    fn index(&self, stage: StageIndex) -> &Stage {
        &self.stages[stage as usize]
    }
}

impl IndexMut<StageIndex> for Stages {
    fn index_mut(&mut self, stage: StageIndex) -> &mut Stage {
        &mut self.stages[stage as usize]
    }
}

impl Stages {
    pub(super) fn find(&self, id: &str) -> Option<StageIndex> {
        let hash = self.hasher.hash_one(id);
        self.by_id.find(hash, |i| *self[*i].id == *id).copied()
    }

    /// Returns the stage at a place, or `None` for [`NOWHERE`](super::seat::NOWHERE).
    pub(super) fn get(&self, stage: StageIndex) -> Option<&Stage> {
        self.stages.get(stage as usize)
    }

    /// Adds a seat to a stage, which is created if it does not exist.
    pub(super) fn enter(&mut self, id: &str) -> StageIndex {
        let stage = self.find(id).unwrap_or_else(|| self.insert(id));
        self[stage].seats += 1;
        stage
    }

    /// Removes a seat from a stage.
    pub(super) fn exit(&mut self, stage: StageIndex) {
        if self.stages.contains(stage as usize) {
            self[stage].seats -= 1;
            self.drop_if_unused(stage);
        }
    }

    fn insert(&mut self, id: &str) -> StageIndex {
        let id: Arc<str> = id.into();
        let stage = self.stages.insert(Stage {
            id: id.clone(),
            count: Count::default(),
            peak: 0,
            online: OnlineSeats::default(),
            labels: None,
            idle_since: UnixMs::ZERO,
            is_queued: false,
            seats: 0,
            is_changed: false,
        });

        let (stages, hasher) = (&self.stages, &self.hasher);
        self.by_id.insert_unique(hasher.hash_one(&*id), stage as StageIndex, |i| {
            hasher.hash_one(&*stages[*i as usize].id)
        });
        self.sorted.insert(id, stage as StageIndex);
        stage as StageIndex
    }

    /// Removes a stage without seats and without a peak to show.
    pub(super) fn drop_if_unused(&mut self, stage: StageIndex) {
        let known = &self[stage];
        if known.seats > 0 || known.peak > 0 || known.is_queued {
            return;
        }
        let gone = self.stages.remove(stage as usize);
        self.sorted.remove(&gone.id);
        if let Ok(entry) = self.by_id.find_entry(self.hasher.hash_one(&*gone.id), |i| *i == stage) {
            entry.remove();
        }
    }

    /// Returns the stages with ids greater than `after`, sorted by id.
    pub(super) fn after(&self, after: Option<&str>) -> impl Iterator<Item = &Stage> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sorted.range::<str, _>((from, Bound::Unbounded)).map(|(_, stage)| &self[*stage])
    }

    /// Marks a stage whose count has changed.
    pub(super) fn mark_changed(&mut self, stage: StageIndex) {
        if !std::mem::replace(&mut self[stage].is_changed, true) {
            self.changed.push_back(stage);
        }
    }

    /// Removes up to `limit` stages from the changed ones, and returns them. A stage that was
    /// removed since is left out.
    pub(super) fn take_changed(&mut self, limit: usize) -> impl Iterator<Item = &Stage> {
        let taken: Vec<StageIndex> = self.changed.drain(..limit.min(self.changed.len())).collect();
        for stage in &taken {
            if let Some(stage) = self.stages.get_mut(*stage as usize) {
                stage.is_changed = false;
            }
        }
        taken.into_iter().filter_map(|stage| self.stages.get(stage as usize))
    }

    /// Sets the peak of each stage to its present number of viewers.
    pub(super) fn reset_peaks(&mut self) {
        self.stages.iter_mut().for_each(|(_, stage)| stage.peak = stage.count.viewers);
    }
}
