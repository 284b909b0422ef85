//! The ledger: proven watch time, packed for good.
//!
//! - [`chunk`]: a window of one partition as bytes; `packing` is how.
//! - [`book`]: what chunks add up to; [`draft`]: proof minus book, which is the next chunk.
//! - `entry`: what a book holds of each; `new`: the same of a chunk's new entries.
//! - `rename`: another name for a viewer, in chunks that are written.
//! - [`watch`], [`totals`], [`curve`]: what readers make of it: who watched how long; how much each
//!   stage was watched; how many at once.
//! - [`views`]: the same by watch span.
//!
//! A partition's chunks form a chain: each names the one before it by its checksum. A writer puts a
//! chunk only where there is none, so of two writers one comes first and the other reads what that
//! one wrote.

pub mod book;
#[cfg(test)]
mod changes_tests;
pub mod chunk;
pub mod curve;
pub mod draft;
mod entry;
mod new_entries;
mod rename;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod views;
pub mod watch;

pub use book::{Book, ChunkError, GENERATION_MS_MAX, KEYFRAME_CHUNKS, SpanVisitor};
pub use chunk::{Chunk, Link};
pub use draft::{Draft, DraftScope};
