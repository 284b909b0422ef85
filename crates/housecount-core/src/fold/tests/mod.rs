//! The fold's tests: each rule against an oracle, and what a handle may stand for.

mod handles;
mod presence;
mod proof;
mod steps;
