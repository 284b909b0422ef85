//! Labels that sessions have, for the limits of distinct values and label sets.

use housecount_core::event::SessionLabels;
use housecount_core::fold::LabelRoom;
use housecount_core::limits::LABEL_KEYS_MAX;
use smallvec::SmallVec;

use super::{Hold, Hub};

impl Hub {
    /// Returns the room for each value on a stage, and on all stages, in the order of the labels.
    pub fn label_rooms(
        &self,
        stage: &str,
        labels: &SessionLabels<'_>,
    ) -> SmallVec<[[LabelRoom; 2]; LABEL_KEYS_MAX]> {
        let fold = self.fold.lock(Hold::Look);
        let rooms = |(key, value)| [Some(stage), None].map(|of| fold.label_room(of, key, value));
        labels.pairs().map(rooms).collect()
    }

    /// Returns the room for labels among those of a viewer's sessions on a stage.
    pub fn label_set_room(
        &self,
        stage: &str,
        viewer: &str,
        labels: &SessionLabels<'_>,
    ) -> LabelRoom {
        self.fold.lock(Hold::Look).label_set_room(stage, viewer, labels)
    }
}
