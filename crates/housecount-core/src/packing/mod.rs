//! Codes of stored formats: numbers in as many bits as they need, ids by their shape, and choices
//! in bits by their probability.

pub(crate) mod bits;
pub(crate) mod id_shapes;
pub(crate) mod range_coder;
