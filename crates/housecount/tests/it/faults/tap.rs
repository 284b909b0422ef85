//! A listener that reads the log throughout a test. It knows every event, and so what the ledger
//! must come to.

use std::sync::Arc;

use housecount_backend::log::{Log, Position};
use housecount_core::fold::HandleKey;
use housecount_sim::oracle::Oracle;
use housecount_sim::oracle::proof::Proven;
use housecount_stores::log::LogTarget;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// Reader of all records of a log, for the ledger's oracle.
pub struct Tap {
    truth: Arc<Mutex<Oracle>>,
    task: JoinHandle<()>,
}

impl Tap {
    /// Listens to the log at `url`.
    pub async fn on(url: &str) -> Tap {
        Tap::over(LogTarget::parse(url).unwrap().open("hc:").await.unwrap(), HandleKey::default())
    }

    /// Listens to a log by its own handle, and brings the key if the log has none. A DynamoDB log
    /// shows what other handles brought only after a while.
    pub fn over(log: Arc<dyn Log>, key: HandleKey) -> Tap {
        let truth = Arc::new(Mutex::new(Oracle::new(log.partitions())));
        let task = tokio::spawn(listen(log, key, truth.clone()));
        Tap { truth, task }
    }

    /// Watch time that all events together prove.
    pub fn proven(&self, ttl_ms: u64) -> Proven {
        self.truth.lock().least(ttl_ms)
    }

    /// Time of the latest event, in Unix ms.
    pub fn last_ms(&self) -> u64 {
        self.truth.lock().events().iter().map(|event| event.at.0).max().unwrap_or_default()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(log: Arc<dyn Log>, key: HandleKey, truth: Arc<Mutex<Oracle>>) {
    let mut after = vec![Position::START; usize::from(log.partitions())];
    loop {
        for partition in 0..log.partitions() {
            let place = &mut after[usize::from(partition)];
            let Ok(tail) = log.read(partition, *place, key).await else { continue };
            if !tail.start_exists && *place != Position::START {
                // The last record was lost or trimmed. The listener starts over, which changes
                // nothing.
                *place = Position::START;
                continue;
            }
            for (position, record) in &tail.records {
                *place = *position;
                // A beat whose handle has no ids left in the log is rewritten by a node that knows
                // them.
                let _ = truth.lock().observe_record(record, tail.origin.key);
            }
        }
        // The interval is short, so that few records are lost unread. Nodes rewrite those,
        // whichever node appended them.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
