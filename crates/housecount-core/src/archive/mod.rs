//! The archive: when every beat came, to a tenth of a second, packed for audit.
//!
//! - [`ArchiveEncoder`]: what the log took within a slot of 30 s, as a chunk; [`ArchiveDecoder`]: chunks, as beats
//!   and leaves again.
//! - `roll`: the sessions that both know, and what they expect of them; `chunk`: the bytes.
//!
//! What is expected needs no bytes. A session is told when to beat next, by a rule that follows
//! from its last beat ([`pace`](crate::pace)); or its player keeps an interval of its own. So a
//! chunk keeps for each session it knows whether it beat, which mostly goes without saying, and how
//! many ticks off. Ids are told once, when a session is first heard. Every [`KEYFRAME_MS`] all is
//! forgotten, so that a reader need not go further back.
//!
//! Slots go by the positions of records in the log, so that each lies in one slot. A beat that
//! reached the log late lies in a later slot than its time.

mod chunk;
mod session_table;
#[cfg(test)]
mod tests;

pub use self::chunk::{ArchiveDecoder, ArchiveEncoder};

/// Chunks from one multiple of this on can be read without those before. Ids are told again then,
/// which is most of the bytes of an archive; so it is not short.
pub const KEYFRAME_MS: u64 = 4 * 60 * 60 * 1_000;

/// What both sides must know of an audience to expect the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveParams {
    /// How often players are asked to beat.
    pub interval_ms: u64,
    /// How long a slot is: as much as is gathered for one item, and what is lost of the archive if
    /// all nodes and the log are lost at once.
    pub slot_ms: u64,
    /// After how long a session that is silent is struck off the roll.
    pub ttl_ms: u64,
}
