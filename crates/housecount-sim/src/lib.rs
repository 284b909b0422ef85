//! housecount's own code over a simulated clock, log and cold tier.
//!
//! A seed decides everything: the settings, the audience, the faults, how long each message takes.
//! One thread runs it all, on a clock that goes on only when nobody has anything left to do, so
//! that two hours pass in a moment and the same seed is the same run to the last message. What the
//! nodes answer and write is compared, all along and in the end, with what is true.
//!
//! - [`plan`]: what a seed decides beforehand.
//! - [`log`](world::log), [`cold`](world::cold): the stores, and the way there. [`trouble`]: what
//!   is broken just now.
//! - [`nodes`]: production code, started and killed. [`player`]: the audience. [`operator`]: who
//!   configures stages.
//! - [`truth`]: every event that was said, and the rules of counting and billing, word for word.
//! - [`checks`]: what must hold; [`standstill`]: the same while the log takes no writes; [`audit`]:
//!   the same of the archive. [`run`]: one seed. [`world`]: what all of these share.
//! - [`digest`]: the hash of a run, to compare two source trees.
//! - [`week`]: a week in which nothing goes wrong, to see that nothing grows.

pub mod active_faults;
pub mod archive_check;
pub mod checks;
pub mod digest;
pub mod nodes;
pub mod operator;
pub mod oracle;
pub mod plan;
pub mod player;
pub mod run;
pub mod soak;
pub mod standstill;
pub mod world;
