//! New entries of a chunk: 20 bytes each, and a packed id.

use std::fmt;

use super::chunk::Toggles;
use super::owner::EntryLabels;
use housecount_core::id_arena::{Id, IdArena, IdRef};

/// Value for "no toggle".
const NEVER: u32 = u32::MAX;

/// A new entry. A join has toggles, the first of which switches it on. Any other new entry has only
/// late spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewEntry {
    pub(super) stage: u32,
    /// Id of the viewer. Each entry has an `IdRef` of its own, also entries of one viewer.
    pub(super) viewer: IdRef,
    /// First toggle, or [`NEVER`].
    first: u32,
    /// Place of its further toggles, or [`NEVER`] if it has none.
    further: u32,
    pub(super) labels: EntryLabels,
}

impl NewEntry {
    /// Returns whether it has toggles.
    pub(super) fn is_join(self) -> bool {
        self.first != NEVER
    }
}

/// New entries in the order of a chunk.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct NewEntries {
    list: Vec<NewEntry>,
    pub(super) names: IdArena,
    further: Vec<Box<[u32]>>,
}

/// Shows entries as texts, because their places in memory mean nothing.
impl fmt::Debug for NewEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |new: &NewEntry| {
            (new.stage, self.viewer(*new).to_string(), self.toggles(*new), new.labels)
        };
        f.debug_list().entries(self.list.iter().map(shown)).finish()
    }
}

impl NewEntries {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Reserves memory for exactly `more` entries, not for twice as many.
    pub(super) fn reserve(&mut self, more: usize) {
        self.list.reserve_exact(more);
    }

    /// Adds an entry. Toggles are below `u32::MAX`, which is the longest window.
    pub(super) fn push(
        &mut self,
        stage: u32,
        viewer: &str,
        labels: EntryLabels,
        toggles: &[u32],
    ) -> NewEntry {
        let (first, further) = match toggles {
            [] => (NEVER, NEVER),
            [first] => (*first, NEVER),
            [first, further @ ..] => {
                self.further.push(further.into());
                (*first, self.further.len() as u32 - 1)
            }
        };
        let new = NewEntry { stage, viewer: self.names.insert(viewer), first, further, labels };
        self.list.push(new);
        new
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = NewEntry> + '_ {
        self.list.iter().copied()
    }

    /// Replaces the draft's numbers of stages by their places in the chunk.
    pub(super) fn place_stages(&mut self, place: &[u32]) {
        self.list.iter_mut().for_each(|new| new.stage = place[new.stage as usize]);
    }

    /// Replaces the draft's numbers of label sets by those of the chunk.
    pub(super) fn place_labels(&mut self, number: impl Fn(u32) -> u32) {
        for new in self.list.iter_mut().filter(|new| new.labels != EntryLabels::NONE) {
            new.labels = new.labels.renumbered(number(new.labels.number()));
        }
    }

    /// Sorts joins by time, before the other entries. Then it sorts by stage, name and labels.
    pub(super) fn sort(&mut self) {
        let NewEntries { list, names, .. } = self;
        list.sort_unstable_by(|a, b| {
            let by_name = || names.cmp(a.viewer, b.viewer);
            let by_place = a.first.cmp(&b.first).then(a.stage.cmp(&b.stage));
            by_place.then_with(by_name).then(a.labels.cmp(&b.labels))
        });
    }

    pub(super) fn viewer(&self, new: NewEntry) -> Id<'_> {
        self.names.id(new.viewer)
    }

    pub(super) fn is(&self, new: NewEntry, viewer: &str) -> bool {
        self.names.is(new.viewer, viewer)
    }

    pub(super) fn toggles(&self, new: NewEntry) -> Toggles {
        let further = self.further.get(new.further as usize).map_or(&[][..], |further| further);
        Some(new.first).filter(|first| *first != NEVER).iter().chain(further).copied().collect()
    }

    /// Returns the number of an entry's toggles.
    pub(super) fn count(&self, new: NewEntry) -> usize {
        let further = self.further.get(new.further as usize).map_or(0, |further| further.len());
        usize::from(new.is_join()) + further
    }

    /// Gives an entry another name.
    pub(super) fn rename(&mut self, place: usize, to: &str) {
        if let Some(new) = self.list.get_mut(place) {
            self.names.remove(new.viewer);
            new.viewer = self.names.insert(to);
        }
    }
}
