//! Everything that needs real parts: Redis, Valkey, a Redis Cluster, the DynamoDB API, and the binary itself.
//!
//! `./test` installs what these need. Servers listen on loopback, on ports of the system's choosing, and end
//! with the test that started them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests too

mod api;
mod archive;
mod cli;
mod contract;
mod counted;
mod dynamo_log;
mod faults;
mod fuzzed;
mod inside;
mod ledger;
mod memory;
mod overload;
mod recovery;
mod support;
mod tidy;
mod ws;
