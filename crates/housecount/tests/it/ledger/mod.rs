//! The ledger: what was proven is written for good, to the millisecond, whatever fails.

mod damage;
mod oracle;
mod stage;
