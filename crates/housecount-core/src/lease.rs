//! A lease: the node that runs a task for which one node is enough.
//!
//! A lease only saves money. Every task under a lease writes the same items when two nodes run it
//! at once. So it has no fencing and no renewal, and a lost lease is not a fault.

use crate::item::{Attr, Item};
use crate::time::UnixMs;

/// A stored lease. It is free once `until` has passed on the log's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Node that has it, for people who look at the table.
    pub holder: String,
    /// Time at which the lease ends.
    pub until: UnixMs,
}

impl Lease {
    /// Name of the attribute that decides whether the lease is free.
    pub const UNTIL: &'static str = "until";

    /// Name of the attribute with the holder.
    pub const HOLDER: &'static str = "holder";

    /// Returns the lease as an item.
    #[must_use]
    pub fn to_item(&self) -> Item {
        Item::from([
            (Self::HOLDER.to_string(), Attr::S(self.holder.clone())),
            (Self::UNTIL.to_string(), Attr::N(self.until.0)),
        ])
    }
}
