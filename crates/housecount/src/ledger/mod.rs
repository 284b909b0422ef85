//! The ledger on a node: what is proven and not yet written, and the way to what is.
//!
//! - [`proofs`]: the fold of the log into proven time, on every node.
//! - [`chain`]: a partition's chunks in the cold tier: read in order, written where there is none.
//! - [`drafting`]: the next chunk: what is proven, less what is written.
//! - [`fence`]: up to when it may be committed, for whoever changes a configuration.
//! - [`restore`]: going on after everything else was lost.
//! - [`scan`]: all partitions' chunks of a range, joined with what is proven since.
//! - [`scans`]: the same for callers of the API; [`rows`]: what they read page by page.
//!
//! `tasks/commit` writes it.

pub mod chain;
pub mod drafting;
pub mod fence;
pub mod proofs;
pub mod restore;
pub mod rows;
pub mod scan;
pub mod scans;

pub use proofs::Proofs;
pub use scans::Scans;
