//! Everything that needs real parts: Redis, Valkey, a Redis Cluster, the DynamoDB API, and the binary itself.
//!
//! `./test` installs what these need. Servers listen on loopback, on ports of the system's choosing, and end
//! with the test that started them.

mod api;
mod cli;
mod contract;
mod counted;
mod recovery;
mod support;
mod tidy;
