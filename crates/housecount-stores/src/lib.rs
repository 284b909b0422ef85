//! The logs and cold tiers of housecount: files, SQLite, Redis, DynamoDB.
pub mod cold;
pub mod dynamo;
pub mod features;
pub mod folder;
pub mod log;
