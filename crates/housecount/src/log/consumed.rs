//! What a log has consumed.

#[cfg(feature = "redis")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::meter::Meter;

/// What this process's calls of a log have consumed, so far.
#[derive(Clone, Debug)]
pub enum LogUsage {
    /// Nothing that anybody pays for by use.
    Nothing,
    /// DynamoDB's capacity, as [`Purpose::Log`](crate::meter::Purpose::Log).
    Units(Meter),
    /// Redis's work.
    Redis(RedisUsage),
}

/// What Redis was asked for, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisUsage {
    /// Commands sent.
    pub commands: u64,
    /// Bytes of their arguments, as far as they grow with the audience: without names, keys and the
    /// protocol.
    pub bytes_in: u64,
    /// Bytes of what they answered, likewise.
    pub bytes_out: u64,
    /// Bytes in its memory, or all masters' of a cluster, as they last said; zero before.
    pub memory_bytes: u64,
    /// Of the fullest master: its memory as thousandths of its `maxmemory`; zero where there is
    /// none.
    pub memory_permille: u64,
    /// Whether it may evict the stream.
    pub is_evicting: bool,
}

/// Counters of a Redis log's use.
#[cfg(feature = "redis")]
#[derive(Debug, Default)]
pub(super) struct RedisCounter {
    commands: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    memory_bytes: AtomicU64,
    memory_permille: AtomicU64,
    is_evicting: AtomicBool,
}

#[cfg(feature = "redis")]
impl RedisCounter {
    pub(super) fn sent(&self, commands: u64, bytes: u64) {
        self.commands.fetch_add(commands, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn holds(&self, bytes: u64, permille: u64, is_evicting: bool) {
        self.memory_bytes.store(bytes, Ordering::Relaxed);
        self.memory_permille.store(permille, Ordering::Relaxed);
        self.is_evicting.store(is_evicting, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> RedisUsage {
        RedisUsage {
            commands: self.commands.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            memory_permille: self.memory_permille.load(Ordering::Relaxed),
            is_evicting: self.is_evicting.load(Ordering::Relaxed),
        }
    }
}
