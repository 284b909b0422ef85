//! Order of a viewer's calls: a leave is sent after the answer to the last heartbeat, as players
//! do. On another connection the leave could overtake that heartbeat, which would then bring the
//! viewer back.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::PlannedCall;

/// Locks of the viewers with a heartbeat in progress.
#[derive(Default)]
pub(super) struct CallOrder(HashMap<(String, String), Arc<Mutex<()>>>);

/// Permission to send a call.
pub(super) enum CallTurn {
    /// Send now; the viewers' leaves wait until these guards are dropped.
    Now(Vec<OwnedMutexGuard<()>>),
    /// Send once this lock is free.
    After(Arc<Mutex<()>>),
}

impl CallOrder {
    /// Returns the turn of a call. Calls must be made in the order in which viewers act.
    pub(super) fn take(&mut self, call: &PlannedCall) -> CallTurn {
        if call.is_leave {
            let last = call.about.first().and_then(|viewer| self.0.remove(viewer));
            return last.map_or(CallTurn::Now(Vec::new()), CallTurn::After);
        }
        let hold = |viewer: &(String, String)| {
            // Heartbeats may overtake one another, since the later one has the same content.
            self.0.entry(viewer.clone()).or_default().clone().try_lock_owned().ok()
        };
        CallTurn::Now(call.about.iter().filter_map(hold).collect())
    }
}

impl CallTurn {
    /// Waits for the turn. The caller holds the returned guards until the call is answered.
    pub(super) async fn wait(self) -> Vec<OwnedMutexGuard<()>> {
        match self {
            CallTurn::Now(held) => held,
            CallTurn::After(last) => vec![last.lock_owned().await],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use housecount_test::timed_test;

    fn call(is_leave: bool) -> PlannedCall {
        let about = vec![("s".to_string(), "v".to_string())];
        PlannedCall { path: "", body: bytes::Bytes::new(), is_leave, about }
    }

    #[timed_test]
    async fn a_goodbye_waits_for_the_last_heartbeat() {
        let mut turns = CallOrder::default();
        let beat = turns.take(&call(false)).wait().await;
        let goodbye = tokio::spawn(turns.take(&call(true)).wait());
        tokio::task::yield_now().await;
        assert!(!goodbye.is_finished());
        drop(beat);
        assert_eq!(goodbye.await.unwrap().len(), 1);
        assert!(
            turns.take(&call(true)).wait().await.is_empty(),
            "a viewer without calls has nothing to wait for"
        );
    }
}
