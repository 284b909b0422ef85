//! A flush: what a writer has taken since its last one, as the item of a log where every kilobyte
//! is billed.
//!
//! It says the same as a [`record`](crate::record), and is read back as one, but a steady beat
//! takes two bytes instead of nine. A writer gives numbers to sessions: the next one to each that
//! it mentions for the first time in its *epoch*, with its ids or, if the log knows these from
//! elsewhere, with its handle. From then on the number stands for it. So an item is read with the
//! [`NumberTables`] of its writer and epoch, which all items since the epoch began make up. An epoch
//! begins where its writer starts, where an item may not have come to lie in the log, and after
//! [`EPOCH_MS_MAX`](crate::limits::EPOCH_MS_MAX).
//!
//! ```text
//! u8      version = 1
//! u8      kind: 0 packed, 1 raw
//! varint  0, or 1 + how long before the item's position a node that knows all was there, ms
//! raw:    the record's bytes: one that is not of this program, or empty
//! packed:
//!   varint  how long before its position the epoch began, ms
//!   varint  sessions that have a number before this item; varint the same for stages
//!   varint  position - base, ms, zigzag; base is the earliest time in it
//!   varint  latest time - base, ms
//!   varint  number of new stages; then for each: varint length, bytes
//!   varint  number of new sessions with ids; then for each: varint stage, viewer and session as length and bytes
//!   varint  number of new sessions with handles; then for each: 8 bytes
//!   varint  number of sessions that had a handle only, and get ids; then for each: varint number, and as above
//!   varint  number of events told whole, since their handle stands for somebody else; then for each:
//!           varint 2 x stage + (1 if it is a leave), varint time - base, viewer, session
//!   varint  number of beats, varint number of leaves, u8 Rice's k for the beats, u8 for the leaves
//!   bits    for each beat, by number: its number - the one before (the first: itself) in Rice bits, its time - base in minimal bits
//!           of (latest - base + 1); then the same for each leave; the last byte is filled up with zeros
//! u32 LE  CRC-32 (IEEE) of all before
//! ```
//! Bits are those of [`chunks`](crate::ledger::Chunk).

mod numbers;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use self::numbers::NumberTables;
pub use self::read::{DecodedFlush, FlushError};
pub use self::write::FlushEncoder;
use crate::fold::Handle;

/// The version this program writes and reads.
pub const VERSION: u8 = 1;
/// The content is numbers of a book.
const PACKED: u8 = 0;
/// The content is a record as it was given.
const RAW: u8 = 1;
/// Times further apart don't come from clocks; they are written raw.
const SPAN_MS_MAX: u64 = 1 << 40;

/// Who has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NumberEntry {
    /// Somebody whose ids were told.
    Named {
        /// Index of the stage.
        stage: u32,
        viewer: Box<str>,
        session: Box<str>,
    },
    /// Somebody whose ids the log has elsewhere.
    HandleOnly(Handle),
}
