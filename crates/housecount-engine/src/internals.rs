//! The parts of the engine that housecount's own server, commands and simulator need beside its
//! public API. They may change with every release, so other programs should not use them.

pub use crate::archive::ArchiveProgress;
pub use crate::archive::read as archive_read;
pub use crate::archive::task::ArchiveTask;
pub use crate::engine::{
    BeatFloor, EngineRunner, EngineState, ExtraTask, Readiness, StartProgress,
};
pub use crate::follower::maintenance::LogMaintenance;
pub use crate::hub::{DisplacementWaiter, Hold, Hub};
pub use crate::ingest::{Ingest, IngestError, OwnAppends, PendingAck, UnstampedEvent};
pub use crate::ledger::commit::LedgerCommitter;
pub use crate::ledger::restore::restore_open_spans;
pub use crate::ledger::rows::{LedgerRow, RowPage};
pub use crate::ledger::scans::{AskedRange, Scans, StageList, Stores, WatchList};
pub use crate::ledger::{Proofs, chain, chunks, fence, scan};
pub use crate::live::{CountEncoding, SeenCounts, SubscriptionFilter};
pub use crate::rfc3339::{format_time, timestamp};
pub use crate::snapshots::roster::{LastRoster, last_roster};
pub use crate::snapshots::service::{SnapshotOutcome, SnapshotService};
pub use crate::snapshots::{SnapshotSpacing, read as snapshots_read};
pub use crate::stages::change::{ChangeError, ChangedStage};
pub use crate::stages::config_list::ConfigList;
pub use crate::stages::public_counts::PublicCounts;
pub use crate::stages::{StageClosed, StageStore, history};
pub use housecount_backend::workers::balancer::{ConnectionBalancer, ConnectionSlot};
pub use housecount_backend::workers::wake_coalescing::WakeCoalescer;
pub use housecount_backend::workers::{Workers, default_worker_count};

/// Names of traced spans.
pub mod traced {
    pub use crate::traced::{REQUEST, TARGET};
}
