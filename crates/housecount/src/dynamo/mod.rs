//! DynamoDB: what the log and the cold tier both need of it. The SDK's client, over the network or over the embedded engine; items
//! between our types and the SDK's; its errors as ours; its clock.

mod address;
pub(crate) mod attr;
pub(crate) mod clock;
pub(crate) mod connect;
mod embedded;
pub(crate) mod failure;

pub use self::address::Address;
pub use self::embedded::Engine;
