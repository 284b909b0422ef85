//! housecount: live audience counts that are never wrong without saying so.
//! docs/ARCHITECTURE.md has the bird's eye view.
pub mod bootstrap;
pub mod clock;
pub mod cold;
pub mod config;
pub mod error;
pub mod follow;
pub mod hub;
pub mod ingest;
pub mod lock;
pub mod log;
pub mod metrics;
pub mod tasks;
pub mod tls;
