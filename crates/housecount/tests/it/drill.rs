//! The restore drill of docs/DEPLOY.md. A lost ledger is restored from a copy, is whole, and
//! continues.

use std::path::Path;

use housecount_test::timed_test;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount};
use crate::support::redis::{Flavour, Server};

const SMALL: [&str; 6] = [
    "interval=300ms",
    "ttl=1s",
    "window=1s",
    "snapshot_interval=1s",
    "lateness_max=2s",
    "limits.session_beats=0",
];
/// A time before all events.
const FROM: &str = "2020-01-01";

/// Runs a housecount command; returns its exit code and its output.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = housecount().args(arguments).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// The end of a ledger, as `verify` reports it.
fn end(cold: &str) -> String {
    let (_, printed) =
        run(&["verify", "--from", FROM, "--to", "2100-01-01", "--cold", cold, "--json"]);
    let found: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
    found["committedTo"].to_string()
}

/// Asserts that a ledger is whole up to `to`.
fn verify(cold: &str, to: &str) {
    let (code, printed) = run(&["verify", "--from", FROM, "--to", to, "--cold", cold]);
    assert_eq!(code, Some(0), "{printed}");
}

/// Exports the watch times up to `to`; returns the file's text.
fn export(cold: &str, to: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.csv");
    let (code, printed) = run(&[
        "export",
        "--from",
        FROM,
        "--to",
        to,
        "--cold",
        cold,
        "--out",
        file.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(0), "{printed}");
    std::fs::read_to_string(file).unwrap()
}

/// Beats for viewers until `windows` more windows are committed.
async fn watch(node: &Node, windows: f64) {
    let wanted = node.metric("housecount_commits_total").await + windows;
    eventually("windows are written", async || {
        node.beat_many("s", 0, 40).await;
        node.metric("housecount_commits_total").await >= wanted
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[timed_test(flavor = "multi_thread")]
async fn an_embedded_ledger_is_restored_from_a_copy() {
    let mut node = Node::ready(&SMALL).await;
    let (cold, backup) =
        (format!("embedded:{}", node.data().join("cold").display()), tempfile::tempdir().unwrap());
    watch(&node, 3.0).await;
    // The backup.
    assert!(tokio::task::block_in_place(|| node.stop()).success());
    copy(node.data(), backup.path());
    let to = end(&cold);
    let before = export(&cold, &to);
    assert_eq!(before.lines().count(), 1 + 40, "{before}");
    // The disaster.
    node.restart();
    node.until_ready().await;
    watch(&node, 1.0).await;
    node.kill();
    for entry in std::fs::read_dir(node.data()).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    // The restore.
    copy(backup.path(), node.data());
    verify(&cold, &to);
    node.restart();
    node.until_ready().await;
    assert_eq!(export(&cold, &to), before);
    watch(&node, 2.0).await;
    let later = end(&cold);
    assert!(later > to, "{later} {to}");
    verify(&cold, &later);
    assert_eq!(export(&cold, &to), before, "the restored range is unchanged");
}

/// Copies a table into another one, as a restore to a point in time does. It copies the items, but
/// not the TTL.
fn restore_to(dynamo: &Dynamo, from: &str, to: &str) {
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let attribute = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    dynamo.call(
        "CreateTable",
        json!({
            "TableName": to, "BillingMode": "PAY_PER_REQUEST", "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            "AttributeDefinitions": [attribute("pk"), attribute("sk")],
        }),
    );
    let mut after = Value::Null;
    loop {
        let mut scan = json!({ "TableName": from });
        if !after.is_null() {
            scan["ExclusiveStartKey"] = after;
        }
        let page = dynamo.call("Scan", scan);
        for item in page["Items"].as_array().unwrap() {
            dynamo.call("PutItem", json!({ "TableName": to, "Item": item }));
        }
        after = page["LastEvaluatedKey"].clone();
        if after.is_null() {
            return;
        }
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_table_is_restored_as_another_one() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let (dynamo, log) = (Dynamo::start().await, format!("log={}", redis.url()));
    let (first, second) = (dynamo.url("first"), dynamo.url("second"));
    let (code, printed) = run(&["table", "create", "--cold", &first]);
    assert_eq!(code, Some(0), "{printed}");
    let node = |cold: &str| {
        let cold = format!("cold={cold}");
        let set: Vec<&str> = SMALL.iter().copied().chain([log.as_str(), cold.as_str()]).collect();
        Node::start(&set)
    };
    let mut one = node(&first);
    one.until_ready().await;
    watch(&one, 3.0).await;
    // The backup, while the node runs.
    restore_to(&dynamo, "first", "second");
    let to = end(&second);
    let before = export(&second, &to);
    assert_eq!(before.lines().count(), 1 + 40, "{before}");
    watch(&one, 2.0).await;
    // The disaster.
    assert_eq!(run(&["table", "delete", "--cold", &first, "--yes"]).0, Some(0));
    one.kill();
    // The restore.
    let (code, printed) = run(&["table", "create", "--cold", &second]);
    assert_eq!(code, Some(0), "`table create` switches TTL on again: {printed}");
    verify(&second, &to);
    let other = node(&second);
    other.until_ready().await;
    watch(&other, 2.0).await;
    let later = end(&second);
    assert!(later > to, "{later} {to}");
    verify(&second, &later);
    assert_eq!(export(&second, &to), before, "the restored range is unchanged");
}
