//! The cold tier in DynamoDB in a binary that was built without the feature `dynamodb`.

use std::sync::Arc;

use housecount_backend::cold::bulk::Bulk;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};

use crate::dynamo::Address;
use crate::features;

/// Refuses to open a table.
///
/// # Errors
/// Returns `Unsupported` with the name of the feature.
pub(super) async fn open(address: &Address) -> StoreResult<Arc<dyn Bulk>> {
    Err(StoreError::new(
        ErrorKind::Unsupported,
        format!("{address}: {}", features::missing("dynamodb")),
    ))
}
