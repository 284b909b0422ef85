//! housecount: live audience counts, marked whenever they may be incomplete. docs/ARCHITECTURE.md
//! gives an overview.
pub mod app;
pub mod cmd;
pub mod config;
pub mod copy;
pub mod export;
pub mod forget;
pub mod ivs;
pub mod load;
#[cfg_attr(not(feature = "otlp"), path = "without/otlp.rs")]
pub mod otlp;
pub mod report;
