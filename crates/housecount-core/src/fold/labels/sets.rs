//! Distinct label sets of all seats, each stored once and counted by its seats.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use crate::labels::{OTHER, SEPARATOR};
use crate::limits::LABEL_SETS_MAX;

/// Place of a label set.
pub(in crate::fold) type SetIndex = u32;

/// Bits of a claim for the place of its set.
pub(super) const SET_BITS: u32 = LABEL_SETS_MAX.ilog2();
/// Maximum number of sets. It is lower in tests, so that they reach it.
const SETS_MAX: usize = if cfg!(test) { 40 } else { LABEL_SETS_MAX };
/// The set with an empty value for each key, which seats without a claim have.
pub(super) const LABELLESS: SetIndex = 0;
/// The set with [`OTHER`] for each key, which claims get when there is no place left.
const ALL_OTHER: SetIndex = 1;

#[derive(Debug)]
struct LabelSet {
    /// Values in the order of the configured keys, separated by [`SEPARATOR`].
    values: Arc<str>,
    /// Number of seats with a claim of this set. The two sets that stay have one more.
    seats: u32,
}

#[derive(Debug)]
pub(super) struct LabelSets {
    sets: Slab<LabelSet>,
    by_values: HashTable<SetIndex>,
    hasher: RandomState,
}

impl LabelSets {
    pub(super) fn new(keys: usize) -> LabelSets {
        let mut sets = LabelSets {
            sets: Slab::new(),
            by_values: HashTable::new(),
            hasher: RandomState::default(),
        };
        for value in ["", OTHER] {
            sets.intern(&vec![value; keys].join(SEPARATOR.encode_utf8(&mut [0; 4])));
        }
        sets
    }

    /// Returns the values of a set.
    pub(super) fn values(&self, set: SetIndex) -> &Arc<str> {
        &self.sets[set as usize].values
    }

    /// Returns the set of these values, for one more seat.
    pub(super) fn intern(&mut self, values: &str) -> SetIndex {
        let LabelSets { sets, by_values, hasher } = self;
        let hash = hasher.hash_one(values);
        let known = by_values.find(hash, |set| *sets[*set as usize].values == *values).copied();
        let set = match known {
            Some(set) => set,
            None if sets.len() >= SETS_MAX => ALL_OTHER,
            None => {
                let set = sets.insert(LabelSet { values: values.into(), seats: 0 }) as SetIndex;
                by_values
                    .insert_unique(hash, set, |set| hasher.hash_one(&*sets[*set as usize].values));
                set
            }
        };
        self.hold(set);
        set
    }

    /// Counts one more seat of a set.
    pub(super) fn hold(&mut self, set: SetIndex) {
        self.sets[set as usize].seats += 1;
    }

    /// Counts one seat less of a set, and removes a set without seats.
    pub(super) fn release(&mut self, set: SetIndex) {
        let known = &mut self.sets[set as usize];
        known.seats = known.seats.saturating_sub(1);
        if known.seats == 0 && set != LABELLESS && set != ALL_OTHER {
            let gone = self.sets.remove(set as usize);
            let hash = self.hasher.hash_one(&*gone.values);
            if let Ok(entry) = self.by_values.find_entry(hash, |known| *known == set) {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_max_are_kept_and_places_are_reused() {
        assert_eq!(SETS_MAX, LABEL_SETS_MAX.min(40), "tests use few sets");
        assert_eq!(LABEL_SETS_MAX, 1 << SET_BITS);
        let mut sets = LabelSets::new(2);
        assert_eq!(
            (&**sets.values(LABELLESS), &**sets.values(ALL_OTHER)),
            ("\u{1}", "other\u{1}other")
        );
        let all: Vec<SetIndex> = (2..SETS_MAX).map(|n| sets.intern(&format!("{n}\u{1}"))).collect();
        assert_eq!(sets.intern("one more\u{1}"), ALL_OTHER);
        assert_eq!(sets.intern("7\u{1}"), all[5], "a known set needs no place");
        sets.release(all[5]);
        sets.release(all[5]);
        let free = sets.intern("one more\u{1}");
        assert_eq!(&**sets.values(free), "one more\u{1}");
        all.iter().filter(|set| **set != all[5]).for_each(|set| sets.release(*set));
        assert_eq!((sets.sets.len(), sets.by_values.len()), (3, 3));
    }
}
