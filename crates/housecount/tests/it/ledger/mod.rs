//! The ledger: what was proven is written for good, to the millisecond, whatever fails.

mod oracle;
mod stage;
