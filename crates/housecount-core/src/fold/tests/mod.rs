//! Tests of the fold: each rule against an oracle, and the sessions that a handle may stand for.

mod handles;
mod labels;
mod presence;
mod proof;
mod steps;
