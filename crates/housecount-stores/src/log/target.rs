//! Addresses of logs: `memory:`, `file:DIR`, `redis://`, `dynamodb://TABLE` and their kin.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use housecount_backend::error::StoreResult;
use housecount_backend::log::{Log, MemoryLog};

use super::{DynamoTarget, RedisTarget, dynamodb, file, redis};

/// Address of a log, parsed and complete, but not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // an address is parsed once
pub enum LogTarget {
    /// `memory:`, in this process and lost with it. For tests and trials.
    Memory,
    /// `file:DIR`, in a folder of this machine, for one process.
    File(PathBuf),
    /// `redis://`, `rediss://`, `redis+unix://`, `redis-cluster://` or `redis+sentinel://`.
    Redis(RedisTarget),
    /// `dynamodb://TABLE`, in AWS or behind an endpoint.
    Dynamo(DynamoTarget),
}

impl LogTarget {
    /// Parses a log URL.
    ///
    /// # Errors
    /// Returns a text that says what is wrong with it, without its password.
    pub fn parse(url: &str) -> Result<LogTarget, String> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(LogTarget::Memory),
            Some(("file", dir)) if !dir.is_empty() => Ok(LogTarget::File(PathBuf::from(dir))),
            Some((scheme, _)) if scheme.starts_with("redis") || scheme == "unix" => {
                RedisTarget::parse(url).map(LogTarget::Redis)
            }
            Some(("dynamodb", rest)) => DynamoTarget::parse(rest).map(LogTarget::Dynamo),
            _ => Err("a log is memory:, file:DIR, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis+unix:///PATH, \
                      redis-cluster://HOST:PORT,HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or dynamodb://TABLE"
                .to_string()),
        }
    }

    /// Opens the log. An unavailable log is opened all the same, and its calls fail until it is
    /// back.
    ///
    /// # Errors
    /// Returns a `StoreError` that a retry can't fix: a folder in use, a foreign file, or a bad
    /// certificate.
    pub async fn open(&self, redis_prefix: &str) -> StoreResult<Arc<dyn Log>> {
        Ok(match self {
            LogTarget::Memory => Arc::new(MemoryLog::default()),
            LogTarget::File(folder) => file::open(folder)?,
            LogTarget::Redis(target) => redis::open(target, redis_prefix)?,
            LogTarget::Dynamo(target) => dynamodb::open(target).await?,
        })
    }
}

impl fmt::Display for LogTarget {
    /// Writes the address for people, never with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogTarget::Memory => f.write_str("memory (lost when housecount stops)"),
            LogTarget::File(folder) => write!(f, "file:{}", folder.display()),
            LogTarget::Redis(target) => target.fmt(f),
            LogTarget::Dynamo(target) => target.fmt(f),
        }
    }
}
