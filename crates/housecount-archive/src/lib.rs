//! The archive: the time of every beat, to a tenth of a second, packed for audit.
//!
//! - [`ArchiveEncoder`] packs the events that the log accepted within a slot of 30 s into a chunk.
//!   [`ArchiveDecoder`] reads chunks as beats and leaves again.
//! - `session_table` has the sessions that both know, with their expected beats. `chunk` has the
//!   bytes.
//!
//! An expected beat takes hardly any bytes. housecount asks a session to beat next by a rule that
//! follows from its last beat ([`beat_schedule`](housecount_core::beat_schedule)). A player may
//! also keep an interval of its own. For each known session a chunk therefore stores whether it
//! beat as expected, and by how many ticks it was off. Ids are written once, when a session is new.
//! Every [`KEYFRAME_MS`] the table starts empty, so that a reader need not go further back.
//!
//! The position of a record in the log decides its slot, so each record belongs to one slot. A beat
//! that reached the log late belongs to a later slot than its time.

mod chunk;
mod params;
mod session_table;
#[cfg(test)]
mod tests;

pub use self::chunk::{ArchiveDecoder, ArchiveEncoder};
pub use self::params::{ArchiveParams, KEYFRAME_MS};
