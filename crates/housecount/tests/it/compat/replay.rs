//! A front-end of the seed system makes its calls in its order, and finds each field that it reads.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ARN, QUICK, bad, encoded, get, good, post};
use crate::support::eventually;
use crate::support::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_systems_calls_in_their_order() {
    let node = Node::ready(&QUICK).await;
    assert_eq!(get(&node, "/health").await["status"], "healthy");
    let user = json!({ "userId": "user-1", "stageArn": ARN });
    let player = json!({ "userId": "user-1", "stageArn": ARN, "participantId": "participant-1" });

    let (_, details) = bad(post(&node, "rejoin", user.clone()).await, 400, "VALIDATION_ERROR");
    assert_eq!(details["missingFields"], json!(["participantId"]));
    let joined = good(post(&node, "rejoin", player.clone()).await);
    assert_eq!((&joined["currentViewers"], &joined["isNewViewer"]), (&json!(1), &json!(true)));

    let duration = format!("/api/viewer/duration?userId=user-1&stageArn={}", encoded(ARN));
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while get(&node, &duration).await["watchDurationSeconds"].as_u64() < Some(1) {
        ticks.tick().await;
        assert_eq!(good(post(&node, "heartbeat", user.clone()).await)["heartbeatUpdated"], true);
    }

    let stats = get(&node, "/api/stats").await;
    assert_eq!((&stats["totalViewers"], &stats["activeStages"]), (&json!(1), &json!(1)));
    assert_eq!(stats["stages"][0]["stageArn"], ARN);
    let list = get(&node, &format!("/api/viewer/list/{}", encoded(ARN))).await;
    assert!(list["viewers"].as_array().unwrap().contains(&json!("user-1")), "{list}");
    let watched = get(&node, &duration).await;
    assert!(watched["watchDurationSeconds"].is_u64() && watched["watchDurationFormatted"].is_string());

    assert_eq!(good(post(&node, "leave", user.clone()).await)["viewerLeft"], true);
    eventually("nobody is there", async || get(&node, "/api/stats/viewers").await["totalViewers"] == 0).await;
    bad(post(&node, "heartbeat", user).await, 404, "NOT_FOUND");

    let history = get(&node, "/api/viewer/history/user-1?limit=10").await;
    assert_eq!((&history["totalRecords"], &history["history"][0]["stageArn"]), (&json!(1), &json!(ARN)));
    assert!(history["history"][0]["watchDurationSeconds"].as_u64() >= Some(1), "{history}");
    let stats = get(&node, &format!("/api/viewer/stats/{}?days=7", encoded(ARN))).await;
    assert_eq!((&stats["stats"]["totalViews"], &stats["stats"]["uniqueViewers"]), (&json!(1), &json!(1)));
    let rejected: Value = get(&node, "/api/stats/stages").await;
    assert_eq!((&rejected["totalStages"], &rejected["stages"]), (&json!(0), &json!([])));
}
