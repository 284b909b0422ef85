//! Tests of events over a real cold tier: nodes that take turns, and deliveries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers are tests, too

mod chain;
mod figures;
mod nodes;
mod world;
