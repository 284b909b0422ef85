//! Parameters that encoder and decoder of an archive share.

/// Interval of keyframes. Chunks from a multiple of it can be read without those before. Ids are
/// most of an archive's bytes and are written again at each keyframe, so the interval is not short.
pub const KEYFRAME_MS: u64 = 4 * 60 * 60 * 1_000;

/// Settings from which encoder and decoder expect the same beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveParams {
    /// Interval at which players are asked to beat.
    pub interval_ms: u64,
    /// Length of a slot. One item holds the events of a slot. The archive loses at most this much
    /// if all nodes and the log are lost at once.
    pub slot_ms: u64,
    /// Silence after which a session is removed from the session table.
    pub ttl_ms: u64,
}
