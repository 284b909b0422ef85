//! Logs, one folder a backend, and their addresses.

#[cfg_attr(not(feature = "dynamodb"), path = "../without/dynamo_log.rs")]
pub mod dynamodb;
#[cfg_attr(not(feature = "file"), path = "../without/file.rs")]
mod file;
#[cfg_attr(not(feature = "redis"), path = "../without/redis.rs")]
mod redis;
mod target;

#[cfg(feature = "dynamodb")]
pub use self::dynamodb::DynamoLog;
pub use self::dynamodb::DynamoTarget;
pub use self::redis::RedisTarget;
pub use self::target::LogTarget;
