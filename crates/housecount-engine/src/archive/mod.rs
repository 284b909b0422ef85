//! The archive: every heartbeat kept for audit, packed or as one item each. The log's records
//! become chunks or items, in the log's order.
//!
//! The log is the buffer. A failed write is repeated from it, and the log isn't trimmed before
//! that. One node at a time writes a partition's archive (`tasks::archive`). The others only watch
//! its progress.

pub mod items;
pub mod log_cursor;
pub mod packed;
pub mod read;
pub mod task;

use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::time::UnixMs;

/// Form in which heartbeats are stored.
///
/// ```
/// use housecount_engine::ArchiveFormat;
///
/// assert_ne!(ArchiveFormat::Packed, ArchiveFormat::Items);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// Many heartbeats per chunk, to a tenth of a second.
    Packed,
    /// One item per heartbeat, to the millisecond.
    Items,
}

/// Settings of the archive.
///
/// ```
/// use housecount_engine::{ArchiveFormat, ArchiveSettings, Settings};
///
/// let archive = ArchiveSettings {
///     form: ArchiveFormat::Packed,
///     flush_ms: 30_000,
///     retention_ms: 90 * 24 * 3_600_000,
/// };
/// let settings = Settings { archive: Some(archive), ..Settings::default() };
/// assert!(settings.archive.is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// `archive`, unless it is off.
    pub form: ArchiveFormat,
    /// Setting `archive_flush`.
    pub flush_ms: u64,
    /// Setting `archive_retention`.
    pub retention_ms: u64,
}

/// Progress of the archive by partition, which bounds the trimming of the log.
#[derive(Debug)]
pub struct ArchiveProgress(Vec<AtomicU64>);

impl ArchiveProgress {
    /// Creates a progress that isn't known yet.
    #[must_use]
    pub fn new(partitions: u16) -> ArchiveProgress {
        ArchiveProgress((0..partitions).map(|_| AtomicU64::new(0)).collect())
    }

    /// Time up to which a partition's records are in the archive; zero if unknown.
    #[must_use]
    pub fn to(&self, partition: u16) -> UnixMs {
        self.0
            .get(usize::from(partition))
            .map_or(UnixMs::ZERO, |to| UnixMs(to.load(Ordering::Relaxed)))
    }

    /// Records that a partition is archived up to `to`. An earlier time changes nothing.
    pub fn note(&self, partition: u16, to: UnixMs) {
        if let Some(known) = self.0.get(usize::from(partition)) {
            known.fetch_max(to.0, Ordering::Relaxed);
        }
    }

    /// Time up to which all partitions are archived.
    #[must_use]
    pub fn complete_to(&self) -> UnixMs {
        self.0.iter().map(|to| UnixMs(to.load(Ordering::Relaxed))).min().unwrap_or_default()
    }
}

/// Outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteProgress {
    /// All records of the log before this time are in the archive.
    To(UnixMs),
    /// Another node has written in between, so this one must read the progress again.
    Overtaken,
}
