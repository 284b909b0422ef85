//! Listens to the log throughout a test, and so knows all that was ever said: what the ledger must
//! come to.

use std::sync::Arc;

use housecount::log::{Log, LogTarget, Position};
use housecount_core::fold::HandleKey;
use housecount_sim::oracle::Oracle;
use housecount_sim::oracle::proof::Proven;
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

    /// Listens to a log by a handle of its own, and brings the key if it has none: a DynamoDB log
    /// tells of what others brought only after a while.
    pub fn over(log: Arc<dyn Log>, key: HandleKey) -> Tap {
        let truth = Arc::new(Mutex::new(Oracle::new(log.partitions())));
        let task = tokio::spawn(listen(log, key, truth.clone()));
        Tap { truth, task }
    }

    /// What all that was said proves.
    pub fn proven(&self, ttl_ms: u64) -> Proven {
        self.truth.lock().least(ttl_ms)
    }

    /// The latest time that anything was said at, in Unix ms.
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
                // It was lost, or trimmed: what is there is heard again, which changes nothing.
                *place = Position::START;
                continue;
            }
            for (position, record) in &tail.records {
                *place = *position;
                // A beat by a handle whose ids are nowhere any more is told again by whoever knows
                // them.
                let _ = truth.lock().observe_record(record, tail.origin.key);
            }
        }
        // Often, so that little is lost unheard; nodes tell it again, whoever did.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
