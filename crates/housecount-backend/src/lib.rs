//! The traits of a log and of a cold tier, and the parts that backends are built with.
//!
//! [`log::Log`] and [`cold::Cold`] are the two traits. A backend reads the clocks of [`clock`],
//! draws from [`rng`], fails with an [`error::StoreError`], and reports its consumption to a
//! [`meter::Meter`]. Blocking calls go through [`threads`]. The
//! threads that serve requests are in [`workers`].

pub mod clock;
pub mod cold;
pub mod error;
pub mod log;
pub mod meter;
pub mod retry;
pub mod rng;
#[cfg(feature = "sim")]
pub mod sim;
pub mod tasks;
pub mod threads;
pub mod workers;
