//! Cold tiers, and their addresses.

#[cfg_attr(not(feature = "dynamodb"), path = "../without/dynamo_cold.rs")]
mod dynamodb;
#[cfg_attr(not(feature = "sqlite"), path = "../without/sqlite.rs")]
mod sqlite;
mod target;

#[cfg(feature = "dynamodb")]
pub use self::dynamodb::{DynamoCold, TableOptions, TableState};
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteCold;
pub use self::target::ColdTarget;
pub use crate::dynamo::Address;
