//! Number tables: the session of each number, by writer and epoch.

use std::collections::BTreeMap;

use super::{NumberEntry, NumberedLabels};
use crate::labels::SessionLabels;
use crate::limits::EPOCHS_MAX;
use crate::time::UnixMs;

/// Content of the items of one epoch so far. It only grows, so an early item can be read with a
/// later table.
#[derive(Clone, Debug, Default)]
pub(super) struct NumberTable {
    pub(super) stages: Vec<Box<str>>,
    pub(super) entries: Vec<NumberEntry>,
    /// Keys and values of each label set.
    pub(super) label_sets: Vec<(Box<str>, Box<str>)>,
}

impl NumberTable {
    /// Returns the labels of a beat at `at`. A beat before they were first seen has none.
    pub(super) fn labels(&self, labels: NumberedLabels, at: UnixMs) -> SessionLabels<'_> {
        let Some((set, since)) = labels.filter(|(_, since)| *since <= at) else {
            return SessionLabels::NONE;
        };
        self.label_sets.get(set as usize).map_or(SessionLabels::NONE, |(keys, values)| {
            SessionLabels::of_checked(keys, values, at.since(since))
        })
    }
}

/// Number tables that a reader keeps, at most [`EPOCHS_MAX`].
#[derive(Debug, Default)]
pub struct NumberTables {
    books: BTreeMap<(u32, UnixMs), (u64, NumberTable)>,
    uses: u64,
}

impl NumberTables {
    /// Returns the number of tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.books.len()
    }

    /// Returns whether there are no tables.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// Returns the table of a writer's epoch. Creates it only for the `is_first` item of the epoch.
    pub(super) fn find(
        &mut self,
        writer: u32,
        begun: UnixMs,
        is_first: bool,
    ) -> Option<&mut NumberTable> {
        self.uses += 1;
        if !self.books.contains_key(&(writer, begun)) {
            if !is_first {
                return None;
            }
            if self.books.len() >= EPOCHS_MAX {
                let oldest =
                    self.books.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
                oldest.and_then(|key| self.books.remove(&key));
            }
            self.books.insert((writer, begun), (0, NumberTable::default()));
        }
        let (used, book) = self.books.get_mut(&(writer, begun))?;
        *used = self.uses;
        Some(book)
    }
}
