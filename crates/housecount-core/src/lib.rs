//! The pure core of housecount: what a viewer is, and every byte that is stored.
//!
//! Nothing here reads a clock, opens a file or a socket, or starts a task: `now` is always an
//! argument, so the same calls give the same state on every node, in every test and in a
//! simulation.
//!
//! # The map
//! - [`ids`]: stage, viewer and session ids, parsed once at the edge.
//! - [`time`]: [`UnixMs`](time::UnixMs), the log's clock.
//! - [`clock`]: how a node follows the log's clock between two exchanges with it.
//! - [`seconds`]: a clock that is told in whole seconds.
//! - [`limits`]: every bound in the system.
//! - [`event`]: beats and leaves.
//! - [`batch`]: events while they gather for a record.
//! - [`record`]: the bytes of a batch of events in the log.
//! - [`flush`]: the same packed for a log where every byte is billed.
//! - [`fold`]: events in; who is online ([`fold::presence`]) and what is proven ([`fold::proof`])
//!   out.
//! - [`bridge`]: what to answer while the fold is known to be missing viewers.
//! - [`ahead`]: what is asked for next comes from memory meanwhile.
//! - [`pace`]: when a player is to beat next.
//! - [`archive`]: every beat's time, packed for audit.
//! - [`cost`]: prices, what is counted, and what each plan costs.
//! - [`item`], [`keys`]: the shape and the names of what is kept in the cold tier.
//! - [`body`]: an item as bytes, for the embedded cold tier.
//! - [`snapshot`], [`roster`], [`stage`], [`version`], [`lease`], [`fence`], [`heartbeat`]: its
//!   records, one a file.
//!
//! # The laws
//! 1. A session is online from its first beat until its leave has taken effect or `ttl` after its
//!    last beat; a viewer is online on a stage while any of its sessions there is.
//! 2. The fold is a function of the **set** of events: order, repetition and batching don't matter.
//! 3. Time never goes backwards, and stands still while the log does.

pub mod archive;
pub mod batch;
pub mod beat_schedule;
pub mod body;
pub mod bridge;
pub mod clock;
pub mod coarse_clock;
pub mod codec;
pub mod cost;
pub mod event;
pub mod fence;
pub mod flush;
pub mod fold;
pub mod handle;
pub mod heartbeat;
pub mod ids;
pub mod item;
pub mod keys;
pub mod lease;
pub mod ledger;
pub mod limits;
pub mod mutants;
mod packing;
pub mod prefetch;
pub mod record;
pub mod roster;
pub mod snapshot;
pub mod span;
pub mod stage;
pub mod time;
pub mod version;
