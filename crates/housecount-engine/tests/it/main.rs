//! The engine over real stores, and over stores with faults on demand, without a server.
//!
//! `./test` installs DynamoDB's emulator. It listens on loopback, and ends with the test that
//! started it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers are tests, too

mod archive;
mod coalesced;
mod dynamo_log;
mod history;
mod inside;
mod ledger;
mod memory;
mod unwritable;

use housecount_test_support as support;
