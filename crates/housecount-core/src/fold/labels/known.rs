//! Counts by label, and the values and label sets that sessions have, for their limits.

use smallvec::SmallVec;

use super::{LabelCounts, LabelTable, SetIndex};
use crate::event::{Ids, SessionLabels};
use crate::fold::Fold;
use crate::limits::LABEL_VALUES_MAX;

/// Online viewers by the value of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountsByLabel {
    /// Values with their viewers, at most [`LABEL_VALUES_MAX`]. The greatest count comes first, and
    /// of equal ones the lesser value. The empty value stands for sessions without the label.
    pub values: Vec<(String, u64)>,
    /// Number of further values.
    pub omitted: usize,
    /// Number of values with fewer viewers than the floor.
    pub below_floor: usize,
}

/// Room for one more value, or one more label set, where their number has a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelRoom {
    /// Whether a session has it.
    pub is_known: bool,
    /// Number of those that sessions have.
    pub known: usize,
}

impl LabelCounts {
    fn room(&self, key: usize, value: &str) -> LabelRoom {
        LabelRoom { is_known: self.knows(key, value), known: self.values(key) }
    }

    fn largest(&self, key: usize, floor: u64) -> CountsByLabel {
        let mut found = CountsByLabel::default();
        let mut values: Vec<(&str, u64)> = Vec::new();
        for value in self.of_key(key).filter(|(_, viewers)| *viewers > 0) {
            if value.1 < floor {
                found.below_floor += 1;
            } else {
                values.push(value);
            }
        }
        let order = |a: &(&str, u64), b: &(&str, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0));
        if let Some(omitted) = values.len().checked_sub(LABEL_VALUES_MAX).filter(|more| *more > 0) {
            values.select_nth_unstable_by(LABEL_VALUES_MAX, order);
            values.truncate(LABEL_VALUES_MAX);
            found.omitted = omitted;
        }
        values.sort_unstable_by(order);
        let owned = values.into_iter().map(|(value, viewers)| (value.to_string(), viewers));
        found.values = owned.collect();
        found
    }
}

impl Fold {
    /// Returns the online viewers of a stage, or of all, by the value of a label. Values with fewer
    /// viewers than `floor` are only counted.
    ///
    /// A viewer whose sessions have several values is counted for each, once.
    #[must_use]
    pub fn label_counts(&self, stage: Option<&str>, key: &str, floor: u64) -> CountsByLabel {
        let counts = self.counts_of(stage, key);
        counts.map_or_else(CountsByLabel::default, |(key, counts)| counts.largest(key, floor))
    }

    /// Returns the room for a value of a label. A stage remembers values while it is known; those
    /// of all stages are of online viewers.
    #[must_use]
    pub fn label_room(&self, stage: Option<&str>, key: &str, value: &str) -> LabelRoom {
        let counts = self.counts_of(stage, key);
        counts.map_or_else(LabelRoom::default, |(key, counts)| counts.room(key, value))
    }

    /// Returns the room for labels among those of a viewer's sessions on a stage.
    #[must_use]
    pub fn label_set_room(
        &self,
        stage: &str,
        viewer: &str,
        labels: &SessionLabels<'_>,
    ) -> LabelRoom {
        let Some(table) = self.seats.labels.as_deref() else { return LabelRoom::default() };
        let sets = self.sets_of(table, stage, viewer);
        let is_known = sets.iter().any(|set| **table.values(*set) == *labels.values());
        LabelRoom { is_known, known: sets.len() }
    }

    /// Returns the distinct label sets of a viewer's sessions on a stage.
    fn sets_of(&self, table: &LabelTable, stage: &str, viewer: &str) -> SmallVec<[SetIndex; 8]> {
        let (_, handle) = self.handle(Ids { stage, viewer, session: "" });
        let seat = self.seats.find_viewer(handle.head(), viewer);
        let Some((seat, stage)) = seat.zip(self.seats.stages.find(stage)) else {
            return SmallVec::new();
        };
        let claims = self.seats.on(seat, stage).map(|seat| table.claim(seat));
        let mut sets: SmallVec<[SetIndex; 8]> =
            claims.filter(|claim| claim.has_labels()).map(|claim| claim.set()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Returns the counts of a stage, or of all, and the place of a key in them.
    fn counts_of(&self, stage: Option<&str>, key: &str) -> Option<(usize, &LabelCounts)> {
        let table = self.seats.labels.as_deref()?;
        let counts = match stage {
            None => &table.totals,
            Some(stage) => self.seats.stages[self.seats.stages.find(stage)?].labels.as_deref()?,
        };
        Some((table.key(key)?, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_label_values_max_are_listed_and_the_others_are_numbers() {
        let mut counts = LabelCounts::default();
        let names: Vec<String> = (0..LABEL_VALUES_MAX + 3).map(|n| format!("{n:04}")).collect();
        let last = names[names.len() - 1].clone();
        names.iter().chain([&last]).for_each(|name| counts.step(1, name, true, 0));
        let mut expected = vec![(last, 2)];
        expected.extend(names[..LABEL_VALUES_MAX - 1].iter().map(|name| (name.clone(), 1)));
        let found = counts.largest(1, 1);
        assert_eq!((found.omitted, found.below_floor), (3, 0));
        assert_eq!(found.values, expected);
        let below_floor = LABEL_VALUES_MAX + 2;
        expected.truncate(1);
        let found = counts.largest(1, 2);
        assert_eq!(found, CountsByLabel { values: expected, omitted: 0, below_floor });
        assert_eq!(counts.largest(0, 1), CountsByLabel::default());
    }
}
