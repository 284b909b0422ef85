//! The cold tier as a node uses it: swept of what has expired.

pub mod sweep;
