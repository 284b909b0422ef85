//! Operators' tools: the figures that the dashboard and the alerts ask for, and nodes that can be
//! replaced under load.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use housecount_net::client::Client;
use housecount_test::timed_test;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The metrics of a node that has done everything that nodes do.
async fn metrics() -> String {
    let set = [
        "interval=300ms",
        "ttl=1s",
        "window=1s",
        "snapshot_interval=1s",
        "archive=packed",
        "archive_flush=1s",
        // A webhook on a port on which no program listens.
        "webhooks=[{ url = \"http://127.0.0.1:1\", private = true, \
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\" }]",
    ];
    let node = Node::demo(20, &set);
    node.until_ready().await;
    eventually("a window is written", async || node.metric("housecount_commits_total").await > 0.0)
        .await;
    eventually("the archive is written", async || {
        node.metric("housecount_archive_bytes_total").await > 0.0
    })
    .await;
    let failing = "housecount_webhook_failing{webhook=\"127.0.0.1:1\"}";
    eventually("a webhook fails", async || {
        let (_, text) = node.client.call(Method::GET, "/metrics", "").await.unwrap();
        String::from_utf8_lossy(&text).lines().any(|line| line == format!("{failing} 1"))
    })
    .await;
    let (status, _) = node.call(Method::POST, "/v1/heartbeat", serde_json::json!({})).await;
    assert_eq!(status, 400, "refused heartbeats are counted too");
    let (status, body) = node.client.call(Method::GET, "/metrics", "").await.unwrap();
    assert_eq!(status, 200);
    String::from_utf8(body.to_vec()).unwrap()
}

/// Names of all series that can be queried, whether or not they have a value yet.
fn series(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.flat_map(|(name, kind)| {
        let endings: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    });
    names.collect()
}

/// Names of our series in an expression.
fn asked_for(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("housecount_") || word.starts_with("process_"));
    ours.map(ToString::to_string).collect()
}

/// Collects the dashboard's expressions.
fn expressions(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(ToString::to_string));
            found.extend(fields.get("query").and_then(Value::as_str).map(ToString::to_string));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[timed_test(flavor = "multi_thread")]
async fn what_dashboard_and_alerts_ask_for_is_there() {
    let there = series(&metrics().await);
    let dashboard: Value = serde_json::from_str(&deployed("grafana.json")).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 40, "{asked:?}");
    let alerts = deployed("alerts.yml");
    // Comments are excluded, since their texts name figures too.
    asked.extend(
        alerts.lines().filter(|line| !line.trim_start().starts_with('#')).map(ToString::to_string),
    );
    let asked: BTreeSet<String> =
        asked.iter().flat_map(|expression| asked_for(expression)).collect();
    assert!(asked.len() > 40, "{asked:?}");
    let missing: Vec<_> = asked.difference(&there).collect();
    assert!(missing.is_empty(), "queries ask for {missing:?}, which is not among {there:?}");
    // The reverse holds as well: each of our series is used.
    let base = |name: &String| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name)
            .to_string()
    };
    let looked_at: BTreeSet<String> = asked.iter().map(base).collect();
    let unseen: Vec<String> =
        there.iter().map(base).filter(|name| !looked_at.contains(name)).collect();
    assert!(unseen.iter().all(|name| name.starts_with("process_")), "no query uses {unseen:?}");
}

#[timed_test(flavor = "multi_thread")]
async fn acknowledgements_are_counted_by_transport() {
    let node = Node::ready(&["cold=none"]).await;
    node.beat("s", "ann").await;
    node.beat("s", "bob").await;
    let (status, _) = node
        .call(Method::POST, "/v1/leave", serde_json::json!({ "stage": "s", "viewer": "bob" }))
        .await;
    assert_eq!(status, 204);
    node.beat_many("s", 0, 25).await;
    node.stats().await;
    for (figure, expected) in [
        ("housecount_acknowledged_events_total{transport=\"http\"}", 3.0),
        ("housecount_acknowledged_events_total{transport=\"batch\"}", 25.0),
        ("housecount_acknowledged_events_total{transport=\"ws\"}", 0.0),
        ("housecount_request_seconds_count{route=\"/v1/stats\"}", 1.0),
        ("housecount_ready", 1.0),
    ] {
        assert_eq!(node.metric(figure).await, expected, "{figure}");
    }
    let appends = node.metric("housecount_append_seconds_count").await;
    assert!(appends >= 1.0 && node.metric("housecount_ack_latency_seconds_count").await == appends);
    // The first heartbeat of a batch waits for its append, and for the appends before it.
    let (waited, took) = (
        node.metric("housecount_ack_latency_seconds_sum").await,
        node.metric("housecount_append_seconds_sum").await,
    );
    assert!(waited >= took && took > 0.0, "{waited} {took}");
}

