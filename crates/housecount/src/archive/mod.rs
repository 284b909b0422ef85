//! The archive: every heartbeat kept for audit, packed or an item each. What the log took becomes
//! chunks or items, in the log's order.
//!
//! The log is the buffer: what could not be written is read again, and the log isn't trimmed before
//! it is. One node at a time writes a partition's (`tasks::archive`); the others only watch how far
//! it is.

pub mod items;
pub mod log_cursor;
pub mod packed;
pub mod read;

use std::sync::atomic::{AtomicU64, Ordering};

use housecount_core::time::UnixMs;

/// How heartbeats are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// Many in a chunk, to a tenth of a second.
    Packed,
    /// One an item, to the millisecond.
    Items,
}

/// The settings that an archive is kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// `archive`, unless it is off.
    pub form: ArchiveFormat,
    /// `archive_flush`
    pub flush_ms: u64,
    /// `archive_retention`
    pub retention_ms: u64,
}

/// How far the archive is, by partition: what the log must keep.
#[derive(Debug)]
pub struct ArchiveProgress(Vec<AtomicU64>);

impl ArchiveProgress {
    /// Not known yet.
    #[must_use]
    pub fn new(partitions: u16) -> ArchiveProgress {
        ArchiveProgress((0..partitions).map(|_| AtomicU64::new(0)).collect())
    }

    /// Up to where a partition's records are in the archive; zero if that isn't known.
    #[must_use]
    pub fn to(&self, partition: u16) -> UnixMs {
        self.0
            .get(usize::from(partition))
            .map_or(UnixMs::ZERO, |to| UnixMs(to.load(Ordering::Relaxed)))
    }

    /// A partition's records are in the archive up to `to`. An earlier time changes nothing.
    pub fn note(&self, partition: u16, to: UnixMs) {
        if let Some(known) = self.0.get(usize::from(partition)) {
            known.fetch_max(to.0, Ordering::Relaxed);
        }
    }

    /// Up to where all are.
    #[must_use]
    pub fn complete_to(&self) -> UnixMs {
        self.0.iter().map(|to| UnixMs(to.load(Ordering::Relaxed))).min().unwrap_or_default()
    }
}

/// How far writing got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteProgress {
    /// All that the log took before is in the archive.
    To(UnixMs),
    /// Another node has written in between: this one must find out anew how far it is.
    Overtaken,
}
