//! Current counts: in all, stage by stage, and of one stage.

use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use super::{ARN, encoded, fields, get, get_complete, good, post};
use crate::support::node::Node;

#[timed_test(flavor = "multi_thread")]
async fn counts_of_all_of_each_and_of_one() {
    let node = Node::ready(&[]).await;
    let no_viewers = json!({
        "totalViewers": 0, "activeStages": 0, "isPublisherLive": null, "stages": [], "complete": true
    });
    assert_eq!(get_complete(&node, "/api/stats").await, no_viewers);
    let new = json!({ "stage": ARN, "name": "Match of the day", "customer": "ACME", "tags": { "k": "v" } });
    assert_eq!(node.call(Method::POST, "/v1/stages", new).await.0, 201);
    for (viewer, stage) in [("ann", ARN), ("bob", ARN), ("ann", "b")] {
        let body = json!({ "userId": viewer, "stageArn": stage, "participantId": "p" });
        good(post(&node, "rejoin", body).await);
    }

    let stats = get_complete(&node, "/api/stats").await;
    assert_eq!(
        fields(&stats),
        ["activeStages", "complete", "isPublisherLive", "stages", "totalViewers"]
    );
    assert_eq!(
        (&stats["totalViewers"], &stats["activeStages"]),
        (&json!(2), &json!(2)),
        "ann is one viewer"
    );
    assert_eq!((&stats["isPublisherLive"], &stats["complete"]), (&Value::Null, &json!(true)));
    let mut stages = stats["stages"].clone();
    let created = stages[0]["createdAt"].take();
    assert!(created.as_str().unwrap().ends_with('Z'), "{stats}");
    let expected = json!([
        { "stageArn": ARN, "stageName": "Match of the day", "viewerCount": 2, "autoScaled": false, "createdAt": null },
        { "stageArn": "b", "stageName": "b", "viewerCount": 1, "autoScaled": false, "createdAt": null }
    ]);
    assert_eq!(stages, expected);

    assert_eq!(
        get_complete(&node, "/api/stats/viewers").await,
        json!({ "totalViewers": 2, "complete": true })
    );
    let all = get_complete(&node, "/api/stats/stages").await;
    assert_eq!(all, json!({ "totalStages": 2, "stages": stats["stages"], "complete": true }));
    let one = get_complete(&node, &format!("/api/stats/stages?arn={}", encoded(ARN))).await;
    let info = json!({
        "stageArn": ARN, "stageName": "Match of the day", "customer": "ACME", "tags": { "k": "v" },
        "autoScaled": false, "createdAt": created
    });
    assert_eq!(
        one,
        json!({ "stageArn": ARN, "viewerCount": 2, "stageInfo": info, "complete": true })
    );
    for (stage, count) in [("b", 1), ("empty", 0)] {
        let one = get_complete(&node, &format!("/api/stats/stages?arn={stage}")).await;
        let expected =
            json!({ "stageArn": stage, "viewerCount": count, "stageInfo": null, "complete": true });
        assert_eq!(one, expected);
    }
}

/// Without a cold tier no data is kept for good, and the counts are the same.
#[timed_test(flavor = "multi_thread")]
async fn counts_need_no_cold_tier() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    good(
        post(&node, "rejoin", json!({ "userId": "ann", "stageArn": "s", "participantId": "p" }))
            .await,
    );
    let stats = get(&node, "/api/stats").await;
    assert_eq!(
        (&stats["totalViewers"], &stats["stages"][0]["stageName"]),
        (&json!(1), &json!("s"))
    );
    assert_eq!(get(&node, "/api/stats/stages?arn=s").await["stageInfo"], Value::Null);
}
