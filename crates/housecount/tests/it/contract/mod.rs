//! One suite for every backend of a trait: no backend has tests of its own for what the trait says.

mod cold;
mod log;
mod redis;
mod redis_user;
