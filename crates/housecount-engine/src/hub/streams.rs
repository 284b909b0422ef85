//! Streams of a viewer, and connections that learn at once that another one has displaced theirs.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use housecount_core::event::{EventKind, EventRef, Ids};
use housecount_core::fold::Stream;
use housecount_core::record::RecordEntry;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Hold, Hub};

/// Connections that wait for the displacement of their sessions. Each is bounded by its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct DisplacementWaiters(Arc<WaiterTable>);

#[derive(Debug, Default)]
struct WaiterTable {
    hasher: RandomState,
    /// By the hash of a session's ids. A wrong wakeup by an equal hash is as good as impossible.
    waiters: Mutex<HashMap<u64, Vec<Arc<Notify>>>>,
}

/// A connection's wait for the displacement of its session. It ends when it is dropped.
#[derive(Debug)]
pub struct DisplacementWaiter {
    table: DisplacementWaiters,
    key: u64,
    notify: Arc<Notify>,
}

impl DisplacementWaiters {
    /// Wakes the connections of a displaced session.
    pub(super) fn wake(&self, event: &EventRef<'_>) {
        if event.kind == EventKind::Displace {
            let waiters = self.0.waiters.lock();
            let here = waiters.get(&self.0.hasher.hash_one(event.ids));
            here.into_iter().flatten().for_each(|waiter| waiter.notify_one());
        }
    }

    /// Wakes the connections of the displaced sessions of a record.
    pub(super) fn wake_all(&self, entries: &[RecordEntry<'_>]) {
        for entry in entries {
            if let RecordEntry::Full(event) = entry {
                self.wake(event);
            }
        }
    }
}

impl DisplacementWaiter {
    /// Waits until the session is displaced, by any node.
    pub async fn displaced(&self) {
        self.notify.notified().await;
    }
}

impl Drop for DisplacementWaiter {
    fn drop(&mut self) {
        let mut waiters = self.table.0.waiters.lock();
        if let Some(here) = waiters.get_mut(&self.key) {
            here.retain(|waiter| !Arc::ptr_eq(waiter, &self.notify));
            if here.is_empty() {
                waiters.remove(&self.key);
            }
        }
    }
}

impl Hub {
    /// Returns a viewer's streams; see [`Fold::streams`](housecount_core::fold::Fold::streams).
    pub fn streams(&self, viewer: &str) -> Vec<Stream> {
        self.fold.lock(Hold::Look).streams(viewer)
    }

    /// Begins to wait for the displacement of a session.
    pub fn wait_for_displacement(&self, ids: Ids<'_>) -> DisplacementWaiter {
        let (table, notify) = (self.displacements.clone(), Arc::new(Notify::new()));
        let key = table.0.hasher.hash_one(ids);
        table.0.waiters.lock().entry(key).or_default().push(notify.clone());
        DisplacementWaiter { table, key, notify }
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::event::SessionLabels;
    use housecount_core::fold::Rules;
    use housecount_core::time::UnixMs;
    use housecount_test::timed_test;

    use super::*;

    const IDS: Ids<'static> = Ids { stage: "s", viewer: "ann", session: "tab" };

    fn displaced(ids: Ids<'static>) -> EventRef<'static> {
        EventRef { labels: SessionLabels::NONE, at: UnixMs(1_000), kind: EventKind::Displace, ids }
    }

    /// Those of other sessions go on waiting, and nothing is left of those that are gone.
    #[timed_test]
    async fn the_connections_of_a_displaced_session_learn_it() {
        let hub = Hub::new(Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 }, 1, false);
        let (first, second) = (hub.wait_for_displacement(IDS), hub.wait_for_displacement(IDS));
        let other = hub.wait_for_displacement(other_ids());
        hub.apply([displaced(Ids { viewer: "bob", ..IDS }), displaced(IDS)]);
        first.displaced().await;
        second.displaced().await;
        hub.apply_record(0, &[RecordEntry::Full(displaced(other_ids()))], UnixMs(1_000));
        other.displaced().await;
        drop((first, second, other));
        assert!(hub.displacements.0.waiters.lock().is_empty());
    }

    fn other_ids() -> Ids<'static> {
        Ids { session: "other", ..IDS }
    }
}
