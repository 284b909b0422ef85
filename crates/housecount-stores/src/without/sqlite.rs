//! The embedded cold tier in a binary that was built without the feature `sqlite`.

use std::path::Path;
use std::sync::Arc;

use housecount_backend::cold::bulk::Bulk;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};

use crate::features;

/// Refuses to open a folder.
///
/// # Errors
/// Returns `Unsupported` with the name of the feature.
pub(super) fn open(folder: &Path) -> StoreResult<Arc<dyn Bulk>> {
    let why = format!("embedded:{}: {}", folder.display(), features::missing("sqlite"));
    Err(StoreError::new(ErrorKind::Unsupported, why))
}

/// Refuses to open a folder for reading.
///
/// # Errors
/// Returns `Unsupported` with the name of the feature.
pub(super) fn open_to_read(folder: &Path) -> StoreResult<Arc<dyn Bulk>> {
    open(folder)
}
