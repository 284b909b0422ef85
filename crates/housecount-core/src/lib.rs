//! The pure core of housecount: the definition of a viewer, and every byte that is stored.
//!
//! No code here reads a clock, opens a file or a socket, or starts a task. `now` is always an
//! argument. The same calls therefore give the same state on every node, in every test and in a
//! simulation.
//!
//! # The map
//! - [`ids`]: stage, viewer and session ids, parsed once at the edge.
//! - [`time`]: [`UnixMs`](time::UnixMs), the log's clock.
//! - [`clock`]: estimate of the log's clock between two exchanges with the log.
//! - [`coarse_clock`]: bounds of a clock whose answers are whole seconds.
//! - [`limits`]: every bound in the system.
//! - [`event`]: beats and leaves.
//! - [`labels`]: values of a few keys that a session has.
//! - [`batch`]: events while they gather for a record.
//! - [`record`]: the bytes of a batch of events in the log.
//! - [`flush`]: the same content packed for a log that bills every byte.
//! - [`fold`]: a state built from events, which answers who is online ([`fold::presence`]) and what
//!   is proven ([`fold::proof`]).
//! - [`bridge`]: counts to answer with while the fold is known to be missing viewers.
//! - [`prefetch`]: hints to the processor to load what is read next.
//! - [`beat_schedule`]: schedule of a player's next beat.
//! - [`id_arena`]: ids of many sessions or viewers, packed.
//! - [`units`]: the units that DynamoDB bills for an item, a read or a batch.
//! - [`item`], [`keys`]: the shape and the names of items in the cold tier.
//! - [`public_count`]: a count as players and the public see it.
//! - [`body`]: an item as bytes, for the embedded cold tier.
//! - [`snapshot`], [`roster`], [`stage`], [`version`], [`lease`], [`fence`], [`heartbeat`]: the
//!   items of the cold tier, one per file.
//!
//! # The laws
//! 1. A session is online from its first beat until its leave has taken effect or `ttl` after its
//!    last beat. A viewer is online on a stage while any of its sessions there is.
//! 2. The fold is a function of the **set** of events: order, repetition and batching don't matter.
//! 3. Time never goes backwards, and stands still while the log does.

pub mod batch;
pub mod beat_schedule;
pub mod body;
pub mod bridge;
pub mod clock;
pub mod coarse_clock;
pub mod event;
pub mod fence;
pub mod flush;
pub mod fold;
pub mod handle;
pub mod heartbeat;
pub mod id_arena;
pub mod ids;
pub mod item;
pub mod keys;
mod label_sets;
pub mod labels;
pub mod lease;
pub mod limits;
pub mod mutants;
pub mod prefetch;
pub mod public_count;
pub mod record;
pub mod roster;
pub mod snapshot;
pub mod span;
pub mod stage;
pub mod time;
pub mod units;
pub mod version;
