//! Arena of id bytes, packed: a million UUIDs take 20 MB, other ids of 36 bytes 40 MB, and growth
//! never moves them.
//!
//! An id is stored in a slot of its size class, after one byte that is its length or marks a UUID.
//! Slots are in chunks of a fixed number, so that growth copies nothing. An [`IdRef`] is 32 bits:
//! the class and the slot. The memory of a class is freed once none of its slots is in use.

mod uuid;

use std::cmp::Ordering;
use std::ops::Deref;

use crate::prefetch::prefetch;

/// Maximum length of an id in this arena, bytes.
const NAME_BYTES_MAX: usize = 128;
/// Difference of slot sizes from class to class, bytes.
const STEP_BYTES: usize = 4;
/// Number of classes. The longest id and its length byte fit the last one.
const CLASSES: usize = (NAME_BYTES_MAX + 1).div_ceil(STEP_BYTES);
/// Value in place of a length: a UUID's bytes follow.
const IS_UUID: u8 = u8::MAX;
/// Slots per chunk.
const CHUNK_SLOTS: usize = 1_024;
/// Bits of an [`IdRef`] for the slot in its class.
const SLOT_BITS: u32 = 26;

const _: () = {
    assert!(NAME_BYTES_MAX >= crate::limits::VIEWER_ID_BYTES_MAX);
    assert!(NAME_BYTES_MAX >= crate::limits::SESSION_ID_BYTES_MAX);
    assert!(NAME_BYTES_MAX < IS_UUID as usize);
    assert!(CLASSES < 1 << (32 - SLOT_BITS));
};

/// Reference to an id in an [`IdArena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRef(u32);

impl IdRef {
    /// The empty id, which takes no memory.
    pub const EMPTY: IdRef = IdRef(u32::MAX);
    /// An id that is not known.
    pub const UNKNOWN: IdRef = IdRef(u32::MAX - 1);

    fn class(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

/// Text of an id in an [`IdArena`].
#[derive(Clone, Copy, Debug)]
pub enum Id<'a> {
    /// The bytes of the text.
    Text(&'a [u8]),
    /// The text of a UUID.
    Uuid([u8; uuid::TEXT_BYTES]),
}

impl Id<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Id::Text(bytes) => bytes,
            Id::Uuid(text) => text,
        }
    }
}

impl Deref for Id<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        // The stored bytes came from a `str`.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl AsRef<str> for Id<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

/// An id as it is stored. Equal ids are stored alike, so a table can hash these bytes instead of
/// the text.
#[derive(Hash)]
pub enum StoredId<'a> {
    /// The bytes of the text.
    Text(&'a [u8]),
    /// The packed bytes of a UUID.
    Uuid([u8; uuid::PACKED_BYTES]),
}

impl StoredId<'_> {
    /// Returns the form in which an id would be stored.
    pub fn of(id: &str) -> StoredId<'_> {
        uuid::pack(id.as_bytes()).map_or(StoredId::Text(id.as_bytes()), StoredId::Uuid)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Class {
    chunks: Vec<Box<[u8]>>,
    /// Slots in use or freed.
    used: usize,
    free: Vec<u32>,
}

/// Arena of ids in slots by size class, addressed by a 32-bit [`IdRef`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdArena {
    classes: Vec<Class>,
}

impl Default for IdArena {
    fn default() -> IdArena {
        IdArena { classes: (0..CLASSES).map(|_| Class::default()).collect() }
    }
}

fn slot_bytes(class: usize) -> usize {
    (class + 1) * STEP_BYTES
}

impl IdArena {
    /// Stores an id of at most 128 bytes (`NAME_BYTES_MAX`).
    pub fn insert(&mut self, id: &str) -> IdRef {
        debug_assert!(id.len() <= NAME_BYTES_MAX);
        if id.is_empty() {
            return IdRef::EMPTY;
        }
        if let Some(packed) = uuid::pack(id.as_bytes()) {
            return self.keep(IS_UUID, &packed);
        }
        let kept = &id.as_bytes()[..id.len().min(NAME_BYTES_MAX)];
        self.keep(kept.len() as u8, kept)
    }

    /// Stores bytes after one byte that is their length or marks a UUID.
    fn keep(&mut self, what: u8, kept: &[u8]) -> IdRef {
        let at = kept.len() / STEP_BYTES;
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
        room[0] = what;
        room[1..=kept.len()].copy_from_slice(kept);
        IdRef((at as u32) << SLOT_BITS | slot as u32)
    }

    /// Frees an id's slot.
    pub fn remove(&mut self, name: IdRef) {
        if let Some(class) = self.classes.get_mut(name.class()) {
            class.free.push(name.slot() as u32);
            if class.free.len() == class.used {
                *class = Class::default();
            }
        }
    }

