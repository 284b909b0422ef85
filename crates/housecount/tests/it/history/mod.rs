//! History never changes. Configuration is kept in versions, and committed watch time keeps the
//! version of its time.

mod csv;
mod oracle;
pub mod served;
pub mod zones;
