//! Consumption of a log: what this process's calls have cost so far.

#[cfg(feature = "redis")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::meter::Meter;

/// Consumption of a log by this process so far.
#[derive(Clone, Debug)]
pub enum LogUsage {
    /// Nothing that is paid by use.
    Nothing,
    /// DynamoDB's capacity, metered as [`Purpose::Log`](crate::meter::Purpose::Log).
    Units(Meter),
    /// Commands and bytes of Redis.
    Redis(RedisUsage),
}

/// Commands and bytes sent to Redis, and the memory that it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisUsage {
    /// Commands sent.
    pub commands: u64,
    /// Bytes of the arguments that grow with the audience: without names, keys and the protocol.
    pub bytes_in: u64,
    /// Bytes of the answers, counted likewise.
    pub bytes_out: u64,
    /// Bytes in Redis's memory as last reported, of all masters of a cluster; zero before.
    pub memory_bytes: u64,
    /// Memory of the fullest master, as thousandths of its `maxmemory`; zero without a `maxmemory`.
    pub memory_permille: u64,
    /// Whether Redis may evict the stream.
    pub is_evicting: bool,
}

/// Counters of a Redis log's consumption.
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
