//! Every error of the API, made in one place: RFC 9457 `application/problem+json` with a stable
//! `code`.
//!
//! `detail` is for people: it names the input and the way out. Codes never change their meaning.
//!
//! # The map
//! - [`problem`]: a problem, and its answer.
//! - `causes`: the problem of each error of another crate.
//! - `limited_keys`: problems of operator keys that cover a part of the stages.

mod causes;
mod limited_keys;
pub mod problem;

pub use self::problem::*;
