//! housecount's own code over a simulated clock, log and cold tier.
//!
//! A seed decides everything: the settings, the audience, the faults, and the time that each
//! message takes. One thread runs it all, on a clock that advances only when no task has work left.
//! So two hours pass in a moment, and the same seed gives the same run to the last message. The
//! checks compare the nodes' answers and writes with the oracle, during the run and at its end.
//!
//! - [`plan`]: all that a seed decides before the run.
//! - [`log`](world::log), [`cold`](world::cold): the stores and the network to them.
//!   [`active_faults`]: the faults at a moment.
//! - [`nodes`]: production code, started and killed. [`player`]: the audience. [`operator`]: an
//!   operator who configures stages.
//! - [`oracle`]: every event of the run, and the rules of counting and billing, word for word.
//! - [`checks`]: invariants of a run. [`standstill`]: invariants while the log takes no writes.
//!   [`streams`]: the limit of a viewer's streams, and its invariant.
//!   [`archive_check`]: invariants of the archive. [`run`]: one seed. [`world`]: the state that all
//!   of these share.
//! - [`events`]: invariants of events and webhooks.
//! - [`digest`]: the hash of a run, to compare two source trees.
//! - [`soak`]: days without faults, which show that a node's state does not grow.

pub mod active_faults;
pub mod archive_check;
pub mod checks;
pub mod digest;
pub mod events;
pub mod nodes;
pub mod operator;
pub mod oracle;
pub mod plan;
pub mod player;
pub mod run;
pub mod soak;
pub mod standstill;
pub mod streams;
pub mod world;
