//! The ledger on a node: proof that isn't written yet, and access to what is written.
//!
//! - [`proofs`]: the fold of the log into proven time, on every node.
//! - [`chain`]: a partition's chunks in the cold tier, read in order.
//! - [`drafting`]: the next chunk, which is the proof minus what is written.
//! - [`fence`]: the time up to which the ledger may be committed, for changes of configuration.
//! - [`restore`]: continuing after everything else was lost.
//! - [`scan`]: all partitions' chunks of a range, joined with later proof.
//! - [`scans`]: the same for callers of the API.
//! - [`rows`]: the rows that they read page by page.
//!
//! `tasks/commit` writes it.

pub mod chain;
pub mod chunks;
pub mod commit;
pub mod drafting;
pub mod fence;
pub mod proofs;
pub mod restore;
pub mod rows;
pub mod scan;
pub mod scans;

pub use proofs::Proofs;
pub use scans::Scans;