/// Runs Prometheus's own checker, which `./test` fetches.
pub fn promtool(arguments: &[&str], input: &str) {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/promtool");
    let mut command = Command::new(tool);
    command.args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{tool}: {e}; run ./test once, which fetches it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "promtool {arguments:?}: {}",
        String::from_utf8_lossy(&printed)
    );
}

#[timed_test(flavor = "multi_thread")]
async fn prometheus_accepts_metrics_and_rules() {
    promtool(&["check", "metrics"], &metrics().await);
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
    // The dashboard's expressions, as rules in a file. A rule file may be JSON.
    let (dashboard, mut asked) =
        (serde_json::from_str(&deployed("grafana.json")).unwrap(), Vec::new());
    expressions(&dashboard, &mut asked);
    let is_expression = |text: &&String| !text.starts_with("label_values") && *text != "prometheus";
    let rules = asked.iter().filter(is_expression).enumerate().map(|(n, expr)| {
        serde_json::json!({ "record": format!("panel:{n}"), "expr": expr.replace("$__rate_interval", "5m") })
    });
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules.collect::<Vec<_>>() }] });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(rules.to_string().as_bytes()).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()], "");
}

/// A load balancer that relies on `/readyz` only. It doesn't ask a second node when the first one
/// fails.
struct Balancer {
    address: String,
    /// All nodes, and the nodes that were ready at the last check.
    nodes: Arc<Mutex<Vec<String>>>,
    ready: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    async fn start(nodes: Vec<String>) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (nodes, ready) = (Arc::new(Mutex::new(nodes)), Arc::new(Mutex::new(Vec::new())));
        tokio::spawn({
            let (nodes, ready) = (nodes.clone(), ready.clone());
            async move {
                loop {
                    let (all, mut found) = (nodes.lock().clone(), Vec::new());
                    for node in all {
                        let answer =
                            Client::new(&node).unwrap().call(Method::GET, "/readyz", "").await;
                        if answer.is_ok_and(|(status, _)| status == 200) {
                            found.push(node);
                        }
                    }
                    *ready.lock() = found;
                    tokio::time::sleep(Duration::from_millis(50)).await; // the balancer's interval
                }
            }
        });
        let turns = AtomicUsize::new(0);
        tokio::spawn({
            let ready = ready.clone();
            async move {
                while let Ok((mut player, _)) = listener.accept().await {
                    let node = {
                        let ready = ready.lock();
                        let turn = turns.fetch_add(1, Ordering::Relaxed);
                        ready.get(turn % ready.len().max(1)).cloned()
                    };
                    tokio::spawn(async move {
                        let node = node?;
                        let mut node =
                            TcpStream::connect(node.strip_prefix("http://")?).await.ok()?;
                        tokio::io::copy_bidirectional(&mut player, &mut node).await.ok()
                    });
                }
            }
        });
        Balancer { address, nodes, ready }
    }
}

/// Sends a heartbeat on its own connection; returns the answer, or the error.
async fn beat(address: &str, viewer: usize) -> Result<String, std::io::Error> {
    let body = format!(r#"{{"stage":"s","viewer":"viewer-{viewer}"}}"#);
    let request = format!(
        "POST /v1/heartbeat HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[timed_test(flavor = "multi_thread")]
async fn nodes_are_replaced_under_load_and_no_request_fails() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    // The drain is longer than a busy machine takes for one check.
    let settings = [log.as_str(), "cold=none", "drain=3s", "limits.session_beats=0"];
    let mut nodes = [Node::ready(&settings).await, Node::ready(&settings).await];
    let balancer = Balancer::start(nodes.iter().map(|node| node.address.clone()).collect()).await;
    let both = || balancer.ready.lock().len() == 2;
    eventually("the balancer uses both nodes", async || both()).await;
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let players: Vec<_> = (0..8)
        .map(|player| {
            let (over, answered, address) =
                (over.clone(), answered.clone(), balancer.address.clone());
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    match beat(&address, player).await {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => wrong.push(format!("{other:?}")),
                    }
                }
                wrong
            })
        })
        .collect();
    for (n, node) in nodes.iter_mut().enumerate() {
        let before = answered.load(Ordering::Relaxed);
        assert!(tokio::task::block_in_place(|| node.stop()).success());
        assert!(answered.load(Ordering::Relaxed) > before, "no call was answered during the stop");
        node.restart();
        node.until_ready().await;
        balancer.nodes.lock()[n] = node.address.clone();
        let address = node.address.clone();
        eventually("the balancer uses the node again", async || {
            both() && balancer.ready.lock().contains(&address)
        })
        .await;
    }
    over.store(true, Ordering::Relaxed);
    for player in players {
        let wrong = player.await.unwrap();
        assert!(wrong.is_empty(), "{} failed; the first: {}", wrong.len(), wrong[0]);
    }
    assert!(answered.load(Ordering::Relaxed) > 100);
}
