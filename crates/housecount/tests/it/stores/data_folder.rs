//! The folder of a node is for its owner only. Its loss is a failed store, and not a surprise at
//! the next start.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;

use crate::support::eventually;
use crate::support::node::Node;

/// The equivalent of `rm -rf data` under a running node.
#[timed_test(flavor = "multi_thread")]
async fn a_node_whose_folder_is_deleted_says_so() {
    let node = Node::ready(&[]).await;
    node.beat("s", "ann").await;
    std::fs::remove_dir_all(node.data()).unwrap();
    let (status, body) =
        node.call(Method::POST, "/v1/heartbeat", json!({ "stage": "s", "viewer": "bob" })).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("log_unavailable")), "{body}");
    eventually("the node is not ready", async || node.status("/readyz").await == 503).await;
    eventually("counts are incomplete", async || node.stats().await["complete"] == false).await;
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// All paths in a folder and in its subfolders.
fn all_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() { [vec![path.clone()], all_in(&path)].concat() } else { vec![path] }
        })
        .collect()
}

#[timed_test(flavor = "multi_thread")]
async fn only_its_owner_reads_a_nodes_folder_an_older_versions_too() {
    let mut node = Node::ready(&[]).await;
    node.beat("s", "ann").await;
    let check = |data: &Path| {
        assert_eq!(mode(data), 0o700);
        let found = all_in(data);
        for path in &found {
            assert_eq!(mode(path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        }
        for name in [
            "log/log.sqlite-wal",
            "log/log.sqlite-shm",
            "log/lock",
            "cold/items.sqlite-wal",
            "cold/lock",
        ] {
            assert!(found.contains(&data.join(name)), "{name} is missing in {found:?}");
        }
        found
    };
    let found = check(node.data());
    node.kill();
    for path in found.iter().chain([&node.data().to_path_buf()]) {
        let as_before = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(as_before)).unwrap();
    }
    node.restart();
    node.until_ready().await;
    assert_eq!(node.viewers("s").await, 1);
    check(node.data());
}
