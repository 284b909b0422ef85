//! One suite for every backend of a trait: no backend has tests of its own for what the trait says.

mod cold;
mod log;
