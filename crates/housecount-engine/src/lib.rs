//! Exact live counts of viewers, and their watch time, in your own process.
//!
//! housecount counts an audience from its players' heartbeats. This crate is the part that counts:
//! no HTTP, no keys, no command line. The program `housecount` is this engine behind a server.
//!
//! # A first count
//! An [`Engine`] needs [`Settings`] and a [`Log`]. A player sends a heartbeat ([`Engine::beat`])
//! every `interval_ms`, and a leave ([`Engine::leave`]) at its end. A viewer is online until
//! `ttl_ms` after the last heartbeat.
//!
//! ```
//! use std::sync::Arc;
//!
//! use housecount_engine::{Engine, EngineError, Ids, MemoryLog, Settings};
//!
//! # #[tokio::main] async fn main() -> Result<(), EngineError> {
//! let engine = Engine::start(Settings::default(), Arc::new(MemoryLog::default()), None).await?;
//! for viewer in ["ann", "bob"] {
//!     engine.beat(Ids { stage: "show", viewer, session: "tab-1" }).await?;
//! }
//! assert_eq!(engine.count("show").value.viewers, 2);
//! engine.stop().await
//! # }
//! ```
//!
//! # Counts say how far they can be trusted
//! Each count comes with a [`CountStatus`]. `complete` says that it has every event that any node
//! acknowledged up to `as_of`. After a loss, `recovering` says that earlier counts stand in.
//!
//! # Stores
//! [`MemoryLog`] is for tests: it ends with the process. The crate `housecount-stores` has logs in
//! files, Redis and DynamoDB, and cold tiers in SQLite and DynamoDB. With a [`Cold`] tier the
//! engine also keeps watch time ([`Engine::watch`]) and history ([`Engine::history`]). Any number
//! of engines may share a log, if their settings are the same.
//!
//! # Features
//! `internals` exports the parts that housecount's own crates need. `sim` and `test-util` are for
//! its simulator and its tests. All three may change with every release.

// Without `internals`, parts that only the server uses are never called.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports, unreachable_pub))]

mod archive;
mod cold;
mod engine;
mod follower;
mod hub;
mod ingest;
#[cfg(feature = "internals")]
pub mod internals;
mod ledger;
mod live;
mod log;
mod rfc3339;
mod snapshots;
mod stages;
mod traced;

pub use housecount_backend::cold::Cold;
pub use housecount_backend::error::{ErrorKind, StoreError};
pub use housecount_backend::log::{Log, MemoryLog};
pub use housecount_core::fold::{Count, Ids, Rules, StageView};
pub use housecount_core::span::Span;
pub use housecount_core::time::UnixMs;
pub use housecount_ledger::curve::Step;
pub use housecount_ledger::watch::WatchTime;

pub use crate::archive::{ArchiveFormat, ArchiveSettings};
pub use crate::engine::{Committed, CountUpdates, Engine, EngineError, Settings};
pub use crate::hub::{CountStatus, WithStatus};
pub use crate::ingest::Ack;
