//! Logs in files in a binary that was built without the feature `file`.

use std::path::Path;
use std::sync::Arc;

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::Log;

use crate::features;

/// Refuses to open a folder.
pub(super) fn open(folder: &Path) -> StoreResult<Arc<dyn Log>> {
    let why = format!("log file:{}: {}", folder.display(), features::missing("file"));
    Err(StoreError::new(ErrorKind::Unsupported, why))
}
