//! DynamoDB: what the log and the cold tier both need of it. The SDK's client; items
//! between our types and the SDK's; its errors as ours; its clock.

mod address;
pub(crate) mod attr;
pub(crate) mod clock;
pub(crate) mod connect;
pub(crate) mod failure;

pub use self::address::Address;
