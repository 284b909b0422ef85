//! Redis logs in a binary that was built without the feature `redis`.

use std::fmt;
use std::sync::Arc;

use housecount_backend::error::StoreResult;
use housecount_backend::log::Log;

use crate::features;

/// Address of a Redis log. This binary has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTarget {}

impl RedisTarget {
    /// Refuses an address.
    ///
    /// # Errors
    /// Returns one line that names the feature.
    pub fn parse(_: &str) -> Result<RedisTarget, String> {
        Err(features::missing("redis"))
    }
}

impl fmt::Display for RedisTarget {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// Unreachable, since the address type has no values.
pub(super) fn open(target: &RedisTarget, _: &str) -> StoreResult<Arc<dyn Log>> {
    match *target {}
}
