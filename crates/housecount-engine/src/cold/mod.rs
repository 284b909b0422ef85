//! The cold tier as a node uses it: watched, leased, and swept of what has expired.

pub mod lease;
pub mod sweep;
