//! Values of labels that a stage has, for the limit of distinct values.

use housecount_core::event::SessionLabels;
use housecount_core::limits::LABEL_KEYS_MAX;
use smallvec::SmallVec;

use super::{Hold, Hub};

/// Values of one key on a stage, seen from one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelRoom {
    /// Whether a session of the stage has the value.
    pub is_known: bool,
    /// Number of distinct values that the stage's sessions have.
    pub values: usize,
}

impl Hub {
    /// Returns the values that a stage has of each key, in the order of the labels.
    pub fn label_rooms(
        &self,
        stage: &str,
        labels: &SessionLabels<'_>,
    ) -> SmallVec<[LabelRoom; LABEL_KEYS_MAX]> {
        let fold = self.fold.lock(Hold::Look);
        let room = |(key, value)| LabelRoom {
            is_known: fold.knows_label_value(stage, key, value),
            values: fold.label_values(stage, key),
        };
        labels.pairs().map(room).collect()
    }
}
