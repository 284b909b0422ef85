//! Names of the spans that are traced. `otlp` sends them to a collector.

/// Target of all traced spans, which have level `debug`. Their numbers are `i64`: OTLP has no other
/// integers and would send text.
pub const TARGET: &str = "crate::traced";
/// Span of an operator's request.
pub const REQUEST: &str = "request";
