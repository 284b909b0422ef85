//! The ledger: all proven time is committed, to the millisecond, whatever fails.

mod bounds;
mod damage;
mod figures;
mod oracle;
mod pages;
mod retention;
