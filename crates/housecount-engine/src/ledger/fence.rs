//! The fence between commits and changes of configuration, in the cold tier.
//!
//! `housecount_core::fence` explains its purpose. The writer of the ledger raises it before each
//! window, and a change of a configuration reads it. No version of a configuration may be written
//! without reading it.

use housecount_backend::cold::{Cold, Condition, KeyedItem, Write};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::fence::CommitFence;
use housecount_core::item::{Attr, number};
use housecount_core::keys::Key;
use housecount_core::time::UnixMs;

use super::chain;

/// Position of the fence, as a node has read it.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Time up to which the ledger may be committed.
    pub committed_to: UnixMs,
    is_stored: bool,
}

impl Reading {
    /// Returns a write that makes a transaction fail if the fence was raised since.
    #[must_use]
    pub fn unchanged(&self) -> Write {
        let fence = CommitFence { committed_to: self.committed_to };
        let condition = if self.is_stored {
            Condition::Equals {
                attr: CommitFence::COMMITTED_TO,
                value: Attr::N(self.committed_to.0),
            }
        } else {
            Condition::Absent
        };
        Write::Put {
            record: KeyedItem { key: Key::Fence, item: fence.to_item() },
            condition: Some(condition),
        }
    }
}

/// Reads the position of the fence. Before this version's first commit it is the end of the
/// ledgers.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn read(cold: &dyn Cold) -> StoreResult<Reading> {
    if let Some(item) = cold.get(&Key::Fence).await? {
        let corrupt = |e| StoreError::caused(ErrorKind::Corrupt, "FENCE#ledger / FENCE", e);
        let committed_to = UnixMs(number(&item, CommitFence::COMMITTED_TO).map_err(corrupt)?);
        return Ok(Reading { committed_to, is_stored: true });
    }
    let mut committed_to = UnixMs::ZERO;
    for chain in chain::all_of(cold).await? {
        match chain::end(cold, chain).await {
            Ok(end) => committed_to = committed_to.max(end),
            // An unreadable chain ended before now, and a change applies from now on at the
            // earliest.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Reading { committed_to, is_stored: false })
}

/// The fence as a writer of the ledger knows it.
#[derive(Debug, Default)]
pub struct Fence {
    raised_to: UnixMs,
}

impl Fence {
    /// Raises the fence, so that the ledger may be committed up to `to`. Another node may have
    /// raised it further.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`. In that case nothing may be committed up to `to`.
    pub async fn raise(&mut self, cold: &dyn Cold, to: UnixMs) -> StoreResult<()> {
        if self.raised_to >= to {
            return Ok(());
        }
        let record =
            KeyedItem { key: Key::Fence, item: CommitFence { committed_to: to }.to_item() };
        let lower = Condition::AbsentOrAtMost { attr: CommitFence::COMMITTED_TO, value: to.0 };
        cold.put_if(record, lower).await?;
        self.raised_to = to;
        Ok(())
    }
}
