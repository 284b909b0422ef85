//! Network basics: the HTTP client, TLS, and addresses of services.

#[cfg(feature = "http")]
mod byte_queue;
#[cfg(feature = "http")]
pub mod client;
pub mod service_url;
#[cfg(feature = "http")]
mod tickets;
#[cfg(feature = "http")]
pub mod tls;
#[cfg(feature = "http")]
mod tls_stream;
pub mod traffic;
