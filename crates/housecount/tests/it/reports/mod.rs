//! Reports as users see them, and against a plain program over exported intervals.

mod figures;
mod labels;
mod oracle;
mod plain;
mod served;