    /// Returns an id, or the empty id if it isn't known.
    pub fn id(&self, name: IdRef) -> Id<'_> {
        match self.kept(name) {
            StoredId::Text(text) => Id::Text(text),
            StoredId::Uuid(packed) => Id::Uuid(uuid::text(packed)),
        }
    }

    /// Compares the texts of two ids.
    pub fn cmp(&self, a: IdRef, b: IdRef) -> Ordering {
        match (self.kept(a), self.kept(b)) {
            // Packed UUIDs compare like their texts: digits sort before letters, and hyphens are at
            // the same places.
            (StoredId::Uuid(a), StoredId::Uuid(b)) => a.cmp(&b),
            (StoredId::Text(a), StoredId::Text(b)) => a.cmp(b),
            _ => self.id(a).cmp(&self.id(b)),
        }
    }

    /// Returns an id as it is stored, or the empty id if it isn't known.
    pub fn kept(&self, name: IdRef) -> StoredId<'_> {
        match self.slot_bytes_of(name) {
            Some([IS_UUID, room @ ..]) => {
                StoredId::Uuid(room.first_chunk().copied().unwrap_or_default())
            }
            Some([len, room @ ..]) => StoredId::Text(&room[..usize::from(*len)]),
            _ => StoredId::Text(&[]),
        }
    }

    /// Returns the bytes of an id's slot, or `None` if it has no slot.
    fn slot_bytes_of(&self, name: IdRef) -> Option<&[u8]> {
        let size = slot_bytes(name.class());
        let chunk = self.classes.get(name.class())?.chunks.get(name.slot() / CHUNK_SLOTS)?;
        chunk.get(name.slot() % CHUNK_SLOTS * size..)?.get(..size)
    }

    /// Prefetches an id that is read next.
    pub fn prefetch(&self, name: IdRef) {
        if let Some(room) = self.slot_bytes_of(name) {
            prefetch(room, 0);
            prefetch(room, room.len().saturating_sub(1));
        }
    }

    /// Returns whether this is the id.
    pub fn is(&self, name: IdRef, id: &str) -> bool {
        // Most sessions have the empty id. A comparison of zero bytes is the slowest one where it
        // uses masked vectors (glibc's memcmp with AVX-512): 60 ns each.
        if id.is_empty() {
            return name == IdRef::EMPTY || name == IdRef::UNKNOWN;
        }
        match self.kept(name) {
            StoredId::Text(text) => text == id.as_bytes(),
            StoredId::Uuid(packed) => uuid::is(packed, id.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::VIEWER_ID_BYTES_MAX;

    /// Ids of every kind, with UUIDs and texts that nearly are one.
    fn id() -> impl Strategy<Value = String> {
        let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        prop_oneof![
            uuid,
            "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "\\PC{1,32}",
            "[a-c]{1,3}"
        ]
    }

    proptest! {
        /// Packed ids are read back, compare as their texts do, and reuse the slots of removed
        /// ones.
        #[test]
        fn packed_names_round_trip(ids in proptest::collection::vec(id(), 1..60), gone: u64) {
            let mut names = IdArena::default();
            let mut kept: Vec<(IdRef, String)> = Vec::new();
            for (n, id) in ids.into_iter().enumerate() {
                kept.push((names.insert(&id), id));
                if gone >> (n % 64) & 1 == 1 {
                    let (name, _) = kept.swap_remove(n * 7 % kept.len());
                    names.remove(name);
                }
                for (name, id) in &kept {
                    prop_assert!(*names.id(*name) == **id && names.is(*name, id));
                    let hasher = foldhash::fast::FixedState::default();
                    prop_assert_eq!(hasher.hash_one(names.kept(*name)), hasher.hash_one(StoredId::of(id)));
                }
            }
            for (a, id_a) in &kept {
                for (b, id_b) in &kept {
                    prop_assert_eq!(names.cmp(*a, *b), id_a.cmp(id_b));
                    prop_assert_eq!(names.is(*a, id_b), id_a == id_b);
                }
            }
        }
    }

    #[test]
    fn every_length_comes_back_and_room_is_used_again() {
        let mut names = IdArena::default();
        let uuid = "6f1c9a52-0d3e-4b7f-8a61-c2d4e6f80913";
        let mut ids: Vec<String> = (0..=VIEWER_ID_BYTES_MAX).map(|len| "x".repeat(len)).collect();
        ids.extend([uuid.to_string(), uuid.to_uppercase(), uuid.replace('-', "0")]);
        for _ in 0..3 {
            let kept: Vec<IdRef> = ids.iter().map(|id| names.insert(id)).collect();
            kept.iter().zip(&ids).for_each(|(name, id)| assert_eq!(&*names.id(*name), id));
            kept.iter().for_each(|name| {
                assert_eq!(ids.iter().filter(|id| names.is(*name, id)).count(), 1)
            });
            kept.iter().for_each(|name| names.remove(*name));
        }
        let bytes =
            |names: &IdArena| names.classes.iter().map(|class| class.chunks.len()).sum::<usize>();
        assert_eq!(bytes(&names), 0, "freed memory was kept");
        let kept: Vec<IdRef> = ids.iter().map(|id| names.insert(id)).collect();
        for name in &kept[1..] {
            let id = names.id(*name).to_string();
            names.remove(*name);
            names.insert(&id);
        }
        let used: usize = names.classes.iter().map(|class| class.used).sum();
        assert!(used < ids.len() + 2, "free slots were not reused");
        assert_eq!((&*names.id(IdRef::UNKNOWN), &*names.id(IdRef::EMPTY)), ("", ""));
    }

    #[test]
    fn many_lie_in_many_chunks() {
        let mut names = IdArena::default();
        let id = |n: usize| format!("{n:036}");
        let kept: Vec<IdRef> = (0..3 * CHUNK_SLOTS).map(|n| names.insert(&id(n))).collect();
        kept.iter().enumerate().for_each(|(n, name)| assert_eq!(*names.id(*name), *id(n)));
    }
}
