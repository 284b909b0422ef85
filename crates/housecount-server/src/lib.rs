//! The server of a node: its HTTP and WebSocket API, its dashboard, its drop-in front ends.
pub mod calendar;
pub mod config_list;
pub mod http;
pub mod nearest;
pub mod node;
