//! Viewers say goodbye when their last heartbeat is answered, as players do, and not beside it: on
//! another connection the goodbye could overtake it, and the heartbeat would bring back who has
//! left.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Call;

/// Who has a heartbeat on its way.
#[derive(Default)]
pub(super) struct Turns(HashMap<(String, String), Arc<Mutex<()>>>);

/// A call's turn.
pub(super) enum Turn {
    /// It is now; the viewers' goodbyes wait until this is dropped.
    Now(Vec<OwnedMutexGuard<()>>),
    /// When this is free.
    After(Arc<Mutex<()>>),
}

impl Turns {
    /// The turn of a call. To be asked in the order in which viewers act.
    pub(super) fn take(&mut self, call: &Call) -> Turn {
        if call.is_leave {
            let last = call.about.first().and_then(|viewer| self.0.remove(viewer));
            return last.map_or(Turn::Now(Vec::new()), Turn::After);
        }
        let hold = |viewer: &(String, String)| {
            // Heartbeats may overtake one another: the later one says as much.
            self.0.entry(viewer.clone()).or_default().clone().try_lock_owned().ok()
        };
        Turn::Now(call.about.iter().filter_map(hold).collect())
    }
}

impl Turn {
    /// Waits until it comes. What is returned is to be held until the call is answered.
    pub(super) async fn come(self) -> Vec<OwnedMutexGuard<()>> {
        match self {
            Turn::Now(held) => held,
            Turn::After(last) => vec![last.lock_owned().await],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(is_leave: bool) -> Call {
        let about = vec![("s".to_string(), "v".to_string())];
        Call { path: "", body: bytes::Bytes::new(), is_leave, about }
    }

    #[tokio::test]
    async fn a_goodbye_waits_for_the_last_heartbeat() {
        let mut turns = Turns::default();
        let beat = turns.take(&call(false)).come().await;
        let goodbye = tokio::spawn(turns.take(&call(true)).come());
        tokio::task::yield_now().await;
        assert!(!goodbye.is_finished());
        drop(beat);
        assert_eq!(goodbye.await.unwrap().len(), 1);
        assert!(
            turns.take(&call(true)).come().await.is_empty(),
            "who never came has nothing to wait for"
        );
    }
}
