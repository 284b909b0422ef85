//! The cost model, and the engine's own tasks with which it must agree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers are tests, too

mod cost;

use housecount_test_support as support;
