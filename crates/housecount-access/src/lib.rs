//! Access to a node: tokens of viewers, keys of operators, limits, and origins of pages.
pub mod admission;
pub mod auth;
pub mod cache_table;
pub mod cors;
pub mod direct;
pub mod labels;
pub mod origin;
