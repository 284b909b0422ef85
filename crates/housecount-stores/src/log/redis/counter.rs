//! Counters of a Redis log's consumption.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use housecount_backend::log::RedisUsage;

/// Counters of a Redis log's consumption.
#[derive(Debug, Default)]
pub(super) struct RedisCounter {
    commands: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    memory_bytes: AtomicU64,
    memory_permille: AtomicU64,
    is_evicting: AtomicBool,
}

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
