//! The logs and cold tiers of housecount: files, SQLite, Redis, DynamoDB.
//!
//! [`open_log`] and [`open_cold`] open them by their URLs, which are those of the settings `log`
//! and `cold`. Each backend is one folder and one feature: `file` (logs in files), `sqlite` (the
//! embedded cold tier), `redis` and `dynamodb`.
//!
//! ```
//! # #[cfg(all(feature = "file", feature = "sqlite"))]
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let data = tempfile::tempdir()?;
//! # let data = data.path().display();
//! let log = housecount_stores::open_log(&format!("file:{data}/log")).await?;
//! let cold = housecount_stores::open_cold(&format!("embedded:{data}/cold")).await?;
//! assert_eq!(log.partitions(), 1);
//! cold.check().await?;
//! # Ok(()) }
//! # #[cfg(not(all(feature = "file", feature = "sqlite")))]
//! # fn main() {}
//! ```

pub mod cold;
pub mod dynamo;
pub mod features;
pub mod folder;
pub mod log;

use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::Log;

/// Prefix of the keys of a log in Redis, as of the setting `redis_prefix`.
const REDIS_PREFIX: &str = "hc:";

/// Opens a log by its URL, such as `file:DIR`, `redis://HOST:PORT/DB` or `dynamodb://TABLE`.
///
/// # Errors
/// Returns `Refused` for a URL that is wrong, otherwise the errors of
/// [`LogTarget::open`](log::LogTarget::open).
pub async fn open_log(url: &str) -> StoreResult<Arc<dyn Log>> {
    let target = log::LogTarget::parse(url).map_err(refused)?;
    target.open(REDIS_PREFIX).await
}

/// Opens a cold tier by its URL: `embedded:DIR` or `dynamodb://TABLE?region=R`.
///
/// # Errors
/// Returns `Refused` for a URL that is wrong, or for `none`. Otherwise returns the errors of
/// [`ColdTarget::open`](cold::ColdTarget::open).
pub async fn open_cold(url: &str) -> StoreResult<Arc<dyn Cold>> {
    match cold::ColdTarget::parse(url, "").map_err(refused)? {
        Some(target) => target.open().await,
        None => Err(refused("`none` is not a cold tier".to_string())),
    }
}

fn refused(why: String) -> StoreError {
    StoreError::new(ErrorKind::Refused, why)
}
