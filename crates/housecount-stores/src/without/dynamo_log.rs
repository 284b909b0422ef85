//! Logs in DynamoDB in a binary that was built without the feature `dynamodb`.

use std::fmt;
use std::sync::Arc;

use housecount_backend::error::StoreResult;
use housecount_backend::log::Log;

use crate::features;

/// Address of a log in DynamoDB. This binary has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DynamoTarget {}

impl DynamoTarget {
    /// Refuses an address.
    ///
    /// # Errors
    /// Returns one line that names the feature.
    pub fn parse(_: &str) -> Result<DynamoTarget, String> {
        Err(features::missing("dynamodb"))
    }

    /// Unreachable, since this type has no values.
    #[must_use]
    pub fn flush_ms(&self) -> u64 {
        match *self {}
    }
}

impl fmt::Display for DynamoTarget {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// Unreachable, since the address type has no values.
pub(super) async fn open(target: &DynamoTarget) -> StoreResult<Arc<dyn Log>> {
    match *target {}
}
