//! Logs and cold tiers against real Redis, Valkey, a Redis Cluster, sentinels and the DynamoDB API.
//!
//! `./test` installs these parts. Servers listen on loopback, on ports that the system chooses.
//! They end with the test that started them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers are tests, too

mod contract;
mod dynamo_log;
mod stores;

use housecount_test_support as support;
