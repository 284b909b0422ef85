//! The ledger: all proven time is committed, to the millisecond, whatever fails.

mod bounds;
pub mod damage;
mod figures;
mod oracle;
mod pages;
mod retention;
mod served;
pub mod stage;
