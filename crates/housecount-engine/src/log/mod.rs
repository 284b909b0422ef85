//! The log as a node sees it: wrapped, so that no append that fails can be missed.

pub mod health;
mod watched;

pub use self::watched::WatchedLog;
