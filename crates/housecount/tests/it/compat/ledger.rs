//! Duration, history and stats. They come from the ledger, and from what was proven since.

use std::time::Duration;

use housecount_core::time::UnixMs;
use housecount_test::timed_test;
use serde_json::{Value, json};

use super::{QUICK, fields, get, good, post};
use crate::support::eventually;
use crate::support::node::Node;

fn body(viewer: &str, stage: &str, session: &str) -> Value {
    json!({ "userId": viewer, "stageArn": stage, "participantId": session })
}

/// Beats until the viewer has at least `seconds` more proven seconds on the stage.
async fn watch(node: &Node, viewer: &str, stage: &str, seconds: u64) {
    let path = format!("/api/viewer/duration?userId={viewer}&stageArn={stage}");
    let before = get(node, &path).await["watchDurationSeconds"].as_u64().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        good(post(node, "rejoin", body(viewer, stage, "p")).await);
        if get(node, &path).await["watchDurationSeconds"].as_u64() >= Some(before + seconds) {
            return;
        }
    }
}

async fn as_of(node: &Node) -> u64 {
    node.stats().await["asOf"].as_u64().unwrap()
}

/// Waits until the log's clock has advanced by more than a ttl.
async fn more_than_a_ttl(node: &Node) {
    let until = as_of(node).await + 3_500;
    eventually("a ttl passes", async || as_of(node).await > until).await;
}

fn moment(text: &Value) -> UnixMs {
    let text = text.as_str().unwrap();
    assert!(text.ends_with('Z'), "{text}");
    housecount_server::calendar::parse(text).unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn how_long_a_viewer_watched() {
    let node = Node::ready(&QUICK).await;
    let path = "/api/viewer/duration?userId=ann&stageArn=s";
    let none = json!({
        "userId": "ann", "stageArn": "s", "watchDurationSeconds": 0, "watchDurationFormatted": "0s"
    });
    assert_eq!(get(&node, path).await, none);
    watch(&node, "ann", "s", 2).await;
    let answer = get(&node, path).await;
    let seconds = answer["watchDurationSeconds"].as_u64().unwrap();
    assert!(seconds >= 2);
    assert_eq!(answer["watchDurationFormatted"], format!("{seconds}s"));
}

/// Ann watches twice, with more than a ttl between. In the middle of the second time she leaves for
/// less than a ttl. Bob watches once.
#[timed_test(flavor = "multi_thread")]
async fn views_are_watch_spans_and_viewers_are_distinct() {
    let node = Node::ready(&QUICK).await;
    let empty = get(&node, "/api/viewer/stats/s").await;
    let nothing = json!({
        "stageArn": "s", "totalViews": 0, "uniqueViewers": 0, "avgWatchDuration": 0, "maxWatchDuration": 0
    });
    assert_eq!(empty, json!({ "stageArn": "s", "days": 7, "stats": nothing }));
    let no_records = json!({ "userId": "ann", "totalRecords": 0, "history": [] });
    assert_eq!(get(&node, "/api/viewer/history/ann").await, no_records);

    watch(&node, "ann", "s", 1).await;
    good(post(&node, "leave", body("ann", "s", "p")).await);
    more_than_a_ttl(&node).await;
    watch(&node, "ann", "s", 1).await;
    good(post(&node, "leave", body("ann", "s", "p")).await);
    eventually("ann has left", async || node.viewers("s").await == 0).await;
    watch(&node, "ann", "s", 1).await;
    watch(&node, "bob", "s", 1).await;
    watch(&node, "ann", "t", 1).await;

    // The stats count what the ledger holds span by span.
    let spans = node.get("/v1/stages/s/watch?intervals=true").await;
    let ms = |row: usize| spans["watch"][row]["watchMs"].as_u64().unwrap();
    let found = get(&node, "/api/viewer/stats/s?days=1").await;
    assert_eq!((&found["stageArn"], &found["days"]), (&json!("s"), &json!(1)));
    let stats = &found["stats"];
    assert_eq!(
        fields(stats),
        ["avgWatchDuration", "maxWatchDuration", "stageArn", "totalViews", "uniqueViewers"]
    );
    assert_eq!((&stats["totalViews"], &stats["uniqueViewers"]), (&json!(3), &json!(2)), "{spans}");
    assert_eq!(stats["avgWatchDuration"], (ms(0) + ms(1)) / 3 / 1_000);
    assert!(stats["maxWatchDuration"].as_u64() >= Some(1), "{stats}");

    let found = get(&node, "/api/viewer/history/ann").await;
    assert_eq!((&found["userId"], &found["totalRecords"]), (&json!("ann"), &json!(3)), "{found}");
    let records = found["history"].as_array().unwrap();
    let stages: Vec<&str> =
        records.iter().map(|record| record["stageArn"].as_str().unwrap()).collect();
    assert_eq!(stages, ["t", "s", "s"], "the list is newest first: {found}");
    for record in records {
        assert_eq!(
            fields(record),
            ["joinedAt", "leftAt", "participantId", "stageArn", "userId", "watchDurationSeconds"]
        );
        assert_eq!(record["userId"], "ann");
        let lasted_ms = moment(&record["leftAt"]).since(moment(&record["joinedAt"]));
        assert!(record["watchDurationSeconds"].as_u64() <= Some(lasted_ms / 1_000), "{record}");
        assert!(record["watchDurationSeconds"].as_u64() >= Some(1), "{record}");
    }
    let gap_ms = moment(&records[1]["joinedAt"]).since(moment(&records[2]["leftAt"]));
    assert!(gap_ms > 3_000, "{found}");
    assert_eq!(
        (&records[0]["participantId"], &records[2]["participantId"]),
        (&json!("p"), &json!(""))
    );
    let one = get(&node, "/api/viewer/history/ann?limit=1&days=1").await;
    assert_eq!((&one["totalRecords"], one["history"].as_array().unwrap().len()), (&json!(3), 1));
    assert_eq!(one["history"][0]["stageArn"], "t");
}

/// The same figures from a restarted node, once they are committed.
#[timed_test(flavor = "multi_thread")]
async fn views_outlive_the_node() {
    let mut node = Node::ready(&QUICK).await;
    watch(&node, "ann", "s", 2).await;
    good(post(&node, "leave", body("ann", "s", "p")).await);
    let until = as_of(&node).await;
    eventually("the window is committed", async || {
        node.get("/v1/stages/s/watch").await["committedTo"].as_u64() > Some(until)
    })
    .await;
    let stats = get(&node, "/api/viewer/stats/s").await;
    let mut history = get(&node, "/api/viewer/history/ann").await;
    assert_eq!((&stats["stats"]["totalViews"], &history["totalRecords"]), (&json!(1), &json!(1)));
    assert!(node.stop().success());
    node.restart();
    node.until_ready().await;
    assert_eq!(get(&node, "/api/viewer/stats/s").await, stats);
    history["history"][0]["participantId"] = json!("");
    let mut after = get(&node, "/api/viewer/history/ann").await;
    after["history"][0]["participantId"] = json!("");
    assert_eq!(after, history);
}
