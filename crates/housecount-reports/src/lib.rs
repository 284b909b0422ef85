//! Reports: who came to a stage, who stayed, and how long.
//!
//! All figures are exact and come from the spans of the ledger, and from those proven since. A
//! viewer is who has proven time; there is no second definition. A *view* is a viewer's proven
//! time on a stage without a gap of more than the ttl.
//!
//! - [`request`]: the request of a report.
//! - [`figures`]: the shape of a report, as JSON.
//! - [`calendar`]: times as people write them, and calendar periods.
//! - [`customers`]: the times in which stages had a customer.
//! - [`nearest`]: the known name nearest to an unknown one.
//! - [`distribution`]: mean, median, 90th percentile and histogram of watch times.
//! - `views`: a viewer's views, as far as they may still grow.
//! - `retention`: how many of the first viewers stay.
//! - [`audience`]: the fold of spans into a report.
//! - [`by_value`]: one fold for each value of a label; [`value_totals`]: the sums of one value.
//! - [`labelled`]: figures by label, as JSON.
//! - [`broadcasts`]: the times at which a stage has an audience.
//! - [`ranking`]: watch times in an order that the caller chooses.
//! - [`configs`]: the configuration in force when a time was watched.
//! - [`spreadsheet`]: CSV, with texts that a spreadsheet must not run.
//! - [`filter`]: the part of the ledger that a reader may see.
//! - [`read`]: the scans of the ledger that fill these folds.
//! - [`final_hours`]: the end of the hours that can grow no more.
//! - [`usage`]: the watch time of customers, by stage and period.
//! - [`usage_rows`]: pages of that usage.
//! - [`verify`]: the ledger recomputed.

pub mod audience;
pub mod broadcasts;
pub mod by_value;
pub mod calendar;
pub mod configs;
pub mod customers;
pub mod distribution;
pub mod figures;
pub mod filter;
pub mod final_hours;
pub mod labelled;
mod movements;
mod names;
pub mod nearest;
pub mod ranking;
pub mod read;
pub mod request;
mod retention;
pub mod spreadsheet;
pub mod usage;
pub mod usage_rows;
pub mod value_totals;
pub mod verify;
mod views;
