//! Commands that only read. They change and create no file of an embedded store, whatever state its
//! node has left it in.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use housecount_backend::cold::{Cold, KeyedItem};
use housecount_backend::error::ErrorKind;
use housecount_core::item::Item;
use housecount_core::keys::Key;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::json;

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount, signal};

/// Every command that reads a cold tier.
const READERS: [&[&str]; 5] = [
    &["verify"],
    &["export", "--partial", "--out", "-"],
    &["export", "--raw", "--out", "-"],
    &[
        "ivs",
        "reconcile",
        "--step",
        "1h",
        "--region",
        "eu-west-1",
        "--endpoint",
        "http://127.0.0.1:9",
    ],
    &["forget", "--dry-run", "--viewer", "unknown"],
];

/// Runs a command; returns its exit code and its output.
fn ran(command: &[&str], cold: &str) -> (i32, String) {
    let mut whole = housecount();
    whole.args(command).args(["--cold", cold]);
    if command[0] != "forget" {
        whole.args(["--from", "2020-01-01", "--to", "2100-01-01"]);
    }
    let output = whole.output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), printed)
}

/// All files of a folder, with the times at which they and the folder last changed.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let changed = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (std::fs::read(entry.path()).unwrap(), changed(&entry.path())))
    };
    let itself = (String::new(), (Vec::new(), changed(folder)));
    std::fs::read_dir(folder).unwrap().map(of).chain([itself]).collect()
}

