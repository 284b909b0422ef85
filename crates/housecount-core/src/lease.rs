//! A lease: which node does a task that one node is enough for.
//!
//! It saves money and nothing else: every task that takes one writes the same items when two nodes
//! do it at once. So there is no fencing and no renewal, and a lost lease is no fault.

use crate::item::{Attr, Item};
use crate::time::UnixMs;

/// A lease as it is stored. It is free once `until` has passed on the log's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The node that has it, for whoever looks at the table.
    pub holder: String,
    /// Until when.
    pub until: UnixMs,
}

impl Lease {
    /// The attribute that decides whether it is free.
    pub const UNTIL: &'static str = "until";

    /// The item.
    #[must_use]
    pub fn to_item(&self) -> Item {
        Item::from([
            ("holder".to_string(), Attr::S(self.holder.clone())),
            (Self::UNTIL.to_string(), Attr::N(self.until.0)),
        ])
    }
}
