//! The engine of housecount: a log, a fold, a ledger. docs/ARCHITECTURE.md gives an overview.
pub mod archive;
pub mod cold;
pub mod engine;
pub mod follower;
pub mod hub;
pub mod ingest;
pub mod ledger;
pub mod live;
pub mod log;
pub mod rfc3339;
pub mod snapshots;
pub mod stages;
pub mod tasks;
pub mod traced;
pub mod verify;
pub mod workers;
