//! Consumption of a log: what this process's calls have cost so far.

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
