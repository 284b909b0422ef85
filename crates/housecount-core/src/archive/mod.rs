//! The archive: the time of every beat, to a tenth of a second, packed for audit.
//!
//! - [`ArchiveEncoder`] packs the events that the log accepted within a slot of 30 s into a chunk.
//!   [`ArchiveDecoder`] reads chunks as beats and leaves again.
//! - `session_table` has the sessions that both know, with their expected beats. `chunk` has the
//!   bytes.
//!
//! An expected beat takes hardly any bytes. housecount asks a session to beat next by a rule that
//! follows from its last beat ([`beat_schedule`](crate::beat_schedule)). A player may also keep an
//! interval of its own. For each known session a chunk therefore stores whether it beat as
//! expected, and by how many ticks it was off. Ids are written once, when a session is new. Every
//! [`KEYFRAME_MS`] the table starts empty, so that a reader need not go further back.
//!
//! The position of a record in the log decides its slot, so each record belongs to one slot. A beat
//! that reached the log late belongs to a later slot than its time.

mod chunk;
mod session_table;
#[cfg(test)]
mod tests;

pub use self::chunk::{ArchiveDecoder, ArchiveEncoder};

/// Interval of keyframes. Chunks from a multiple of it can be read without those before. Ids are
/// most of an archive's bytes and are written again at each keyframe, so the interval is not short.
pub const KEYFRAME_MS: u64 = 4 * 60 * 60 * 1_000;

/// Settings from which encoder and decoder expect the same beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveParams {
    /// Interval at which players are asked to beat.
    pub interval_ms: u64,
    /// Length of a slot. One item holds the events of a slot. The archive loses at most this much
    /// if all nodes and the log are lost at once.
    pub slot_ms: u64,
    /// Silence after which a session is removed from the session table.
    pub ttl_ms: u64,
}
