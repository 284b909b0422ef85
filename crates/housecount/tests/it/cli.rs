//! The command line. An error is one line that names the wrong input, and a node that waits logs
//! it.

use std::process::Output;

use housecount_stores::cold::ColdTarget;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::Value;

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::free_port;
use crate::support::node::{Node, housecount};
use crate::support::redis::{Flavour, Server};

fn run(arguments: &[&str]) -> Output {
    housecount().args(arguments).output().unwrap()
}

/// Asserts that the command fails with one line that contains `named`.
fn refuses(arguments: &[&str], named: &str) {
    let output = run(arguments);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {printed}");
    assert!(
        printed.starts_with("housecount: ") && printed.trim_end().lines().count() == 1,
        "{printed}"
    );
    assert!(printed.contains(named), "{arguments:?}: {printed:?} does not name {named:?}");
}

#[test]
fn bad_settings_stop_the_start_with_one_line() {
    refuses(
        &["serve", "--set", "ttl=89s"],
        "`ttl` = \"89s\" (from --set): it must be at least 3 x interval (30s)",
    );
    refuses(
        &["serve", "--set", "tll=5m"],
        "`tll` (from --set) is not a setting: did you mean `ttl`?",
    );
    refuses(&["serve", "--log", "kafka://h"], "`log` (from --log): a log is memory:");
    refuses(&["serve", "--cold", "s3://b"], "`cold`");
    refuses(&["serve", "--archive", "all"], "`archive`");
    refuses(&["serve", "--config", "/nowhere.toml"], "--config /nowhere.toml: No such file");
    refuses(&["table", "create"], "only DynamoDB tables are created by hand");
    refuses(&["table", "delete", "--cold", "dynamodb://table"], "add --yes");
    let output = housecount().args(["serve"]).env("HOUSECOUNT_COLOUR", "red").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains("`colour` (from HOUSECOUNT_COLOUR) is not a setting"), "{printed}");
}

#[test]
fn help_shows_examples() {
    for command in [
        vec!["--help"],
        vec!["serve", "--help"],
        vec!["load", "--help"],
        vec!["table", "--help"],
        vec!["forget", "--help"],
    ] {
        let output = run(&command);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && printed.contains("Examples:\n  housecount "),
            "{command:?}: {printed}"
        );
        for url in printed.split('\'').filter(|word| word.starts_with("dynamodb://")) {
            assert!(ColdTarget::parse(url, "unused").is_ok(), "{command:?} shows {url}");
        }
    }
}

#[test]
fn settings_are_a_configuration_file() {
    let output = run(&["settings"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    std::fs::write(&file, &output.stdout).unwrap();
    // The file equals the defaults, so only the impossible port is wrong.
    let file = file.to_str().unwrap();
    refuses(
        &["serve", "--config", file, "--listen", "127.0.0.1:99999"],
        "`listen` = \"127.0.0.1:99999\"",
    );
}

#[timed_test(flavor = "multi_thread")]
async fn a_taken_port_and_a_taken_folder_are_named() {
    let node = Node::ready(&[]).await;
    let taken = node.address.trim_start_matches("http://").to_string();
    refuses(&["serve", "--listen", &taken, "--log", "memory:"], "the port is in use");
    let data = node.data().to_str().unwrap().to_string();
    refuses(
        &["serve", "--listen", "127.0.0.1:0", "--data", &data],
        "is in use by another housecount",
    );
}

async fn waits_for(node: &Node) -> String {
    let (status, body) = node.call(Method::GET, "/readyz", Value::Null).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("not_ready")), "{body}");
    body["detail"].as_str().unwrap().to_string()
}

#[timed_test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_waited_for() {
    let port = free_port();
    let node = Node::start(&[&format!("log=redis://:secret@127.0.0.1:{port}/0"), "cold=none"]);
    eventually("/readyz names the log", async || {
        waits_for(&node).await.contains("waiting for the log")
    })
    .await;
    let printed = waits_for(&node).await;
    assert!(printed.contains(&port.to_string()) && !printed.contains("secret"), "{printed}");
    let stats = node.stats().await;
    assert_eq!((stats["complete"].as_bool(), stats["viewers"].as_u64()), (Some(false), Some(0)));
    let beat = serde_json::json!({ "stage": "s", "viewer": "v" });
    let (status, body) = node.call(Method::POST, "/v1/heartbeat", beat).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("starting")));
    let _redis = Server::start_at(port, Flavour::Redis, &["--requirepass", "secret"]).await;
    node.until_ready().await;
}

#[timed_test(flavor = "multi_thread")]
async fn a_table_that_is_missing_is_waited_for() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.url("table");
    let node = Node::start(&["log=memory:", &format!("cold={cold}")]);
    eventually("/readyz names the command that creates the table", async || {
        waits_for(&node).await.contains("housecount table create --cold 'dynamodb://table?")
    })
    .await;
    let made = run(&["table", "create", "--cold", &cold]);
    let printed = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(
        made.status.success() && printed.contains("TTL is switched on for the attribute `ttl`."),
        "{printed}"
    );
    node.until_ready().await;
    let again = run(&["table", "create", "--cold", &cold]);
    let printed = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success() && printed.contains("The table is there."), "{printed}");
    let status = run(&["table", "status", "--cold", &cold, "--json"]);
    let state: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((state["status"].as_str(), state["ttl"].as_bool()), (Some("ACTIVE"), Some(true)));
    assert!(run(&["table", "delete", "--cold", &cold, "--yes"]).status.success());
    assert_eq!(run(&["table", "status", "--cold", &cold]).status.code(), Some(1));
}

#[timed_test(flavor = "multi_thread")]
async fn a_dynamodb_that_is_away_is_waited_for() {
    let port = free_port();
    let cold = format!("cold=dynamodb://table?region=eu-west-1&endpoint=http://127.0.0.1:{port}");
    let node = Node::start(&["log=memory:", &cold]);
    eventually("/readyz names the cold tier", async || {
        waits_for(&node).await.contains("waiting for the cold tier")
    })
    .await;
    assert_eq!(node.status("/healthz").await, 200);
}

#[timed_test(flavor = "multi_thread")]
async fn a_table_with_other_keys_stops_the_start() {
    let dynamo = Dynamo::start().await;
    let create = serde_json::json!({
        "TableName": "other", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
    });
    dynamo.call("CreateTable", create);
    let url = dynamo.url("other");
    let output = tokio::task::spawn_blocking(move || {
        run(&["serve", "--listen", "127.0.0.1:0", "--log", "memory:", "--cold", &url])
    });
    let output = output.await.unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("housecount: dynamodb://other")
            && printed.contains("has the keys id (S) HASH"),
        "{printed}"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn snapshot_and_restore_by_hand() {
    let node = Node::ready(&["log=memory:"]).await;
    node.beat_many("s", 0, 41).await;
    let printed = |output: Output| -> Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let saved = printed(run(&["snapshot", "--url", &node.address]));
    assert_eq!((saved["outcome"].as_str(), saved["viewers"].as_u64()), (Some("saved"), Some(41)));
    let restored = printed(run(&["restore", "--url", &node.address]));
    assert_eq!(
        (restored["restored"].as_bool(), restored["viewers"].as_u64()),
        (Some(true), Some(41))
    );
    assert_eq!(node.stats().await["recovering"], true);
    refuses(&["snapshot", "--url", "http://127.0.0.1:1"], "Connection refused");
}
