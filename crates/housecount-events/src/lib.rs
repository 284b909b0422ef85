//! Events of stages and counts, and their delivery to webhooks.
//!
//! Data has one way. Every node samples its counts once per second into a buffer. One node, which
//! holds the lease, evaluates its samples and stores the events. Everything else reads what is
//! stored: callers of the API, webhooks, and the next node that holds the lease.
//!
//! - [`settings`]: which events there are.
//! - [`event`]: an event, and its JSON.
//! - [`sample`]: counts at a moment, and the buffer of them.
//! - [`state`]: the effect of all events so far: which stages are open, and so on.
//! - [`evaluator`]: samples and state in, events out. Pure: no clock and no I/O.
//! - [`batch`], [`checkpoint`]: stored bytes of events and of the state.
//! - [`chain`]: batches in the cold tier. A batch's place follows from the one before, so the chain
//!   cannot fork.
//! - [`sampler`]: the task that samples.
//! - [`role`]: which node writes, by a lease.
//! - [`writer`]: the task that evaluates and stores.
//! - [`webhooks`]: deliveries to targets.
//! - [`service`]: all tasks of a node together.
//!
//! An event is a change of the stored state. So a node that takes over finds an event that is
//! stored already in the state, and does not store it again. And it finds an event that is not
//! stored in its own samples, which reach back for longer than the lease.

pub mod batch;
pub mod chain;
pub mod checkpoint;
pub mod evaluator;
pub mod event;
mod lease;
pub mod role;
pub mod sample;
pub mod sampler;
pub mod service;
pub mod settings;
pub mod state;
pub mod webhooks;
pub mod writer;
