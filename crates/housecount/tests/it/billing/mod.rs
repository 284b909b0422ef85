//! Usage of customers: records for billing systems.

mod command;
mod oracle;
