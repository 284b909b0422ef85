//! DynamoDB: what the log and the cold tier both need of it. The SDK's client; items
//! between our types and the SDK's; its errors as ours; its clock.

mod address;
#[cfg(feature = "dynamodb")]
pub(crate) mod attr;
#[cfg(feature = "dynamodb")]
pub(crate) mod clock;
#[cfg(feature = "dynamodb")]
pub(crate) mod connect;
#[cfg(feature = "dynamodb")]
pub(crate) mod failure;

pub use self::address::Address;
