//! Codes of the stored formats: checked bytes, bits, ids by their shape, and choices in bits by
//! their probability.
//!
//! No code here knows events or records; those are `housecount-core`'s. All input comes from
//! outside, so each read is checked and returns an error instead of a panic.
//!
//! # The map
//! - [`bytes`]: little-endian integers, varints, strings and the checksum.
//! - [`bits`]: numbers in as many bits as they need.
//! - [`id_shapes`]: ids of one shape without the bytes that all of them share.
//! - [`range_coder`]: choices in bits by their probability.

pub mod bits;
pub mod bytes;
pub mod id_shapes;
pub mod range_coder;
