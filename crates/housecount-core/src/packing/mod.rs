//! How stored formats pack what they say: numbers in as many bits as they need, ids by what they
//! look like, and choices in as many bits as they surprise.

pub(crate) mod bits;
pub(crate) mod id_shapes;
pub(crate) mod range_coder;
