//! The fence between the ledger's commits and changes of configuration, both of which any node may
//! make.
//!
//! A node raises the fence to a window's end before it writes that window's chunk. A change of
//! configuration is one transaction with the fence as the node has read it: if the fence was raised
//! meanwhile, the change is refused and made again for later time. So a version that applies to a
//! window was stored before the window was committed, however slow a node or a request is.

use crate::item::{Attr, Item};
use crate::time::UnixMs;

/// The fence as it is stored. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitFence {
    /// No window that ends later is committed.
    pub committed_to: UnixMs,
}

impl CommitFence {
    /// The attribute that decides whether it may be raised.
    pub const COMMITTED_TO: &'static str = "committedTo";

    /// The item.
    #[must_use]
    pub fn to_item(self) -> Item {
        Item::from([(Self::COMMITTED_TO.to_string(), Attr::N(self.committed_to.0))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_frozen() {
        let item = CommitFence { committed_to: UnixMs(1_790_000_100_000) }.to_item();
        assert_eq!(item, Item::from([("committedTo".to_string(), Attr::N(1_790_000_100_000))]));
    }
}
