//! The chunk: all that one partition's viewers proved in one window, as bytes, version 1.
//!
//! Most viewers watch through a window's whole length, and that is what a chunk doesn't mention: it
//! says who came, who went and who came back, and when, to the millisecond. Who is here already is
//! known from the chunks before, back to a *keyframe*, which depends on none ([`book`](super::book)
//! puts them together). An id is written when its viewer comes, and then spoken of by its place.
//!
//! ```text
//! u8      version = 1
//! varint  start of the window, Unix ms; varint its length, ms
//! varint  ms since the keyframe's start; 0: this is a keyframe
//! varint  ms since the start of the previous chunk; 0: there is none;  u32 LE its CRC-32, unless there is none
//! varint  kept: entries whose last span ended more than this before the window were dropped first, ms
//! varint  reach: how far beyond the window it says whose proof goes on, ms; 0: it doesn't say
//! varint  stages, entries that the chunks before have left
//! varint  new stages, open entries that change, closed entries that change, joins, others, late spans,
//!         short ones
//! u8 x 4  Rice parameters: ranks of open entries, of closed ones, starts of joins, ranks of short ones
//! shapes  of the new stages' ids, if there are any; of the new viewers' ids, if there are any
//! bits:
//!   each new stage        its id
//!   each changed entry    Rice: its rank among the open entries, less the one before, less 1; toggles
//!   the same for closed entries
//!   each join             Rice: its first toggle less that of the join before; a bit: more follow; toggles;
//!                         minimal: its stage; its viewer's id
//!   each other            minimal: its stage; its viewer's id
//!   each late span        minimal: its entry; ms before the window that it begins, less 1, below kept; its length less 1,
//!                         below what is left to the window
//!   each short one        Rice: its rank among the entries open at the window's end, less the one before, less 1: its
//!                         proof was not known to go on through `reach`
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! *Toggles* are the moments at which an entry is switched off or on, by turns, ms after the
//! window's start: each minimal, above the one before, below the window's length; after each that
//! isn't at the last millisecond, a bit says whether another follows.

mod read;
mod write;

use smallvec::SmallVec;

use super::new_entries::NewEntries;
use crate::span::Span;
use crate::time::UnixMs;

/// The version this program writes, and the only one there is.
pub const VERSION: u8 = 1;

/// Moments in a window, by turns off and on.
pub(in crate::ledger) type Toggles = SmallVec<[u32; 2]>;

/// Names a chunk by its window's start and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The start of its window.
    pub from: UnixMs,
    /// Its CRC-32.
    pub crc: u32,
}

impl Link {
    /// The link that names a chunk's bytes.
    #[must_use]
    pub fn of(from: UnixMs, bytes: &[u8]) -> Link {
        Link { from, crc: bytes.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc)) }
    }
}

/// An entry that was there and changes: `rank` among the open ones, or among the closed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct ChangedEntry {
    pub(in crate::ledger) rank: u32,
    pub(in crate::ledger) toggles: Toggles,
}

/// A span from before the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct LateSpan {
    pub(in crate::ledger) entry: u32,
    pub(in crate::ledger) span: Span,
}

/// Proven watch time of one partition's viewers in one window. Its parts are
/// [`book`](super::book)'s to make and to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The window.
    pub window: Span,
    /// The start of the keyframe's window that it depends on; its own for a keyframe.
    pub since: UnixMs,
    /// The chunk before, unless this is the first.
    pub previous: Option<Link>,
    pub(in crate::ledger) kept_ms: u64,
    pub(in crate::ledger) reach_ms: u64,
    pub(in crate::ledger) known_stages: u32,
    pub(in crate::ledger) known_entries: u32,
    pub(in crate::ledger) stages: Vec<Box<str>>,
    pub(in crate::ledger) open: Vec<ChangedEntry>,
    pub(in crate::ledger) closed: Vec<ChangedEntry>,
    /// By their first toggle, then those without any.
    pub(in crate::ledger) new: NewEntries,
    pub(in crate::ledger) late: Vec<LateSpan>,
    /// Ranks among the entries that are open at the end.
    pub(in crate::ledger) short: Vec<u32>,
}

impl Chunk {
    /// Whether it depends on no other.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.since == self.window.from
    }

    /// How far before its window late spans may lie.
    #[must_use]
    pub fn kept_ms(&self) -> u64 {
        self.kept_ms
    }
}
