//! Settings of the follower.

/// Settings of the follower.
#[derive(Clone, Copy, Debug)]
pub struct FollowerSettings {
    /// `interval`
    pub interval_ms: u64,
    /// `ttl`
    pub ttl_ms: u64,
    /// Time for which the log is kept.
    pub kept_ms: u64,
    /// Interval between two reads of the log.
    pub poll_ms: u64,
}
