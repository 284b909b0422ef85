//! Books: who has which number, by writer and epoch.

use std::collections::BTreeMap;

use super::NumberEntry;
use crate::limits::EPOCHS_MAX;
use crate::time::UnixMs;

/// What the items of one epoch add up to. It only grows, so that an early item can be read with a
/// later book.
#[derive(Clone, Debug, Default)]
pub(super) struct NumberTable {
    pub(super) stages: Vec<Box<str>>,
    pub(super) entries: Vec<NumberEntry>,
}

/// The books that a reader keeps, [`EPOCHS_MAX`] at most.
#[derive(Debug, Default)]
pub struct NumberTables {
    books: BTreeMap<(u32, UnixMs), (u64, NumberTable)>,
    uses: u64,
}

impl NumberTables {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.books.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// The book of a writer's epoch; a new one only for the `is_first` item of it.
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
