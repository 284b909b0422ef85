//! An audience on several nodes that continues through all faults, as players do. It records the
//! answers that it gets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use housecount_net::client::Client;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Time between two beats of a viewer: the nodes' `interval`.
pub const EVERY: Duration = Duration::from_secs(3);
/// The stage that all of them watch.
pub const STAGE: &str = "arena";

/// An answer other than that all beats were taken.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status of the answer; zero if there was none.
    pub status: u16,
    /// The fault at that time; `None` if there was none.
    pub during: Option<&'static str>,
}

/// State that all tasks of the crowd share.
pub struct Crowd {
    nodes: Mutex<Vec<Client>>,
    groups: Mutex<Vec<Group>>,
    during: Mutex<Option<&'static str>>,
    refusals: Mutex<Vec<Refusal>>,
    /// By viewer, when each acknowledged beat was sent and when it was answered, in Unix ms.
    acknowledged: Mutex<BTreeMap<String, Vec<(u64, u64)>>>,
    low: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// Viewers that use the same node.
#[derive(Clone, Debug, Default)]
struct Group {
    viewers: Vec<String>,
    node: usize,
}

fn unix_ms() -> u64 {
    housecount_backend::clock::wall_clock().0
}

impl Crowd {
    /// Creates a crowd of `viewers`, with a group of them at each node.
    pub fn new(nodes: &[Client], viewers: usize) -> Arc<Crowd> {
        let mut groups: Vec<Group> =
            (0..nodes.len()).map(|node| Group { viewers: Vec::new(), node }).collect();
        for viewer in 0..viewers {
            groups[viewer % nodes.len()].viewers.push(format!("viewer-{viewer}"));
        }
        Arc::new(Crowd {
            nodes: Mutex::new(nodes.to_vec()),
            groups: Mutex::new(groups),
            during: Mutex::default(),
            refusals: Mutex::default(),
            acknowledged: Mutex::default(),
            low: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// Number of viewers.
    pub fn len(&self) -> u64 {
        self.groups.lock().iter().map(|group| group.viewers.len() as u64).sum()
    }

    /// Sets the present fault, or none.
    pub fn during(&self, what: Option<&'static str>) {
        *self.during.lock() = what;
        if what.is_none() {
            // Players whose node is back return to it.
            self.groups.lock().iter_mut().enumerate().for_each(|(home, group)| group.node = home);
        }
    }

    /// Sets a node's new address.
    pub fn moved(&self, node: usize, client: Client) {
        self.nodes.lock()[node] = client;
    }

    /// Refusals since the last call.
    pub fn refusals(&self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals.lock())
    }

    /// Counts that were called complete but were too low or too high.
    pub fn wrong_counts(&self) -> Vec<String> {
        std::mem::take(&mut self.low.lock())
    }

    /// By viewer, when each acknowledged beat was sent and when it was answered, in Unix ms.
    pub fn acknowledged(&self) -> BTreeMap<String, Vec<(u64, u64)>> {
        self.acknowledged.lock().clone()
    }

    /// Ends all beats.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Starts the tasks that beat for all viewers and ask all nodes for their counts, until the
    /// end.
    pub fn go(self: &Arc<Crowd>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for group in 0..self.groups.lock().len() {
            tasks.spawn(self.clone().beat(group));
            tasks.spawn(self.clone().watch(group));
        }
        tasks
    }

    async fn beat(self: Arc<Crowd>, number: usize) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_over() {
            ticks.tick().await;
            let group = self.groups.lock()[number].clone();
            for _ in 0..5 {
                let node = self.groups.lock()[number].node;
                if self.beat_at(node, &group.viewers).await {
                    break;
                }
                // Players do the same: they beat at another node, and soon.
                let nodes = self.nodes.lock().len();
                self.groups.lock()[number].node = (node + 1) % nodes;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn beat_at(&self, node: usize, viewers: &[String]) -> bool {
        let (client, during, sent_ms) =
            (self.nodes.lock()[node].clone(), *self.during.lock(), unix_ms());
        let beats: Vec<Value> =
            viewers.iter().map(|viewer| json!({ "stage": STAGE, "viewer": viewer })).collect();
        let answer =
            client.call(Method::POST, "/v1/heartbeats", Value::from(beats).to_string()).await;
        let status = answer.map_or(0, |(status, _)| status);
        if status != 200 {
            // A fault also affects a request that began before it or ended after it.
            let during = during.or(*self.during.lock());
            self.refusals.lock().push(Refusal { status, during });
            return false;
        }
        let (mut acknowledged, answered_ms) = (self.acknowledged.lock(), unix_ms());
        for viewer in viewers {
            acknowledged.entry(viewer.clone()).or_default().push((sent_ms, answered_ms));
        }
        true
    }

    /// Checks that a count is always the number of viewers if the node calls it complete.
    async fn watch(self: Arc<Crowd>, node: usize) {
        let mut is_first = true;
        while !self.is_over() {
            let client = self.nodes.lock()[node].clone();
            let answer = client.call(Method::GET, &format!("/v1/stages/{STAGE}"), "").await;
            let body = answer.ok().filter(|(status, _)| *status == 200);
            let body = body.and_then(|(_, body)| serde_json::from_slice::<Value>(&body).ok());
            if let Some(body) = body.filter(|body| body["complete"] == true) {
                let viewers = body["viewers"].as_u64().unwrap_or(0);
                // The groups arrive one after the other.
                is_first &= viewers < self.len();
                if !is_first && viewers != self.len() && !self.is_over() {
                    self.low.lock().push(format!("node {node}, {:?}: {body}", *self.during.lock()));
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
