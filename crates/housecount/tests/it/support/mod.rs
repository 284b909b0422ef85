//! Support that the tests of all crates share, and the program itself as they start and call it.

pub mod node;
pub mod proxy;
pub mod sse;

pub use housecount_test_support::*;
