//! The calls of a front-end of the seed system, in its order, with each field that it reads.

use std::time::Duration;

use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use super::{ARN, QUICK, bad, encoded, get, good, post};
use crate::support::eventually;
use crate::support::node::Node;

#[timed_test(flavor = "multi_thread")]
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
    assert!(
        watched["watchDurationSeconds"].is_u64() && watched["watchDurationFormatted"].is_string()
    );

    assert_eq!(good(post(&node, "leave", user.clone()).await)["viewerLeft"], true);
    eventually("no viewer is online", async || {
        get(&node, "/api/stats/viewers").await["totalViewers"] == 0
    })
    .await;
    bad(post(&node, "heartbeat", user).await, 404, "NOT_FOUND");

    let history = get(&node, "/api/viewer/history/user-1?limit=10").await;
    assert_eq!(
        (&history["totalRecords"], &history["history"][0]["stageArn"]),
        (&json!(1), &json!(ARN))
    );
    assert!(history["history"][0]["watchDurationSeconds"].as_u64() >= Some(1), "{history}");
    let stats = get(&node, &format!("/api/viewer/stats/{}?days=7", encoded(ARN))).await;
    assert_eq!(
        (&stats["stats"]["totalViews"], &stats["stats"]["uniqueViewers"]),
        (&json!(1), &json!(1))
    );
    let rejected: Value = get(&node, "/api/stats/stages").await;
    assert_eq!((&rejected["totalStages"], &rejected["stages"]), (&json!(0), &json!([])));
}

/// The stress test of the seed system: 50 heartbeats per second for one viewer for 30 s. All are
/// answered 200, on the drop-in call and on the one of `/v1`. `paced` is the time between two of
/// them; without it they follow each other as fast as they are answered.
async fn fifty_a_second_for_one_viewer(paced: Option<Duration>) {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let player = json!({ "userId": "user-1", "stageArn": ARN, "participantId": "participant-1" });
    let beat = json!({ "stage": ARN, "viewer": "user-2", "session": "participant-2" });
    good(post(&node, "rejoin", player.clone()).await);
    let mut ticks = tokio::time::interval(paced.unwrap_or(Duration::from_nanos(1)));
    for n in 0..1_500 {
        if paced.is_some() {
            ticks.tick().await;
        }
        let updated = good(post(&node, "heartbeat", player.clone()).await);
        assert_eq!(
            (&updated["heartbeatUpdated"], updated["currentViewers"].as_u64() > Some(0)),
            (&json!(true), true)
        );
        let (status, body) = node.call(Method::POST, "/v1/heartbeat", beat.clone()).await;
        assert_eq!((status, &body["viewers"]), (200, &json!(2)), "heartbeat {n}: {body}");
    }
    let figure = async |name: &str| node.metric(name).await as u64;
    let logged = figure("housecount_events_total{kind=\"beat\"}").await;
    let coalesced = figure("housecount_coalesced_beats_total{transport=\"http\"}").await;
    assert_eq!(logged + coalesced, 3_001);
    println!("logged {logged}, coalesced {coalesced}");
    assert_eq!(good(post(&node, "leave", player.clone()).await)["viewerLeft"], true);
    assert_eq!(node.call(Method::POST, "/v1/leave", beat).await.0, 204);
}

#[timed_test(flavor = "multi_thread")]
async fn fifty_heartbeats_a_second_are_all_answered() {
    fifty_a_second_for_one_viewer(None).await;
}

/// The same stress test at its real pace.
#[timed_test(flavor = "multi_thread")]
#[ignore = "takes 30 s"]
async fn fifty_heartbeats_a_second_for_30_s_are_all_answered() {
    fifty_a_second_for_one_viewer(Some(Duration::from_millis(20))).await;
}
