//! A start that takes its time, and what `/readyz` answers meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use housecount::app::App;
use housecount::config::{Layers, NodeSettings};
use housecount_backend::clock::wall_clock;
use housecount_backend::error::StoreResult;
use housecount_backend::log::{Log, Position, ReadResult};
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use housecount_net::client::Client;
use housecount_server::http::BoundListener;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::support::eventually;
use crate::support::redis::{Flavour, Server};

/// A log whose reads the test holds up.
#[derive(Debug)]
struct HeldLog {
    log: Arc<dyn Log>,
    /// Number of reads that may still be answered.
    reads: Semaphore,
}

#[async_trait]
impl Log for HeldLog {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    async fn append(&self, partition: u16, record: Bytes) -> StoreResult<Position> {
        self.log.append(partition, record).await
    }

    async fn read(
        &self,
        partition: u16,
        after: Position,
        key: HandleKey,
    ) -> StoreResult<ReadResult> {
        self.reads.acquire().await.unwrap().forget();
        self.log.read(partition, after, key).await
    }

    async fn maintain(&self, partition: u16, before: UnixMs, attended: UnixMs) -> StoreResult<()> {
        self.log.maintain(partition, before, attended).await
    }

    fn maintain_writes(&self) -> bool {
        self.log.maintain_writes()
    }

    async fn mark_complete(&self, partition: u16, born: UnixMs) -> StoreResult<()> {
        self.log.mark_complete(partition, born).await
    }

    async fn note_committed(&self, partition: u16, to: UnixMs) -> StoreResult<()> {
        self.log.note_committed(partition, to).await
    }

    async fn publish_counts(&self, counts: &[(String, u64)]) -> StoreResult<()> {
        self.log.publish_counts(counts).await
    }
}

/// Status and body of `/readyz`, and the percentage of its start.
async fn readyz(client: &Client) -> (u16, Value, Option<u64>) {
    let (status, body) = client.call(Method::GET, "/readyz", "").await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let percent = body["start"]["percent"].as_u64();
    (status, body, percent)
}

/// Ten minutes of a log on Redis, which the node may read one page at a time.
#[timed_test(flavor = "multi_thread")]
async fn a_start_says_how_much_of_the_log_is_read() {
    const PAGES: usize = 10;
    const LASTED_MS: usize = 600_000;
    let redis = Server::start(Flavour::Redis, &[]).await;
    let begun = wall_clock().0 as usize - LASTED_MS;
    let entries = PAGES * READ_RECORDS_MAX;
    for n in 0..entries {
        // A start's progress depends on the positions of the entries, not on their content.
        redis.command(&format!("XADD hc:{{0}}:log {}-0 a 1", begun + n * LASTED_MS / entries));
    }
    let log = LogTarget::parse(&redis.url()).unwrap().open("hc:").await.unwrap();
    let log = Arc::new(HeldLog { log, reads: Semaphore::new(0) });
    let flags = [("cold", "none"), ("log", "memory:"), ("log_level", "off")];
    let flags =
        flags.map(|(name, value)| ("--set".to_string(), name.to_string(), value.to_string()));
    let settings =
        NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags.to_vec()).unwrap()).unwrap();
    let app = App::with_stores(settings, log.clone(), None).unwrap();
    let bound = BoundListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", bound.address)).unwrap();
    let node = tokio::spawn(app.run(bound, std::future::pending()));

    eventually("the node has begun to read", async || readyz(&client).await.2.is_some()).await;
    let (status, body, percent) = readyz(&client).await;
    assert_eq!(
        (status, body["code"].as_str(), percent),
        (503, Some("not_ready"), Some(0)),
        "{body}"
    );
    assert_eq!(
        (body["start"]["step"].as_str(), body["detail"].as_str()),
        (Some("readingLog"), Some("reading the log: 0 %"))
    );
    let mut before = 0;
    for page in 1..PAGES {
        log.reads.add_permits(1);
        eventually("the node has read another page", async || {
            readyz(&client).await.2 > Some(before)
        })
        .await;
        let (_, body, percent) = readyz(&client).await;
        before = percent.unwrap();
        // The percentage is by time. It is lower than by number once the test itself has taken some
        // time.
        assert!(before as usize <= 100 * page / PAGES, "{before} % after {page} pages");
        assert_eq!(body["detail"], format!("reading the log: {before} %"));
    }
    log.reads.add_permits(Semaphore::MAX_PERMITS / 2);
    eventually("the node is ready", async || readyz(&client).await.0 == 200).await;
    node.abort();
}
