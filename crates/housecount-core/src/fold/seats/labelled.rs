//! Counts of online viewers by label. A viewer with several sessions is counted once for each
//! distinct value, on a stage and in all.

use super::SeatTable;
use crate::fold::labels::{LabelTable, SharedValue};
use crate::fold::seat::{SeatFlag, SeatIndex};
use crate::labels::SEPARATOR;
use crate::limits::{LABEL_KEYS_MAX, LABEL_VALUES_MAX};

impl SeatTable {
    /// Changes the labels of a seat by `change`, and corrects the counts.
    pub(in crate::fold) fn change_labels(
        &mut self,
        seat: SeatIndex,
        change: impl FnOnce(&mut LabelTable),
    ) {
        let is_online = self[seat].is(SeatFlag::Online);
        if is_online {
            self.count_labels(seat, false);
        }
        if let Some(labels) = self.labels.as_deref_mut() {
            change(labels);
        }
        if is_online {
            let stage = self[seat].stage;
            self.count_labels(seat, true);
            self.stages.mark_changed(stage);
        }
    }

    /// Adds the labels of a seat to the counts or removes them, where no other online seat of the
    /// viewer has the same value.
    pub(in crate::fold) fn count_labels(&mut self, seat: SeatIndex, up: bool) {
        let Some(mut labels) = self.labels.take() else { return };
        let values = labels.values(labels.set(seat)).clone();
        let known = &self.seats[seat as usize];
        let shared = match self.indexes.get_mut(known.index as usize) {
            Some(index) => index.count_labels(known.stage, &values, up),
            None => self.walk_shared_values(seat, &labels),
        };
        let here = self.stages[self.seats[seat as usize].stage].labels.get_or_insert_default();
        for (key, (value, shared)) in values.split(SEPARATOR).zip(shared).enumerate() {
            if !shared.is_here {
                here.step(key, value, up, LABEL_VALUES_MAX);
            }
            if !shared.is_anywhere {
                labels.totals.step(key, value, up, 0);
            }
        }
        self.labels = Some(labels);
    }

    /// Returns for each key whether other online seats have the seat's value, by a walk through the
    /// ring.
    fn walk_shared_values(
        &self,
        seat: SeatIndex,
        labels: &LabelTable,
    ) -> [SharedValue; LABEL_KEYS_MAX] {
        let mut shared = [SharedValue::default(); LABEL_KEYS_MAX];
        let (set, stage) = (labels.set(seat), self[seat].stage);
        for other in self.ring(seat).skip(1) {
            let known = &self[other];
            if !known.is(SeatFlag::Online) {
                continue;
            }
            let of_other = labels.set(other);
            let both =
                labels.values(set).split(SEPARATOR).zip(labels.values(of_other).split(SEPARATOR));
            for (shared, (value, other)) in shared.iter_mut().zip(both) {
                if of_other == set || value == other {
                    shared.is_anywhere = true;
                    shared.is_here |= known.stage == stage;
                }
            }
        }
        shared
    }

    /// Adds the labels of an online seat to a new index over its viewer's seats.
    pub(super) fn index_labels(&mut self, seat: SeatIndex) {
        let known = &self.seats[seat as usize];
        if let Some(labels) = &self.labels
            && known.is(SeatFlag::Online)
            && let Some(index) = self.indexes.get_mut(known.index as usize)
        {
            index.count_labels(known.stage, labels.values(labels.set(seat)), true);
        }
    }
}
