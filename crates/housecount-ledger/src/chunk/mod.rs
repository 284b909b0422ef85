//! Chunk: proven watch time of one partition's viewers in one window, as bytes, version 1. It is
//! version 2 if a viewer since the keyframe has had labels.
//!
//! Most viewers watch through a window's whole length, and a chunk doesn't mention them. It
//! contains the viewers who came, left or came back, and the times to the millisecond. The viewers
//! who are already here follow from the chunks before, back to a *keyframe*, which depends on no
//! other chunk ([`book`](super::book) combines them). An id is written when its viewer comes. Later
//! chunks refer to it by its place.
//!
//! ```text
//! u8      version = 1 or 2
//! varint  start of the window, Unix ms; varint its length, ms
//! varint  ms since the keyframe's start; 0: this is a keyframe
//! varint  ms since the start of the previous chunk; 0: the first chunk, without the next field
//! u32 LE  CRC-32 of the previous chunk
//! varint  kept: entries whose last span ended more than this before the window are removed first,
//!         ms
//! varint  reach: how far beyond the window the chunk knows which proof continues, ms; 0: unknown
//! varint  stages, entries that the chunks before have left
//! varint  new stages, open entries that change, closed entries that change, joins, others, late
//!         spans, short ones
//! version 2: varint label sets that the chunks before have left; varint new ones; then for each:
//!         varint length, bytes: pairs of key and value in ascending order, a byte 1 between pairs,
//!         and a byte 2 between a key and its value
//! u8 x 4  Rice parameters: ranks of open entries, of closed ones, starts of joins, ranks of short
//!         ones
//! shapes  of the new stages' ids, if there are any; of the new viewers' ids, if there are any
//! bits:
//!   each new stage        its id
//!   each changed entry    Rice: its rank among the open entries, less the one before, less 1;
//!                         toggles
//!   the same for closed entries
//!   each join             Rice: its first toggle less that of the join before; a bit: more follow;
//!                         toggles; minimal: its stage; version 2: minimal: 0 or 1 + its label
//!                         set; its viewer's id
//!   each other            minimal: its stage; version 2: minimal: 0 or 1 + its label set, and a
//!                         bit: it is extra; its viewer's id
//!   each late span        minimal: its entry; ms before the window at which it begins, less 1,
//!                         below kept; its length less 1, below what is left to the window
//!   each short one        Rice: its rank among the entries open at the window's end, less the one
//!                         before, less 1: its proof was not known to continue through `reach`
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! *Toggles* are the times at which an entry is switched off or on, alternating, in ms after the
//! window's start. Each is minimal, above the one before, below the window's length. After each
//! that isn't at the last millisecond, a bit tells whether another follows.

mod read;
mod write;

use smallvec::SmallVec;

use super::new_entries::NewEntries;
use housecount_core::labels::ViewerLabels;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

/// Version of chunks without labels.
pub const VERSION: u8 = 1;
/// Version of chunks with labels.
const VERSION_OF_LABELS: u8 = 2;

/// Times in a window, alternating between off and on.
pub(crate) type Toggles = SmallVec<[u32; 2]>;

/// Name of a chunk: its window's start and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Start of its window.
    pub from: UnixMs,
    /// Its CRC-32.
    pub crc: u32,
}

impl Link {
    /// Returns the link that names a chunk's bytes.
    #[must_use]
    pub fn of(from: UnixMs, bytes: &[u8]) -> Link {
        Link { from, crc: bytes.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc)) }
    }
}

/// A known entry that changes: `rank` among the open entries, or among the closed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedEntry {
    pub(crate) rank: u32,
    pub(crate) toggles: Toggles,
}

/// A span from before the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LateSpan {
    pub(crate) entry: u32,
    pub(crate) span: Span,
}

/// Proven watch time of one partition's viewers in one window. The module [`book`](super::book)
/// makes and uses its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The window.
    pub window: Span,
    /// Start of the window of the keyframe that it depends on, or of its own if it is one.
    pub since: UnixMs,
    /// The chunk before; `None` for the first one.
    pub previous: Option<Link>,
    pub(crate) kept_ms: u64,
    pub(crate) reach_ms: u64,
    pub(crate) known_stages: u32,
    pub(crate) known_entries: u32,
    pub(crate) stages: Vec<Box<str>>,
    pub(crate) known_label_sets: u32,
    pub(crate) label_sets: Vec<ViewerLabels>,
    pub(crate) open: Vec<ChangedEntry>,
    pub(crate) closed: Vec<ChangedEntry>,
    /// New entries by their first toggle, then those without one.
    pub(crate) new: NewEntries,
    pub(crate) late: Vec<LateSpan>,
    /// Ranks among the entries that are open at the end.
    pub(crate) short: Vec<u32>,
}

impl Chunk {
    /// Returns whether the chunk depends on no other.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.since == self.window.from
    }

    /// Returns the number of label sets that its entries can refer to.
    fn all_label_sets(&self) -> u64 {
        u64::from(self.known_label_sets) + self.label_sets.len() as u64
    }

    /// Returns how far before its window late spans may be.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.kept_ms
    }
}
