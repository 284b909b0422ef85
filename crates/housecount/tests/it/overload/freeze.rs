//! Heartbeats of players beside hostile clients, on one node and in one run. Run with:
//! `cargo test --release -p housecount --test it -- --ignored --nocapture freeze`

use std::time::Duration;

use housecount_core::limits::{BATCH_BEATS_MAX, VIEWER_SESSIONS_KEPT_MAX};
use housecount_net::client::Client;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::node::Node;

/// Number of players, each on its own connection, and the time between a player's beats.
const PLAYERS: u32 = 100;
const EVERY: Duration = Duration::from_millis(200);
/// Time for which each load is measured, after [`BEGINS`] to begin.
const MEASURED: Duration = Duration::from_secs(15);
const BEGINS: Duration = Duration::from_secs(3);
/// Clients whose leaves each name a viewer with as many sessions as a node keeps.
const LEAVERS: usize = 8;
/// Clients whose batches are refused except for their first thousand heartbeats.
const REFUSED: usize = 3;
/// Factor by which 99 of 100 heartbeats may be answered later than on a quiet node.
const TIMES_MAX: f64 = 4.0;

/// Latencies, counted from the time at which a heartbeat was due.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn at(&self, part: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0
    }

    fn shown(&self) -> String {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| self.at(part));
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms of {}", self.0.len())
    }
}

/// Runs players that beat at fixed times, whether or not earlier beats are answered.
async fn players(address: &str) -> Latencies {
    let began = Instant::now();
    let mut all = JoinSet::new();
    for n in 0..PLAYERS {
        let client = Client::new(address).unwrap();
        all.spawn(async move {
            let body = json!({ "stage": "match", "viewer": format!("player-{n}") }).to_string();
            let (mut due, mut latencies) = (began + EVERY * n / PLAYERS, Vec::new());
            while due < began + BEGINS + MEASURED {
                tokio::time::sleep_until(due).await;
                let (status, _) =
                    client.call(Method::POST, "/v1/heartbeat", body.clone()).await.unwrap();
                assert_eq!(status, 200);
                if due >= began + BEGINS {
                    latencies.push(due.elapsed());
                }
                due += EVERY;
            }
            latencies
        });
    }
    let mut latencies = all.join_all().await.concat();
    latencies.sort_unstable();
    Latencies(latencies)
}

fn seat(n: usize, viewer: &str) -> Value {
    json!({ "stage": format!("z{n}"), "viewer": viewer })
}

/// Puts its viewer on `stages` stages, in one batch.
async fn join(client: &Client, viewer: &str, stages: usize) -> u64 {
    let seats = Value::from_iter((0..stages).map(|n| seat(n, viewer)));
    let (status, body) =
        client.call(Method::POST, "/v1/heartbeats", seats.to_string()).await.unwrap();
    assert_eq!(status, 200);
    serde_json::from_slice::<Value>(&body).unwrap()["accepted"].as_u64().unwrap()
}

/// Joins, leaves every stage, and starts over.
async fn leaves(client: Client, viewer: String) {
    loop {
        let joined = join(&client, &viewer, VIEWER_SESSIONS_KEPT_MAX).await;
        assert_eq!(joined, VIEWER_SESSIONS_KEPT_MAX as u64);
        for n in 0..VIEWER_SESSIONS_KEPT_MAX {
            let leave = seat(n, &viewer).to_string();
            assert_eq!(client.call(Method::POST, "/v1/leave", leave).await.unwrap().0, 204);
        }
    }
}

async fn is_refused(client: Client, viewer: String) {
    loop {
        join(&client, &viewer, BATCH_BEATS_MAX - 1_000).await;
    }
}

/// Runs the players of a node beside `clients` hostile clients, which end with it.
async fn beside<F>(node: &Node, clients: usize, run: impl Fn(Client, String) -> F) -> Latencies
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut attack = JoinSet::new();
    for n in 0..clients {
        attack.spawn(run(Client::new(&node.address).unwrap(), format!("attacker-{n}")));
    }
    let latencies = players(&node.address).await;
    assert!(attack.try_join_next().is_none(), "an attacker stopped early");
    latencies
}

#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure: takes a minute, on a machine with nothing else to do"]
async fn figures() {
    let node = Node::ready(&["log=memory:", "cold=none", "limits.session_beats=0"]).await;
    let quiet = players(&node.address).await;
    println!("quiet: {}", quiet.shown());
    let leaves = beside(&node, LEAVERS, leaves).await;
    let taken = node.metric("housecount_events_total{kind=\"leave\"}").await;
    println!("beside {LEAVERS} clients that leave: {}; {taken} leaves", leaves.shown());
    let refused = beside(&node, REFUSED, is_refused).await;
    let rejected = node.metric("housecount_rejected_total{code=\"too_many_sessions\"}").await;
    println!("beside {REFUSED} clients that are refused: {}; {rejected} refusals", refused.shown());
    let times = leaves.at(0.99) / quiet.at(0.99);
    println!("p99 beside leaves is {times:.2} x quiet");
    assert!(times < TIMES_MAX);
}
