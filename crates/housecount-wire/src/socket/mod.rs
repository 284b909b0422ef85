//! A client's socket: its counts of bytes, TLS, and the version of HTTP that it begins with.

pub mod metered;
pub mod preface;
pub mod stream;
