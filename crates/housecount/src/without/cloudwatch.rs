//! CloudWatch in a binary that was built without the feature `ivs`.

use std::collections::BTreeMap;

use housecount_core::span::Span;

use super::{Counts, Source, StageArn};
use crate::error::{ErrorKind, StoreError, StoreResult};
use crate::features;

impl Source {
    /// Refuses to ask CloudWatch.
    ///
    /// # Errors
    /// One line that names the feature.
    pub async fn counts(
        &self,
        _: &[StageArn],
        _: Span,
        _: u64,
    ) -> StoreResult<BTreeMap<String, Counts>> {
        Err(StoreError::new(ErrorKind::Unsupported, features::missing("ivs")))
    }
}
