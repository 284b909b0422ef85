//! A flush: the events that a writer has accepted since its last flush, as one item of a log whose
//! every kilobyte is billed.
//!
//! It has the same content as a [`record`](crate::record), and is read back as one, but a steady
//! beat takes two bytes instead of nine. A writer gives numbers to sessions. A session gets the
//! next number when its writer first mentions it in an *epoch*. The item then has the session's
//! ids, or its handle if the log has the ids elsewhere. From then on the number stands for the
//! session. An item is therefore read with the [`NumberTables`] of its writer and epoch, which all
//! items since the epoch's start make up. An epoch starts with its writer, after an item that may
//! not have reached the log, and after [`EPOCH_MS_MAX`](crate::limits::EPOCH_MS_MAX).
//!
//! ```text
//! u8      version = 1, or 2 if new sessions or events with ids have labels
//! u8      kind: 0 packed, 1 raw
//! varint  0, or 1 + how long before the position a node with complete state was attending, ms
//! raw:    the record's bytes: one that this program can't decode, or empty
//! packed:
//!   varint  how long before its position the epoch began, ms
//!   varint  sessions that have a number before this item; varint the same for stages
//!   version 2: varint the same for label sets
//!   varint  position - base, ms, zigzag; base is the earliest time in it
//!   varint  latest time - base, ms
//!   varint  number of new stages; then for each: varint length, bytes
//!   version 2: varint number of new label sets; then for each: its keys and its values, each as
//!           length and text with a byte 1 between two
//!   varint  number of new sessions with ids; then for each: varint stage, viewer and session as
//!           length and bytes; version 2: varint 0, or 1 + its label set and then: varint how long
//!           before the position its labels were first seen, ms, zigzag
//!   varint  number of new sessions with handles; then for each: 8 bytes
//!   varint  number of sessions that had a handle only, and get ids; then for each: varint number,
//!           and as above
//!   varint  number of events with ids, because another session has their handle; then for each:
//!           varint 2 x stage + (1 if it is a leave), varint time - base, viewer, session;
//!           version 2: its labels as above
//!   varint  number of beats, varint number of leaves, u8 Rice's k for the beats, u8 for the leaves
//!   bits    each beat, by number: its number - the one before (the first: itself) in Rice bits,
//!           its time - base in minimal bits of (latest - base + 1); then each leave likewise; the
//!           last byte is filled up with zeros
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! Bits are those of the ledger's chunks.

mod numbers;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use self::numbers::NumberTables;
pub use self::read::{DecodedFlush, FlushError};
pub use self::write::FlushEncoder;
use crate::fold::Handle;
use crate::time::UnixMs;

/// Version of items without labels.
pub const VERSION: u8 = 1;
/// Version of items with labels.
const VERSION_OF_LABELS: u8 = 2;
/// Kind of an item whose content is numbers of a table.
const PACKED: u8 = 0;
/// Kind of an item whose content is a record as it was given.
const RAW: u8 = 1;
/// Maximum distance of packed times. Times further apart don't come from clocks, and their record
/// is written raw.
const SPAN_MS_MAX: u64 = 1 << 40;

/// Labels of a session: the index of its set, and the time at which they were first seen.
type NumberedLabels = Option<(u32, UnixMs)>;

/// A session that has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NumberEntry {
    /// A session whose ids are in an item of the epoch.
    Named {
        /// Index of the stage.
        stage: u32,
        viewer: Box<str>,
        session: Box<str>,
        labels: NumberedLabels,
    },
    /// A session whose ids are elsewhere in the log.
    HandleOnly(Handle),
}

impl NumberEntry {
    /// Returns the stage, viewer and session, if they are known.
    fn ids(&self) -> Option<(u32, &str, &str)> {
        match self {
            NumberEntry::Named { stage, viewer, session, .. } => Some((*stage, viewer, session)),
            NumberEntry::HandleOnly(_) => None,
        }
    }
}
