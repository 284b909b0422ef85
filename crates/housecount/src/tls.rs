//! The one TLS stack: rustls with ring, shared by Redis and AWS.

/// Makes ring the process's provider. Harmless when there is one already.
pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
