//! Webhooks: events delivered to other services over HTTP, as Standard Webhooks describes.
//!
//! The node that writes events also delivers them. Each webhook has a queue with a lane for each
//! stage. A stage's next event waits for the one before, until that is delivered or given up. What
//! waits is stored, so that the next node continues there. Every event is delivered at least once.
//!
//! - [`target`]: a webhook as it is configured.
//! - [`signature`]: signatures of deliveries.
//! - [`sender`]: one delivery over HTTP.
//! - [`queue`]: the events that wait for a webhook. Pure.
//! - [`progress`]: the stored part of a queue, and how the webhook fares.
//! - [`task`]: the task that delivers.

pub mod progress;
pub mod queue;
pub mod sender;
pub mod signature;
pub mod target;
pub mod task;
