//! The ledger: proven watch time, packed and never deleted.
//!
//! - [`chunk`]: a window of one partition as bytes. The codes are in `housecount-codec`.
//! - [`book`]: the sum of chunks. [`draft`]: proof minus book, which is the next chunk.
//! - `entry` has the entries of a book, and `new_entries` the new entries of a chunk. `owner` says
//!   what an entry is: a viewer on a stage with labels.
//! - `rename`: another name for a viewer, in chunks that are written.
//! - [`watch`]: watch time per viewer. [`totals`]: watch time per stage. [`curve`]: concurrent
//!   viewers.
//! - [`views`]: watch time by watch span.
//!
//! A partition's chunks form a chain: each names the one before it by its checksum. A writer stores
//! a chunk only in an empty place. So of two writers one comes first, and the other reads the first
//! one's chunk.

pub mod book;
pub mod chunk;
pub mod curve;
pub mod draft;
mod entry;
mod new_entries;
mod owner;
mod rename;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod views;
pub mod watch;

pub use book::{Book, ChunkError, GENERATION_MS_MAX, KEYFRAME_CHUNKS, SpanVisitor};
pub use chunk::{Chunk, Link};
pub use draft::{Draft, DraftScope};
pub use owner::{SpanOwner, for_each_owned};
