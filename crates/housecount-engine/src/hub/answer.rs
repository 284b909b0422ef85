//! Answers of the hub: a value, and how far it can be trusted.

use housecount_core::time::UnixMs;

/// Status of a count: how far it can be trusted.
///
/// ```
/// use housecount_engine::{CountStatus, UnixMs};
///
/// let as_of = UnixMs(1_790_035_200_000);
/// let status = CountStatus { as_of, complete: false, recovering: true };
/// let prefix = if status.complete { "" } else { "at least " };
/// assert_eq!(prefix, "at least ");
/// ```
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
///
/// ```
/// use housecount_engine::{Count, CountStatus, UnixMs, WithStatus};
///
/// let status = CountStatus { as_of: UnixMs(0), complete: true, recovering: false };
/// let count = WithStatus { value: Count { viewers: 3, sessions: 4 }, status };
/// assert_eq!(count.value.viewers, 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithStatus<T> {
    /// The value.
    pub value: T,
    /// Status of the value.
    pub status: CountStatus,
}

impl<T> WithStatus<T> {
    /// Converts the value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> WithStatus<U> {
        WithStatus { value: convert(self.value), status: self.status }
    }
}
