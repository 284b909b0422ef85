//! The bytes of ids, packed: a million ids of 36 bytes take 40 MB, and growing never moves them.
//!
//! An id lies in a slot of its size class, behind one byte for its length; slots lie in chunks of a fixed number, so
//! that nothing is copied when there are more. A name is 32 bits: its class and its slot.

/// The longest id kept here, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Slots grow by so many bytes from class to class.
const STEP_BYTES: usize = 4;
/// Classes: the longest id and its length byte fit the last one.
const CLASSES: usize = (NAME_BYTES_MAX + 1).div_ceil(STEP_BYTES);
/// Slots of a chunk.
const CHUNK_SLOTS: usize = 1_024;
/// Bits of a name that say which slot of its class.
const SLOT_BITS: u32 = 26;

const _: () = {
    assert!(NAME_BYTES_MAX >= crate::limits::VIEWER_ID_BYTES_MAX);
    assert!(NAME_BYTES_MAX >= crate::limits::SESSION_ID_BYTES_MAX);
    assert!(CLASSES < 1 << (32 - SLOT_BITS));
};

/// An id in a [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u32);

impl Name {
    /// The empty id, which takes no room.
    pub(super) const EMPTY: Name = Name(u32::MAX);
    /// No id is known.
    pub(super) const UNKNOWN: Name = Name(u32::MAX - 1);

    fn class(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

#[derive(Debug, Default)]
struct Class {
    chunks: Vec<Box<[u8]>>,
    /// Slots in use or given back.
    used: usize,
    free: Vec<u32>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Names {
    classes: Vec<Class>,
}

impl Default for Names {
    fn default() -> Names {
        Names { classes: (0..CLASSES).map(|_| Class::default()).collect() }
    }
}

fn slot_bytes(class: usize) -> usize {
    (class + 1) * STEP_BYTES
}

impl Names {
    /// Keeps an id, of at most [`NAME_BYTES_MAX`] bytes.
    pub(super) fn insert(&mut self, id: &str) -> Name {
        if id.is_empty() {
            return Name::EMPTY;
        }
        debug_assert!(id.len() <= NAME_BYTES_MAX);
        let at = (id.len() / STEP_BYTES).min(CLASSES - 1);
        let (class, size) = (&mut self.classes[at], slot_bytes(at));
        let slot = class.free.pop().map_or(class.used, |slot| slot as usize);
        if slot == class.used {
            class.used += 1;
        }
        if slot / CHUNK_SLOTS == class.chunks.len() {
            class.chunks.push(vec![0; CHUNK_SLOTS * size].into_boxed_slice());
        }
        let from = slot % CHUNK_SLOTS * size;
        let room = &mut class.chunks[slot / CHUNK_SLOTS][from..from + size];
        let len = id.len().min(size - 1);
        room[0] = len as u8;
        room[1..=len].copy_from_slice(&id.as_bytes()[..len]);
        Name((at as u32) << SLOT_BITS | slot as u32)
    }

    /// Gives an id's room back.
    pub(super) fn remove(&mut self, name: Name) {
        if let Some(class) = self.classes.get_mut(name.class()) {
            class.free.push(name.slot() as u32);
        }
    }

    /// An id's bytes; none for the empty one and for one that isn't known.
    pub(super) fn bytes(&self, name: Name) -> &[u8] {
        let Some(class) = self.classes.get(name.class()) else { return &[] };
        let from = name.slot() % CHUNK_SLOTS * slot_bytes(name.class());
        let room = &class.chunks[name.slot() / CHUNK_SLOTS][from..];
        &room[1..=usize::from(room[0])]
    }

    /// An id as text.
    pub(super) fn text(&self, name: Name) -> &str {
        // What went in was text.
        std::str::from_utf8(self.bytes(name)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::VIEWER_ID_BYTES_MAX;

    #[test]
    fn every_length_comes_back_and_room_is_used_again() {
        let mut names = Names::default();
        let ids: Vec<String> = (0..=VIEWER_ID_BYTES_MAX).map(|len| "x".repeat(len)).collect();
        for _ in 0..3 {
            let kept: Vec<Name> = ids.iter().map(|id| names.insert(id)).collect();
            kept.iter().zip(&ids).for_each(|(name, id)| assert_eq!(names.text(*name), id));
            kept.iter().for_each(|name| names.remove(*name));
        }
        assert!(names.classes.iter().all(|class| class.used <= STEP_BYTES), "slots were not used again");
        assert_eq!((names.text(Name::UNKNOWN), names.text(Name::EMPTY)), ("", ""));
    }

    #[test]
    fn many_lie_in_many_chunks() {
        let mut names = Names::default();
        let id = |n: usize| format!("{n:036}");
        let kept: Vec<Name> = (0..3 * CHUNK_SLOTS).map(|n| names.insert(&id(n))).collect();
        kept.iter().enumerate().for_each(|(n, name)| assert_eq!(names.text(*name), id(n)));
    }
}
