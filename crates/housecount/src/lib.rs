//! housecount: live audience counts that are never wrong without saying so.
//! docs/ARCHITECTURE.md has the bird's eye view.
pub mod app;
pub mod audience;
pub mod bootstrap;
pub mod calendar;
pub mod client;
pub mod clock;
pub mod cmd;
pub mod cold;
pub mod config;
pub mod demo;
pub mod error;
pub mod export;
pub mod follow;
pub mod http;
pub mod hub;
pub mod ingest;
pub mod ledger;
pub mod load;
pub mod lock;
pub mod log;
pub mod metrics;
pub mod node;
pub mod stages;
pub mod tasks;
pub mod tls;
pub mod verify;
