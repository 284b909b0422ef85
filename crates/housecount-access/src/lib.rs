//! Access to a node: tokens of viewers, keys of operators, and limits.
pub mod admission;
pub mod auth;
pub mod cache_table;
