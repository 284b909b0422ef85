//! Snapshot: a stage's count at a moment, in the cold tier, for history and restore.
//!
//! Other programs read `stageArn`, `timestamp`, `viewerCount` and `ttl`, so these never change
//! their meaning.

use crate::fold::Count;
use crate::item::{Attr, AttrError, Item, number, number_or_zero, text};
use crate::time::UnixMs;

/// A stage's count at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stage.
    pub stage: String,
    /// Time of the snapshot, on the log's clock.
    pub at: UnixMs,
    /// Online viewers and sessions.
    pub count: Count,
    /// Largest number of viewers at once until then.
    pub peak: u64,
    /// Whether the count was bridged from an earlier snapshot, and not counted.
    pub recovering: bool,
}

impl Snapshot {
    /// Returns the item, which expires `retention_ms` after its moment. `ttl` is in seconds,
    /// rounded up.
    #[must_use]
    pub fn to_item(&self, retention_ms: u64) -> Item {
        let mut item = Item::from([
            ("stageArn".to_string(), Attr::S(self.stage.clone())),
            ("timestamp".to_string(), Attr::N(self.at.0)),
            ("viewerCount".to_string(), Attr::N(self.count.viewers)),
            ("sessionCount".to_string(), Attr::N(self.count.sessions)),
            ("peak".to_string(), Attr::N(self.peak)),
            ("ttl".to_string(), Attr::N(expiry_s(self.at, retention_ms))),
        ]);
        if self.recovering {
            item.insert("recovering".to_string(), Attr::Bool(true));
        }
        item
    }

    /// Reads the snapshot of an item. Returns `None` if it has expired by `now` and only awaits its
    /// deletion.
    ///
    /// # Errors
    /// Returns an [`AttrError`] if an attribute that every snapshot has is missing or of another
    /// type.
    pub fn from_item(item: &Item, now: UnixMs) -> Result<Option<Snapshot>, AttrError> {
        if is_expired(item, now) {
            return Ok(None);
        }
        let viewers = number(item, "viewerCount")?;
        Ok(Some(Snapshot {
            stage: text(item, "stageArn")?.to_string(),
            at: UnixMs(number(item, "timestamp")?),
            count: Count { viewers, sessions: number(item, "sessionCount").unwrap_or(viewers) },
            peak: number(item, "peak").unwrap_or(viewers),
            recovering: item.get("recovering") == Some(&Attr::Bool(true)),
        }))
    }
}

/// Returns the time at which an item expires, in Unix seconds as in DynamoDB's TTL.
#[must_use]
pub fn expiry_s(at: UnixMs, retention_ms: u64) -> u64 {
    at.plus(retention_ms).0.div_ceil(1000)
}

/// Returns whether an item's TTL has passed. Neither DynamoDB nor an emulator deletes promptly, so
/// readers check.
#[must_use]
pub fn is_expired(item: &Item, now: UnixMs) -> bool {
    let ttl_s = number_or_zero(item, "ttl");
    ttl_s != 0 && ttl_s.saturating_mul(1000) <= now.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let count = Count { viewers: 41, sessions: 43 };
        Snapshot {
            stage: "s".into(),
            at: UnixMs(1_790_000_000_001),
            count,
            peak: 50,
            recovering: false,
        }
    }

    #[test]
    fn round_trip_and_expiry() {
        let item = snapshot().to_item(1_000);
        assert_eq!(
            item["ttl"],
            Attr::N(1_790_000_002),
            "the ttl is rounded up, so that no item expires early"
        );
        assert_eq!(
            Snapshot::from_item(&item, UnixMs(1_790_000_001_999)).unwrap(),
            Some(snapshot())
        );
        assert_eq!(Snapshot::from_item(&item, UnixMs(1_790_000_002_000)).unwrap(), None);
        let bridged = Snapshot { recovering: true, ..snapshot() };
        assert_eq!(
            Snapshot::from_item(&bridged.to_item(1_000), UnixMs::ZERO).unwrap(),
            Some(bridged)
        );
    }

    /// Items of other programs have only the attributes of the contract.
    #[test]
    fn reads_the_items_of_other_writers() {
        let item = Item::from([
            ("stageArn".to_string(), Attr::S("s".into())),
            ("timestamp".to_string(), Attr::N(5)),
            ("viewerCount".to_string(), Attr::N(7)),
        ]);
        let read = Snapshot::from_item(&item, UnixMs(9)).unwrap().unwrap();
        assert_eq!((read.count, read.peak), (Count { viewers: 7, sessions: 7 }, 7));
        let error = Snapshot::from_item(&Item::new(), UnixMs(9)).unwrap_err();
        assert_eq!(error.to_string(), "attribute `viewerCount` is missing or of another type");
    }
}
