//! What the hub answers: a figure, and how far it can be trusted.

use housecount_core::time::UnixMs;

/// How far a count can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountStatus {
    /// Time on the log's clock up to which the whole log was read. The count may have later events
    /// as well.
    pub as_of: UnixMs,
    /// Whether the count has every event that any node acknowledged at or before `as_of`. If not,
    /// it may be low.
    pub complete: bool,
    /// Whether it is bridged from what was known before a loss. Then it is not `complete`.
    pub recovering: bool,
}

impl CountStatus {
    /// The standing of an answer that is made of two.
    #[must_use]
    pub fn worse(self, other: CountStatus) -> CountStatus {
        CountStatus {
            as_of: self.as_of.min(other.as_of),
            complete: self.complete && other.complete,
            recovering: self.recovering || other.recovering,
        }
    }
}

/// An answer with its standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithStatus<T> {
    /// What was asked for.
    pub value: T,
    /// How far it can be trusted.
    pub standing: CountStatus,
}
