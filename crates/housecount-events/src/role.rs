//! Role of a node: whether it writes events and delivers them.

use housecount_core::time::UnixMs;

/// Whether this node writes events, for those who deliver them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterRole {
    /// End of its lease on the log's clock; zero if it has none.
    pub until: UnixMs,
    /// Number of the last stored event.
    pub last: u64,
}

impl WriterRole {
    /// Whether this node writes events.
    #[must_use]
    pub fn is_writer(&self) -> bool {
        self.until != UnixMs::ZERO
    }
}
