//! Failures of the stores in one form: a closed kind, the failed operation, and the cause.
//!
//! Callers decide by the kind alone. The text is for operators. It names the store and never
//! contains a password.

use std::error::Error as StdError;
use std::fmt;

/// Kind of a failure, which decides how a caller reacts.
///
/// ```
/// use housecount_backend::error::ErrorKind;
///
/// assert!(ErrorKind::Throttled.is_temporary() && !ErrorKind::Schema.is_temporary());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The store can't be reached or answers too late. A retry may succeed.
    Unavailable,
    /// The store throttles this node. A later retry may succeed.
    Throttled,
    /// The store does not accept the credentials, or denies this call. An operator must change a
    /// key or a policy.
    Denied,
    /// The table does not exist. An operator must create it, and may do so while the node waits.
    Missing,
    /// The store's layout is not what housecount needs. An operator must change it.
    Schema,
    /// The store refuses the request as invalid, and will refuse it again.
    Refused,
    /// Stored bytes are not what this program wrote.
    Corrupt,
    /// Another process holds the resource: a data folder that it keeps open.
    Held,
    /// The store does not support this operation: `cold = none`, or a setting unknown to this kind
    /// of log.
    Unsupported,
}

impl ErrorKind {
    /// Whether the same call may succeed later without an operator's help.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(self, ErrorKind::Unavailable | ErrorKind::Throttled)
    }
}

/// A failure of a store.
///
/// ```
/// use housecount_backend::error::{ErrorKind, StoreError};
///
/// let error = StoreError::new(ErrorKind::Unavailable, "reading the log");
/// assert!(error.is_temporary());
/// assert_eq!(error.to_string(), "reading the log");
/// ```
#[derive(Debug)]
pub struct StoreError {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Result of a call to a store.
pub type StoreResult<T> = Result<T, StoreError>;

impl StoreError {
    /// A failure that housecount itself detects; `context` has the operation and the reason.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> StoreError {
        StoreError { kind, context: context.into(), source: None }
    }

    /// A failure that a lower layer reported.
    pub fn caused(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> StoreError {
        StoreError { kind, context: context.into(), source: Some(source.into()) }
    }

    /// Kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the reader of the output has closed its pipe.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let cause = self.source.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Whether a retry may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }
}

impl fmt::Display for StoreError {
    /// Writes one line: the operation, and the chain of causes.
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
