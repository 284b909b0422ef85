//! The stages that the fold knows, found by their ids.

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::presence::Count;
use super::seat::{SeatIndex, StageIndex};
use crate::time::UnixMs;

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) id: Box<str>,
    pub(super) count: Count,
    /// The most viewers so far.
    pub(super) peak: u64,
    /// The seats that are online here, in no order.
    pub(super) online: Vec<SeatIndex>,
    /// Since when none is.
    pub(super) idle_since: UnixMs,
    /// Whether its turn to be forgotten is waited for.
    pub(super) is_queued: bool,
    /// How many seats are on it, online or not.
    seats: u32,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Stages {
    stages: Slab<Stage>,
    by_id: HashTable<StageIndex>,
    hasher: RandomState,
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

    /// The stage at a place; none for [`NOWHERE`](super::seat::NOWHERE).
    pub(super) fn get(&self, stage: StageIndex) -> Option<&Stage> {
        self.stages.get(stage as usize)
    }

    /// A seat comes to a stage, made if it isn't there.
    pub(super) fn enter(&mut self, id: &str) -> StageIndex {
        let stage = self.find(id).unwrap_or_else(|| self.insert(id));
        self[stage].seats += 1;
        stage
    }

    /// A seat leaves a stage.
    pub(super) fn exit(&mut self, stage: StageIndex) {
        if self.stages.contains(stage as usize) {
            self[stage].seats -= 1;
            self.drop_if_unused(stage);
        }
    }

    fn insert(&mut self, id: &str) -> StageIndex {
        let stage = self.stages.insert(Stage {
            id: id.into(),
            count: Count::default(),
            peak: 0,
            online: Vec::new(),
            idle_since: UnixMs::ZERO,
            is_queued: false,
            seats: 0,
        });
        let (stages, hasher) = (&self.stages, &self.hasher);
        self.by_id.insert_unique(hasher.hash_one(id), stage as StageIndex, |i| {
            hasher.hash_one(&*stages[*i as usize].id)
        });
        stage as StageIndex
    }

    /// Drops a stage that nobody can ask for any more.
    pub(super) fn drop_if_unused(&mut self, stage: StageIndex) {
        let known = &self[stage];
        if known.seats > 0 || known.peak > 0 || known.is_queued {
            return;
        }
        let gone = self.stages.remove(stage as usize);
        if let Ok(entry) = self.by_id.find_entry(self.hasher.hash_one(&*gone.id), |i| *i == stage) {
            entry.remove();
        }
    }

    /// All stages, in no order that means anything.
    pub(super) fn all(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().map(|(_, stage)| stage)
    }

    pub(super) fn reset_peaks(&mut self) {
        self.stages.iter_mut().for_each(|(_, stage)| stage.peak = stage.count.viewers);
    }
}