/// Asserts that all readers find the store, and the archive's readers these heartbeats in it. No
/// file changes.
fn all_read(folder: &Path, heartbeats: &[&str], what: &str) {
    let (cold, before) = (format!("embedded:{}", folder.display()), files(folder));
    for command in READERS {
        let (code, printed) = ran(command, &cold);
        // Exit code 1 is a valid answer, since the verified range ends later than the ledger.
        assert_ne!(code, 2, "{what}: {command:?}: {printed}");
        if command.contains(&"--raw") {
            assert_eq!(printed.lines().count(), 1 + heartbeats.len(), "{what}: {printed}");
            assert!(heartbeats.iter().all(|viewer| printed.contains(viewer)), "{what}: {printed}");
        }
        assert!(files(folder) == before, "{what}: {command:?} has changed the folder");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn reading_changes_no_file() {
    let settings =
        ["interval=1s", "ttl=3s", "window=1s", "archive=items", "archive_flush=1s", "log=memory:"];
    let mut node = Node::ready(&settings).await;
    let folder = node.data().join("cold");
    let beat = async |node: &Node, viewer: &str| {
        let body = json!({ "stage": "s", "viewer": viewer });
        let before = node.metric("housecount_archive_items_total ").await;
        assert_eq!(node.call(Method::POST, "/v1/heartbeat", body).await.0, 200);
        eventually("the heartbeat is archived", async || {
            node.metric("housecount_archive_items_total ").await > before
        })
        .await;
        // The archive's progress is the last thing that is written for it.
        let now = node.stats().await["asOf"].as_u64().unwrap() as f64 / 1_000.0;
        eventually("the archive's progress is written", async || {
            node.metric("housecount_archived_timestamp_seconds ").await >= now
        })
        .await;
    };
    beat(&node, "viewer-1").await;
    // A running node has both files and writes to them. So it is stopped while they are compared.
    assert!(folder.join("items.sqlite-wal").exists() && folder.join("items.sqlite-shm").exists());
    signal(node.pid(), "STOP");
    all_read(&folder, &["viewer-1"], "while a node has it open");
    signal(node.pid(), "CONT");
    beat(&node, "viewer-2").await;
    for command in READERS {
        let (code, printed) = ran(command, &format!("embedded:{}", folder.display()));
        assert_ne!(code, 2, "while a node writes: {command:?}: {printed}");
    }
    node.kill();
    all_read(&folder, &["viewer-1", "viewer-2"], "after a node was killed");

    // A copy without the `-shm` file, which SQLite would create again.
    let copy = tempfile::tempdir().unwrap();
    for name in ["items.sqlite", "items.sqlite-wal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let before = files(copy.path());
    for command in READERS {
        let (code, printed) = ran(command, &format!("embedded:{}", copy.path().display()));
        assert!(
            code == 2 && printed.contains("start and stop a node on this folder"),
            "{command:?}: {printed}"
        );
    }
    assert!(files(copy.path()) == before);

    node.restart();
    node.until_ready().await;
    beat(&node, "viewer-3").await;
    assert!(node.stop().success());
    assert!(!folder.join("items.sqlite-wal").exists(), "a stopped node leaves one file");
    all_read(&folder, &["viewer-1", "viewer-2", "viewer-3"], "after a node was stopped");
    // A name with characters that have a meaning in a URI.
    let odd = copy.path().join("a b?c#d%20é&mode=rwc");
    std::fs::create_dir(&odd).unwrap();
    std::fs::copy(folder.join("items.sqlite"), odd.join("items.sqlite")).unwrap();
    all_read(&odd, &["viewer-1", "viewer-2", "viewer-3"], "in a folder with an odd name");
}

#[timed_test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, bytes: &[u8]| {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("items.sqlite"), bytes).unwrap();
        place
    };
    std::fs::create_dir(folder.path().join("folder only")).unwrap();
    place("empty", b"");
    place("text", b"SQLite format 4");
    place("torn", b"SQLite format 3\0and no more");
    // A database whose table doesn't exist yet.
    let without = rusqlite::Connection::open(place("no table", b"").join("items.sqlite")).unwrap();
    without.execute_batch("CREATE TABLE t (x); DROP TABLE t").unwrap();
    drop(without);
    for (name, says) in [
        ("nowhere", "there is no cold tier in"),
        ("folder only", "items.sqlite is missing"),
        ("empty", "items.sqlite is empty"),
        ("text", "is not a store of housecount's"),
        (
            "torn",
            "items.sqlite: file is not a database; the file is damaged: put back a copy of it",
        ),
        ("no table", "items.sqlite has no table of housecount's"),
    ] {
        let place = folder.path().join(name);
        let before = place.exists().then(|| files(&place));
        for command in READERS {
            let (code, printed) = ran(command, &format!("embedded:{}", place.display()));
            assert!(code == 2 && printed.contains(says), "{name}: {command:?}: {printed}");
            assert_eq!(printed.trim_end().lines().count(), 1, "{name}: {command:?}: {printed}");
        }
        assert!(place.exists().then(|| files(&place)) == before, "{name}");
    }
    let dynamo = Dynamo::start().await;
    for command in READERS {
        let (code, printed) = ran(command, &dynamo.url("audience"));
        assert!(
            code == 2 && printed.contains("there is no table dynamodb://audience"),
            "{command:?}: {printed}"
        );
    }
    let described = dynamo
        .emulator
        .call("DescribeTable", json!({ "TableName": "audience" }).to_string().as_bytes());
    assert!(described.0 == 400 && described.1.contains("ResourceNotFound"), "{described:?}");
}

/// Data read before and after a node began to write are of two moments. No answer may mix them.
#[timed_test(flavor = "multi_thread")]
async fn a_store_that_a_node_begins_to_write_to_is_not_read_on() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteCold::open(folder.path()).unwrap());
    let reader = SqliteCold::open_to_read(folder.path()).unwrap();
    let key = Key::Config { stage: "s".to_string() };
    assert_eq!(reader.get(&key).await.unwrap(), None);
    let error =
        reader.put(vec![KeyedItem { key: key.clone(), item: Item::new() }]).await.unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
    let writer = SqliteCold::open(folder.path()).unwrap();
    writer.put(vec![KeyedItem { key: key.clone(), item: Item::new() }]).await.unwrap();
    assert_eq!(writer.get(&key).await.unwrap(), Some(Item::new()));
    // When the writer stops, its journal goes into the file.
    drop(writer);
    let error = reader.get(&key).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Refused && error.to_string().contains("began to write"),
        "{error}"
    );
    let again = SqliteCold::open_to_read(folder.path()).unwrap();
    assert_eq!(again.get(&key).await.unwrap(), Some(Item::new()));
}
