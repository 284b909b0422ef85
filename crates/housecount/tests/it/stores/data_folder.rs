//! The folder of a node is for its owner only. Its loss is a failed store, and not a surprise at
//! the next start.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::log::Position;
use housecount_core::fold::HandleKey;
use housecount_core::item::Item;
use housecount_core::keys::Key;
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;

use crate::support::eventually;
use crate::support::node::Node;

/// Parts of a store that can be lost, and whether a copy takes the part's place.
fn losses(folder: &Path, database: &str) -> Vec<(PathBuf, bool)> {
    let files =
        [folder.to_path_buf(), folder.join(database), folder.join(format!("{database}-wal"))];
    files.into_iter().flat_map(|path| [(path.clone(), false), (path, true)]).collect()
}

/// Copies a file, or a folder of files.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

fn remove(path: &Path) {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.unwrap();
}

#[timed_test(flavor = "multi_thread")]
async fn a_file_log_that_is_gone_or_replaced_takes_and_answers_nothing() {
    let above = tempfile::tempdir().unwrap();
    let (folder, aside) = (above.path().join("log"), above.path().join("aside"));
    let log = LogTarget::File(folder.clone()).open("").await.unwrap();
    let mut last = log.append(0, Bytes::from_static(b"before")).await.unwrap();
    for (path, is_replaced) in losses(&folder, "log.sqlite") {
        std::fs::rename(&path, &aside).unwrap();
        if is_replaced {
            copy(&aside, &path);
        }
        let named = format!("{}", path.display());
        for error in [
            log.append(0, Bytes::from_static(b"lost")).await.unwrap_err(),
            log.maintain(0, UnixMs::ZERO, UnixMs::ZERO).await.unwrap_err(),
            log.note_committed(0, UnixMs(1)).await.unwrap_err(),
            log.read(0, Position::START, HandleKey::default()).await.unwrap_err(),
            log.read_once(0, Position::START).await.unwrap_err(),
        ] {
            let message = error.to_string();
            let how = if is_replaced { "was replaced" } else { "was deleted or moved" };
            assert!(
                error.is_temporary() && message.contains(&named) && message.contains(how),
                "{message}"
            );
        }
        // Once restored it is the same log, and may hold the appends made meanwhile.
        if is_replaced {
            remove(&path);
        }
        std::fs::rename(&aside, &path).unwrap();
        let next = log.append(0, Bytes::from_static(b"after")).await.unwrap();
        assert!(next > last);
        last = next;
    }
}

#[timed_test(flavor = "multi_thread")]
async fn an_embedded_cold_tier_that_is_gone_or_replaced_takes_and_answers_nothing() {
    let above = tempfile::tempdir().unwrap();
    let (folder, aside) = (above.path().join("cold"), above.path().join("aside"));
    let cold = SqliteCold::open(&folder).unwrap();
    let key = Key::Lease { name: "test".to_string() };
    let record = || vec![KeyedItem { key: key.clone(), item: Item::new() }];
    cold.put(record()).await.unwrap();
    for (path, is_replaced) in losses(&folder, "items.sqlite") {
        std::fs::rename(&path, &aside).unwrap();
        if is_replaced {
            copy(&aside, &path);
        }
        for message in [cold.put(record()).await.unwrap_err(), cold.get(&key).await.unwrap_err()] {
            assert!(message.to_string().contains(&format!("{}", path.display())), "{message}");
        }
        if is_replaced {
            remove(&path);
        }
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(cold.get(&key).await.unwrap(), Some(Item::new()));
    }
}

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
