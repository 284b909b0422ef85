//! The ledger of a node: its bounds, its figures, and what it answers over HTTP. The engine's tests
//! show that it is exact.

mod bounds;
mod figures;
mod served;

use housecount::config::{Layers, NodeSettings};

pub use crate::support::stage;

/// Settings of a node whose stores the test opens.
fn settings() -> NodeSettings {
    let flags = [("cold", "none"), ("log", "memory:")];
    let flags = flags.map(|(k, v)| ("--set".to_string(), k.to_string(), v.to_string())).to_vec();
    NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags).unwrap()).unwrap()
}
