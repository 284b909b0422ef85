//! Failures of the stores, in one shape: a closed kind, what was being done, and the cause.
//!
//! Callers decide by the kind alone. The text is for people: it names the store and never a
//! password.

use std::error::Error as StdError;
use std::fmt;

/// What kind of failure it is, and so what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The store can't be reached or answers too late. Try again.
    Unavailable,
    /// The store asks us to slow down. Try again later.
    Throttled,
    /// The store knows us not, or not for this. Somebody must change a key or a policy.
    Denied,
    /// The table isn't there. Somebody must make it, and may do so while we wait.
    Missing,
    /// The store is there, but not laid out as housecount needs it. Somebody must change it.
    Schema,
    /// The store refuses what it was sent as invalid, and will refuse it again.
    Refused,
    /// Stored bytes are not what this program wrote.
    Corrupt,
    /// Somebody else has it: a data folder that another process holds open.
    Held,
    /// The store can't do this at all: `cold = none`, or a setting that this kind of log doesn't
    /// know.
    Unsupported,
}

impl ErrorKind {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(self, ErrorKind::Unavailable | ErrorKind::Throttled)
    }
}

/// A failure of a store.
#[derive(Debug)]
pub struct StoreError {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a store answers.
pub type StoreResult<T> = Result<T, StoreError>;

impl StoreError {
    /// A failure found by us: `context` says what was being done, and why it can't be.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> StoreError {
        StoreError { kind, context: context.into(), source: None }
    }

    /// A failure that something below reported.
    pub fn caused(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> StoreError {
        StoreError { kind, context: context.into(), source: Some(source.into()) }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it is that whoever was written to doesn't read any more.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let cause = self.source.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }
}

impl fmt::Display for StoreError {
    /// One line: what was being done, and the chain of causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        let mut cause = self.source.as_deref().map(|e| e as &dyn StdError);
        let mut message = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                write!(f, ": {text}")?;
                message.push_str(&text);
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_the_chain_of_causes() {
        let cause = std::io::Error::other("connection refused");
        let error = StoreError::caused(ErrorKind::Unavailable, "reading redis at h:1", cause);
        assert_eq!(error.to_string(), "reading redis at h:1: connection refused");
        assert!(error.is_temporary());
        assert!(!StoreError::new(ErrorKind::Schema, "x").is_temporary());
    }
}
