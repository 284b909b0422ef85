//! A full disk: one line in the process's log when it begins, and one when it ends.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::Arc;

use housecount_test::timed_test;
use hyper::Method;
use parking_lot::Mutex;
use serde_json::json;

use crate::support::eventually;
use crate::support::node::Node;

/// Lets a process write files up to this length only. That equals a full disk, but needs no root.
fn bound_files(pid: u32, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(status.unwrap().success());
}

/// Creates a pipe for a node's log lines, which works without a file.
fn lines() -> (File, Arc<Mutex<Vec<String>>>) {
    let (reader, writer) = std::io::pipe().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let read = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            read.lock().push(line.unwrap());
        }
    });
    (File::from(OwnedFd::from(writer)), lines)
}

#[timed_test(flavor = "multi_thread")]
async fn a_full_disk_is_one_line_when_it_begins_and_one_when_it_ends() {
    let (writer, printed) = lines();
    let data = tempfile::tempdir().unwrap();
    let data = format!("data={}", data.path().display());
    let settings = [
        data.as_str(),
        "log_level=info",
        "interval=300ms",
        "ttl=60s",
        "window=1s",
        "snapshot_interval=1s",
        "limits.session_beats=0",
    ];
    let node = Node::start_logging_after("trap '' XFSZ", writer, &settings);
    node.until_ready().await;
    node.beat("s", "ann").await;
    bound_files(node.pid(), "0");
    let beat = async || {
        node.call(Method::POST, "/v1/heartbeat", json!({ "stage": "s", "viewer": "bob" })).await.0
    };
    eventually("heartbeats are refused", async || beat().await == 503).await;
    let configure =
        async || node.call(Method::POST, "/v1/stages", json!({ "stage": "configured" })).await.0;
    // Each is a failure of the store.
    for _ in 0..3 {
        assert_eq!((configure().await, beat().await), (503, 503));
    }
    bound_files(node.pid(), "unlimited");
    eventually("heartbeats are accepted again", async || beat().await == 200).await;
    eventually("stages can be configured again", async || configure().await < 500).await;
    let is_logged = |text: &str| printed.lock().iter().any(|line| line.contains(text));
    eventually("the cold tier's recovery is logged", async || {
        is_logged("the cold tier works again")
    })
    .await;
    eventually("the log's recovery is logged", async || is_logged("the log is available again"))
        .await;
    let lines = printed.lock().clone();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let all = lines.join("\n");
    assert_eq!(count("the cold tier fails"), 1, "{all}");
    assert_eq!(count("the cold tier works again"), 1, "{all}");
    let named = lines.iter().find(|line| line.contains("the cold tier fails")).unwrap();
    assert!(named.contains("items.sqlite") && named.contains("check its disk for room"), "{named}");
    assert_eq!(count("log can be read but not written"), 1, "{all}");
    assert_eq!(count("the log is available again"), 1, "{all}");
    assert_eq!(count("a request failed"), 0, "{all}");
    let troubles =
        lines.iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).count();
    assert!(troubles <= 8, "one line per store and task: {troubles} in\n{all}");
}
