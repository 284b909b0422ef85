//! Renaming a viewer in a chunk that is written already: for one who wants to be forgotten, while
//! all time stays what it was.
//!
//! A chunk names a viewer only where it is new; everything else goes by places, which stay. So a
//! renamed chunk says the same of everybody, and what follows it can be read as before. Its bytes,
//! and so its checksum, are others: the chunk after it goes on to know it by the one that it had
//! first, which is kept beside it (docs/FORMATS.md).

use super::book::Book;
use super::chunk::Chunk;

impl Book {
    /// Which of the new entries of the chunk that comes next are a viewer's, on one stage or on
    /// any: for [`Chunk::rename`].
    #[must_use]
    pub fn names(&self, chunk: &Chunk, viewer: &str, stage: Option<&str>) -> Vec<usize> {
        let known = if chunk.is_keyframe() { &[] } else { &self.stages[..] };
        let stage_of = |place: u32| match place.checked_sub(chunk.known_stages) {
            Some(new) => chunk.stages.get(new as usize),
            None => known.get(place as usize),
        };
        let is_wanted = |place| {
            stage.is_none_or(|wanted| stage_of(place).is_some_and(|stage| **stage == *wanted))
        };
        let new = chunk.new.iter().enumerate();
        new.filter(|(_, new)| chunk.new.is(*new, viewer) && is_wanted(new.stage))
            .map(|(place, _)| place)
            .collect()
    }
}

impl Chunk {
    /// The stages that it speaks of first.
    pub fn new_stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| &**stage)
    }

    /// Gives some of its new entries another viewer's name. They must be one viewer's, and the name
    /// nobody else's.
    pub fn rename(&mut self, places: &[usize], to: &str) {
        places.iter().for_each(|place| self.new.rename(*place, to));
    }
}
