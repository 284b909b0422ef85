//! Network basics: the HTTP client, TLS, and addresses of services.

pub mod client;
pub mod service_url;
pub mod tls;
