//! Usage of customers: records for billing systems, and the API's list.

mod command;
mod list;
mod oracle;
