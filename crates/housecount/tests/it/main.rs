//! Tests with real parts: Redis, Valkey, a Redis Cluster, the DynamoDB API, and the binary itself.
//!
//! `./test` installs these parts. Servers listen on loopback, on ports that the system chooses.
//! They end with the test that started them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers are tests, too

mod abuse;
mod api;
mod archive;
mod auth;
mod aws_profiles;
mod billing;
mod bodies;
mod by_label;
mod cli;
mod coalesced;
mod compat;
mod copied;
mod cost;
mod counted;
mod document;
mod drill;
mod dynamo_log;
mod edge;
mod embedded;
mod events;
mod faults;
mod forget;
mod history;
mod http;
mod inside;
mod ivs;
mod labels;
mod ledger;
mod lists;
mod live;
mod operate;
mod otlp;
mod overload;
mod pages;
mod privacy;
mod public_counts;
mod read_only;
mod recovery;
mod reports;
mod resumption;
mod sorted;
mod starting;
mod stored;
mod stores;
mod support;
mod tidy;
mod tls;
mod unwritable;
mod ws;
