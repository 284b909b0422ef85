//! The `forget` command over both cold tiers, on the data of a node that continues afterwards.

use std::path::Path;

use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::node::{Node, housecount};

const KEY: &str = "viewer_ids_key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const QUICK: [&str; 6] = [
    "interval=1s",
    "ttl=3s",
    "window=1s",
    "lateness_max=3s",
    "archive_flush=1s",
    "limits.session_beats=0",
];

/// Runs a command; returns its exit code and its output.
fn ran(arguments: &[&str]) -> (i32, String) {
    let output = housecount().args(arguments).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

fn forget(cold: &str, more: &[&str]) -> (i32, String) {
    ran(&[&["forget", "--cold", cold], more].concat())
}

/// Watch times up to `to`, and the report of `verify`, which must find no fault.
fn watched(cold: &str, to: &str) -> (Vec<(String, String, String)>, Value) {
    let range = ["--cold", cold, "--from", "2020-01-01", "--to", to];
    let (code, csv) = ran(&[&["export", "--out", "-"], &range[..]].concat());
    assert_eq!(code, 0, "{csv}");
    let row = |line: &str| {
        let mut cells = line.split(',').map(str::to_string);
        (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
    };
    let (code, found) = ran(&[&["verify", "--json"], &range[..]].concat());
    assert_eq!(code, 0, "{found}");
    (csv.lines().skip(1).map(row).collect(), serde_json::from_str(&found).unwrap())
}

async fn beat(node: &Node, viewers: &[&str]) {
    for viewer in viewers {
        let body =
            json!({ "stage": "s/1", "viewer": viewer, "session": format!("{viewer}'s telephone") });
        assert_eq!(node.call(Method::POST, "/v1/heartbeat", body).await.0, 200);
    }
}

/// End of the viewer's committed time.
async fn committed_to(node: &Node, viewer: &str) -> u64 {
    let body = node.get(&format!("/v1/viewers/{viewer}/watch")).await;
    body["committedTo"].as_u64().unwrap_or_default()
}

/// Beats for these viewers until the ledger has advanced by `ms`.
async fn goes_on(node: &Node, viewers: &[&str], ms: u64) -> u64 {
    let from = node.stats().await["asOf"].as_u64().unwrap();
    eventually("the ledger advances", async || {
        beat(node, viewers).await;
        committed_to(node, viewers[0]).await > from + ms
    })
    .await;
    committed_to(node, viewers[0]).await
}

/// Forgets ann in the data of a node, while the node is down.
async fn is_forgotten(mut node: Node, cold: &str, ann: &str, asked: &[&str]) {
    goes_on(&node, &["ann@example.org", "bob"], 2_000).await;
    let (code, printed) = forget(cold, &[asked, &["--dry-run"]].concat());
    assert!(code == 2 && printed.contains("Nothing was changed. Try again"), "{code} {printed}");
    assert_eq!(printed.trim().lines().count(), 1, "{printed}");
    goes_on(&node, &["bob"], 2 * 7_000 + 2_000).await;
    // A restarted node is another writer, which begins the archive again.
    assert!(node.stop().success());
    node.restart();
    node.until_ready().await;
    let to = goes_on(&node, &["bob"], 1_000).await.to_string();
    assert!(node.stop().success());

    let (before, found) = watched(cold, &to);
    assert!(before.iter().any(|row| row.1 == ann) && before.len() == 2, "{before:?}");
    let (code, printed) = forget(cold, &[asked, &["--dry-run"]].concat());
    assert!(
        code == 0 && printed.contains("dry run") && printed.contains("all of it kept"),
        "{printed}"
    );
    assert_eq!(watched(cold, &to), (before.clone(), found.clone()));
    let (code, printed) = forget(cold, &[asked, &["--json"]].concat());
    assert_eq!(code, 0, "{printed}");
    assert!(!printed.contains("ann"), "the output does not name the viewer: {printed}");
    let done: Value = serde_json::from_str(&printed).unwrap();
    let pseudonym = done["pseudonym"].as_str().unwrap();
    assert!(
        done["archiveHeartbeats"].as_u64() > Some(2) && done["problems"] == json!([]),
        "{done}"
    );

    let (after, again) = watched(cold, &to);
    let name = |row: &(String, String, String)| {
        let viewer = if row.1 == ann { pseudonym.to_string() } else { row.1.clone() };
        (row.0.clone(), viewer, row.2.clone())
    };
    let (mut expected, mut got) = (before.iter().map(name).collect::<Vec<_>>(), after);
    expected.sort();
    got.sort();
    assert_eq!(got, expected);
    assert_eq!((&again["stages"], &again["agrees"]), (&found["stages"], &json!(true)));
    assert_eq!(again["rewritten"], done["chunks"]);
    let (code, text) = ran(&["verify", "--cold", cold, "--from", "2020-01-01", "--to", &to]);
    assert!(code == 0 && text.contains("were rewritten by `housecount forget`"), "{text}");
    let (code, raw) = ran(&[
        "export",
        "--raw",
        "--cold",
        cold,
        "--from",
        "2020-01-01",
        "--to",
        &to,
        "--out",
        "-",
    ]);
    assert!(
        code == 0 && !raw.contains(ann) && !raw.contains("ann") && raw.lines().count() > 5,
        "{raw}"
    );
    let (code, printed) = forget(cold, asked);
    assert!(code == 0 && printed.contains("no data of this viewer found up to"), "{printed}");

    node.restart();
    node.until_ready().await;
    let to = goes_on(&node, &["bob"], 2_000).await.to_string();
    let body = node.get(&format!("/v1/viewers/{pseudonym}/watch")).await;
    let ms: u64 =
        body["watch"].as_array().unwrap().iter().map(|row| row["watchMs"].as_u64().unwrap()).sum();
    assert_eq!(ms, done["watchMs"].as_u64().unwrap(), "the pseudonym finds its watch time: {body}");
    assert!(node.stop().success());
    assert_eq!(watched(cold, &to).1["agrees"], true);
}

#[timed_test(flavor = "multi_thread")]
async fn in_an_embedded_store_and_by_the_id_of_a_hashed_viewer() {
    let folder = tempfile::tempdir().unwrap();
    let cold = format!("embedded:{}", folder.path().join("cold").display());
    let url = format!("cold={cold}");
    let settings = [&QUICK[..], &["archive=packed", "viewer_ids=hashed", KEY, &url]].concat();
    let node = Node::ready(&settings).await;
    beat(&node, &["ann@example.org"]).await;
    let (code, printed) = forget(&cold, &["--viewer", "ann"]);
    assert!(code == 2 && printed.contains("is in use by another housecount"), "{printed}");
    let hashed =
        node.get("/v1/viewers/ann%40example.org").await["viewer"].as_str().unwrap().to_string();
    let asked = ["--viewer", "ann@example.org", "--set", "viewer_ids=hashed", "--set", KEY];
    is_forgotten(node, &cold, &hashed, &asked).await;
    assert!(Path::new(folder.path()).join("cold/items.sqlite").exists());
}

#[timed_test(flavor = "multi_thread")]
async fn in_dynamodb() {
    let dynamo = Dynamo::start().await;
    let cold = dynamo.url("audience");
    assert_eq!(ran(&["table", "create", "--cold", &cold]).0, 0);
    let url = format!("cold={cold}");
    let settings = [&QUICK[..], &["archive=packed", &url]].concat();
    is_forgotten(
        Node::ready(&settings).await,
        &cold,
        "ann@example.org",
        &["--viewer", "ann@example.org"],
    )
    .await;
    let all = dynamo.call("Scan", json!({ "TableName": "audience" })).to_string();
    assert!(all.contains("LEDGER#") && !all.contains("example.org") && !all.contains("telephone"));
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("embedded:{}", folder.path().join("nowhere").display());
    for (arguments, named) in [
        (["--viewer", "", "--cold", &nowhere], "--viewer"),
        (["--viewer", "ann", "--cold", "none"], "there is nothing to forget"),
        (["--viewer", "ann", "--cold", &nowhere], "there is no cold tier in"),
    ] {
        let (code, printed) = ran(&[&["forget"], &arguments[..]].concat());
        assert!(code == 2 && printed.contains(named), "{printed}");
    }
    assert!(!folder.path().join("nowhere").exists());
}
