//! An audience on several nodes that goes on whatever happens, as players do, and knows what was
//! answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use housecount::client::Client;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How often each of them beats: the nodes' `interval`.
pub const EVERY: Duration = Duration::from_secs(3);
/// What all of them watch.
pub const STAGE: &str = "arena";

/// An answer other than that all were taken.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status; zero if there was no answer.
    pub status: u16,
    /// What was broken then; nothing for `None`.
    pub during: Option<&'static str>,
}

/// What everybody shares.
pub struct Crowd {
    nodes: Mutex<Vec<Client>>,
    groups: Mutex<Vec<Group>>,
    during: Mutex<Option<&'static str>>,
    refusals: Mutex<Vec<Refusal>>,
    /// By viewer, when each acknowledged beat was sent and when that was answered, in Unix ms.
    acknowledged: Mutex<BTreeMap<String, Vec<(u64, u64)>>>,
    low: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// Those who have the same node.
#[derive(Clone, Debug, Default)]
struct Group {
    viewers: Vec<String>,
    node: usize,
}

fn unix_ms() -> u64 {
    housecount::clock::wall_clock().0
}

impl Crowd {
    /// So many viewers, a group of them at each node.
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

    /// How many watch.
    pub fn len(&self) -> u64 {
        self.groups.lock().iter().map(|group| group.viewers.len() as u64).sum()
    }

    /// From now on this is broken, or nothing.
    pub fn during(&self, what: Option<&'static str>) {
        *self.during.lock() = what;
        if what.is_none() {
            // Players whose node is back go there again.
            self.groups.lock().iter_mut().enumerate().for_each(|(home, group)| group.node = home);
        }
    }

    /// A node has another address.
    pub fn moved(&self, node: usize, client: Client) {
        self.nodes.lock()[node] = client;
    }

    /// What was refused so far, since last asked.
    pub fn refusals(&self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals.lock())
    }

    /// Counts that were called complete and were low, or high.
    pub fn wrong_counts(&self) -> Vec<String> {
        std::mem::take(&mut self.low.lock())
    }

    /// See the field.
    pub fn acknowledged(&self) -> BTreeMap<String, Vec<(u64, u64)>> {
        self.acknowledged.lock().clone()
    }

    /// Nobody says anything any more.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Everybody beats, and all nodes are asked how many there are, until the end.
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
                // As a player does: elsewhere, and soon.
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
            // A request that began before a fault, or ended after it, has met it as well.
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

    /// A count that is called complete is the number of those who watch, always.
    async fn watch(self: Arc<Crowd>, node: usize) {
        let mut is_first = true;
        while !self.is_over() {
            let client = self.nodes.lock()[node].clone();
            let answer = client.call(Method::GET, &format!("/v1/stages/{STAGE}"), "").await;
            let body = answer.ok().filter(|(status, _)| *status == 200);
            let body = body.and_then(|(_, body)| serde_json::from_slice::<Value>(&body).ok());
            if let Some(body) = body.filter(|body| body["complete"] == true) {
                let viewers = body["viewers"].as_u64().unwrap_or(0);
                // They come one group after the other.
                is_first &= viewers < self.len();
                if !is_first && viewers != self.len() && !self.is_over() {
                    self.low.lock().push(format!("node {node}, {:?}: {body}", *self.during.lock()));
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
