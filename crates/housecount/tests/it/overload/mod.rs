//! More than a node can take: it stays up, within its bounds, says so, and comes back by itself.

mod connections;
mod connects;
mod freeze;
mod log_stalls;
mod pings;
