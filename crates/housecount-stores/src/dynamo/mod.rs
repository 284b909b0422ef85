//! Parts of DynamoDB that the log and the cold tier share. These are the SDK's client, the
//! conversion of items and errors, and its clock.

mod address;
#[cfg(feature = "dynamodb")]
pub(crate) mod attr;
#[cfg(feature = "dynamodb")]
pub(crate) mod clock;
#[cfg(feature = "dynamodb")]
pub mod connect;
#[cfg(feature = "dynamodb")]
pub mod consumed;
#[cfg(feature = "dynamodb")]
pub mod failure;

pub use self::address::Address;
