//! Bodies of requests, read within their bounds.
//!
//! All input comes from outside. A body that breaks a rule is a problem that names the field.
//!
//! - [`gzip`]: compressed bodies, and answers.
//! - [`body`]: reading a body, its type and its JSON.
//! - [`heartbeat_json`]: the fields of a heartbeat or a leave.
//! - [`batch_body`]: heartbeats of many players in one body, read slice by slice.

pub mod batch_body;
pub mod body;
pub mod gzip;
pub mod heartbeat_json;
