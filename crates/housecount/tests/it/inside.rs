//! A node in this process, over a log whose faults the test controls. These faults can't be caused
//! from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use housecount::app::App;
use housecount::config::{Layers, NodeSettings};
use housecount_core::limits::{BATCH_SLICE_BEATS_MAX, FOLD_INLINE_EVENTS_MAX, RECORD_EVENTS_MAX};
use housecount_metrics::MetricsFormat;
use housecount_net::client::Client;
use housecount_server::http::BoundListener;
use housecount_server::node::Node;
use housecount_test::timed_test;
use tokio::sync::oneshot;

use crate::support::eventually;
use crate::support::faulty::FaultyLog;

/// A node that runs until it is dropped.
pub struct Inside {
    pub node: Arc<Node>,
    pub log: Arc<FaultyLog>,
    pub address: String,
    client: Client,
    _stop: oneshot::Sender<()>,
}

async fn start(log: FaultyLog, settings: &[(&str, &str)]) -> Inside {
    let flags = [("cold", "none"), ("log", "memory:")].iter().chain(settings);
    let flags = flags.map(|(k, v)| ("--set".to_string(), k.to_string(), v.to_string())).collect();
    let settings =
        NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags).unwrap()).unwrap();
    let log = Arc::new(log);
    let app = App::with_stores(settings, log.clone(), None).unwrap();
    let bound = BoundListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", bound.address);
    let client = Client::new(&address).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let node = app.node.clone();
    tokio::spawn(app.run(bound, async {
        let _ = stopped.await;
    }));
    Inside { node, log, address, client, _stop: stop }
}

impl Inside {
    pub async fn ready(log: FaultyLog, settings: &[(&str, &str)]) -> Inside {
        let inside = start(log, settings).await;
        eventually("the node is ready", async || {
            inside.node.engine.readiness.not_ready_reason().is_none()
        })
        .await;
        inside
    }

    /// A client with its own connections.
    pub fn client(&self) -> Client {
        Client::new(&self.address).unwrap()
    }

    pub fn metric(&self, line: &str) -> bool {
        self.node
            .engine
            .metrics
            .encode(self.node.engine.hub.gauge_values(), MetricsFormat::Text)
            .lines()
            .any(|l| l == line)
    }
}

/// A log that answers nothing. Counts are flagged after `LOG_STALE_MS`, and right again once the
/// log is back.
#[timed_test(flavor = "multi_thread")]
async fn log_stale_ms_flags_the_counts() {
    let inside = Inside::ready(FaultyLog::default(), &[("interval", "500ms"), ("ttl", "2s")]).await;
    let complete = || inside.node.engine.hub.totals().status.complete;
    eventually("counts are complete", async || complete()).await;
    inside.log.away.store(true, Ordering::SeqCst);
    eventually("counts are incomplete", async || !complete()).await;
    let (status, _) = inside.client.call(hyper::Method::GET, "/readyz", "").await.unwrap();
    assert_eq!(status, 503);
    inside.log.away.store(false, Ordering::SeqCst);
    eventually("counts are complete again", async || complete()).await;
}

#[timed_test]
async fn batch_slice_beats_max_is_taken_in_at_once() {
    let (beats, largest) = (20 * BATCH_SLICE_BEATS_MAX + 7, 2 * BATCH_SLICE_BEATS_MAX);
    assert!(folded_at_once("memory", beats).await <= largest);
}

/// A larger record is folded by another thread. Its viewers, too, are counted once it is
/// acknowledged.
#[timed_test]
async fn fold_inline_events_max_and_more_are_counted_when_they_are_acknowledged() {
    for beats in [FOLD_INLINE_EVENTS_MAX, FOLD_INLINE_EVENTS_MAX + 1, RECORD_EVENTS_MAX] {
        folded_at_once("log", beats).await;
    }
}

/// The most viewers that enter the counts between two turns of a task on the only thread. One call
/// sends all of them. Which of two ready tasks goes first may change once, so the result is at most
/// two slices.
async fn folded_at_once(ack: &str, beats: usize) -> usize {
    let flags = [("cold", "none"), ("log", "memory:"), ("ack", ack), ("limits.session_beats", "0")];
    let flags = flags.map(|(k, v)| ("--set".to_string(), k.to_string(), v.to_string())).to_vec();
    let mut settings =
        NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags).unwrap()).unwrap();
    settings.engine.workers = 0;
    let app = App::with_stores(settings, Arc::new(FaultyLog::default()), None).unwrap();
    let bound = BoundListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", bound.address)).unwrap();
    let (node, running) = (app.node.clone(), tokio::spawn(app.run(bound, std::future::pending())));
    eventually("the node is ready", async || node.engine.not_ready_reason().is_none()).await;
    let viewers = move || node.engine.hub.count("s").value.viewers as usize;
    let largest = Arc::new(AtomicUsize::new(0));
    let watching = tokio::spawn({
        let (viewers, largest) = (viewers.clone(), largest.clone());
        async move {
            let mut before = viewers();
            loop {
                tokio::task::yield_now().await;
                let now = viewers();
                largest.fetch_max(now - before, Ordering::SeqCst);
                before = now;
            }
        }
    });
    let events: Vec<_> = (0..beats)
        .map(|n| serde_json::json!({ "stage": "s", "viewer": format!("v-{n}") }))
        .collect();
    let body = serde_json::Value::from(events).to_string();
    let (status, answer) = client.call(hyper::Method::POST, "/v1/heartbeats", body).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(viewers(), beats);
    watching.abort();
    running.abort();
    largest.load(Ordering::SeqCst)
}
