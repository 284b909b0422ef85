//! Fence between the ledger's commits and changes of configuration, both of which any node may
//! make.
//!
//! A node raises the fence to a window's end before it writes that window's chunk. A change of
//! configuration is one transaction, on condition that the fence is as the node read it. If the
//! fence was raised since, the change is refused and made again for later time. A version that
//! applies to a window was therefore stored before the window was committed, however slow a node or
//! a request is.

use crate::item::{Attr, Item};
use crate::time::UnixMs;

/// The stored fence. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitFence {
    /// End of the last window that may be committed.
    pub committed_to: UnixMs,
}

impl CommitFence {
    /// Name of the attribute that decides whether the fence may be raised.
    pub const COMMITTED_TO: &'static str = "committedTo";

    /// Returns the fence as an item.
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
