//! The server of a node: its HTTP and WebSocket API, its dashboard, its drop-in front ends.
pub mod http;
pub mod node;

pub use housecount_reports::{calendar, nearest};
