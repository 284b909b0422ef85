//! More load than a node can take. It stays up within its bounds, reports this, and recovers by
//! itself.

mod connections;
mod connects;
mod freeze;
mod log_stalls;
mod pings;
