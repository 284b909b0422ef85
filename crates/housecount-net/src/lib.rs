//! Network basics: the HTTP client, TLS, and addresses of services.

pub mod address_policy;
#[cfg(feature = "http")]
mod byte_queue;
#[cfg(feature = "http")]
pub mod client;
#[cfg(feature = "http")]
pub mod outbound;
pub mod service_url;
#[cfg(feature = "http")]
mod tickets;
#[cfg(feature = "http")]
pub mod tls;
#[cfg(feature = "http")]
mod tls_stream;
pub mod traffic;
