//! Renaming of a viewer in a written chunk. It lets a viewer be forgotten, while all watch time
//! stays the same.
//!
//! A chunk names a viewer only where it is new. Everything else refers to places, which do not
//! change. A renamed chunk therefore has the same content for all other viewers, and later chunks
//! can be read as before. Its bytes, and so its checksum, change. The chunk after it still has the
//! first checksum, which is stored beside the renamed chunk (docs/FORMATS.md).

use super::book::Book;
use super::chunk::Chunk;

impl Book {
    /// Returns the places of a viewer's new entries in the next chunk, on one stage or on any, for
    /// [`Chunk::rename`].
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
    /// Returns the stages that this chunk is the first to name.
    pub fn new_stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| &**stage)
    }

    /// Gives some of its new entries another viewer's name. All must be of one viewer, and no other
    /// viewer may have the name.
    pub fn rename(&mut self, places: &[usize], to: &str) {
        places.iter().for_each(|place| self.new.rename(*place, to));
    }
}
