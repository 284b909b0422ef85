//! One suite for every backend of a trait. No backend has its own tests for what the trait demands.

mod cold;
mod log;
mod redis;
mod redis_together;
mod redis_user;
