//! Retries: waits between them, and repeated failures as one log line.

pub mod backoff;
pub mod streak;
