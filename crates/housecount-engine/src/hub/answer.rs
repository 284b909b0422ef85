//! Answers of the hub: a value, and how far it can be trusted.

use housecount_core::time::UnixMs;

/// Status of a count: how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountStatus {
    /// Time on the log's clock up to which the whole log was read. The count may also include later
    /// events.
    pub as_of: UnixMs,
    /// Whether the count includes every event that any node acknowledged at or before `as_of`. If
    /// not, it may be low.
    pub complete: bool,
    /// Whether the count is bridged from before a loss. It is not `complete` then.
    pub recovering: bool,
}

impl CountStatus {
    /// Combines the status of two answers that are joined into one.
    #[must_use]
    pub fn worse(self, other: CountStatus) -> CountStatus {
        CountStatus {
            as_of: self.as_of.min(other.as_of),
            complete: self.complete && other.complete,
            recovering: self.recovering || other.recovering,
        }
    }
}

/// An answer with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithStatus<T> {
    /// The value.
    pub value: T,
    /// Status of the value.
    pub status: CountStatus,
}
