//! Online viewers by the values of labels, on a stage or in all.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::fold::presence::step;

/// Whether another online session of the viewer has the same value.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::fold) struct SharedValue {
    /// Another one on the same stage.
    pub(in crate::fold) is_here: bool,
    /// Another one on any stage.
    pub(in crate::fold) is_anywhere: bool,
}

/// Number of online viewers by value, for each key.
#[derive(Debug, Default)]
pub(in crate::fold) struct LabelCounts {
    by_key: SmallVec<[HashMap<Box<str>, u64, RandomState>; 2]>,
}

impl LabelCounts {
    /// Counts a viewer more of a value, or one less. A value without viewers stays known, up to
    /// `known_max` values of the key.
    pub(in crate::fold) fn step(&mut self, key: usize, value: &str, up: bool, known_max: usize) {
        if self.by_key.len() <= key {
            self.by_key.resize_with(key + 1, HashMap::default);
        }
        let values = &mut self.by_key[key];
        let Some(viewers) = values.get_mut(value) else {
            debug_assert!(up, "a count below zero");
            values.extend(up.then(|| (value.into(), 1)));
            return;
        };
        step(viewers, up);
        if *viewers == 0 && values.len() > known_max {
            values.remove(value);
        }
    }

    /// Returns the known values of a key, in any order.
    pub(super) fn of_key(&self, key: usize) -> impl Iterator<Item = (&str, u64)> {
        let values = self.by_key.get(key).into_iter().flatten();
        values.map(|(value, viewers)| (&**value, *viewers))
    }

    /// Returns the number of known values of a key, without the empty one.
    pub(super) fn values(&self, key: usize) -> usize {
        let values = self.by_key.get(key);
        values.map_or(0, |values| values.len() - usize::from(values.contains_key("")))
    }

    /// Returns whether a value is known.
    pub(super) fn knows(&self, key: usize, value: &str) -> bool {
        self.by_key.get(key).is_some_and(|values| values.contains_key(value))
    }
}
