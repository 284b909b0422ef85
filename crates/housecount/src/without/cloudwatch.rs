//! CloudWatch in a binary that was built without the feature `ivs`.

use std::collections::BTreeMap;

use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::span::Span;
use housecount_stores::features;

use super::{CloudWatchCounts, CloudWatchSource, StageArn};

impl CloudWatchSource {
    /// Refuses to query CloudWatch.
    ///
    /// # Errors
    /// Returns `Unsupported` with the name of the feature.
    pub async fn counts(
        &self,
        _: &[StageArn],
        _: Span,
        _: u64,
    ) -> StoreResult<BTreeMap<String, CloudWatchCounts>> {
        Err(StoreError::new(ErrorKind::Unsupported, features::missing("ivs")))
    }
}
