//! Players' calls rejoin, heartbeat and leave, and the viewers who are listed after them.

use std::time::Duration;

use housecount_test::timed_test;
use serde_json::json;

use super::{ARN, bad, encoded, fields, get, get_complete, good, post};
use crate::support::eventually;
use crate::support::node::Node;

#[timed_test(flavor = "multi_thread")]
async fn a_viewer_comes_stays_and_goes() {
    // The log is a file, since counts from a log in memory are not complete for a ttl.
    let node = Node::ready(&["leave_grace=50ms"]).await;
    let ann = json!({ "userId": "ann", "stageArn": ARN });
    bad(post(&node, "heartbeat", ann.clone()).await, 404, "NOT_FOUND");

    let with =
        |session: &str| json!({ "userId": "ann", "stageArn": ARN, "participantId": session });
    let expected = json!({
        "userId": "ann", "stageArn": ARN, "participantId": "phone", "currentViewers": 1, "isNewViewer": true
    });
    assert_eq!(good(post(&node, "rejoin", with("phone")).await), expected);
    let second = good(post(&node, "rejoin", with("laptop")).await);
    assert_eq!((&second["currentViewers"], &second["isNewViewer"]), (&json!(1), &json!(false)));
    assert_eq!(good(post(&node, "rejoin", with("laptop")).await)["isNewViewer"], false);
    let bob = json!({ "userId": "bob", "stageArn": ARN, "participantId": "tab" });
    let joined = good(post(&node, "rejoin", bob.clone()).await);
    assert_eq!((&joined["currentViewers"], &joined["isNewViewer"]), (&json!(2), &json!(true)));

    let mut answer = good(post(&node, "heartbeat", ann.clone()).await);
    assert!(answer["nextMs"].take().as_u64() > Some(0));
    let expected = json!({
        "userId": "ann", "stageArn": ARN, "heartbeatUpdated": true, "currentViewers": 2, "nextMs": null
    });
    assert_eq!(answer, expected);
    let sessions = node.get("/v1/viewers/ann").await["stages"][0]["sessions"].clone();
    assert_eq!(sessions, json!(["laptop", "phone"]), "ann has two sessions");

    let list = get_complete(&node, &format!("/api/viewer/list/{}", encoded(ARN))).await;
    let names =
        ["activeViewers", "complete", "participants", "stageArn", "totalViewers", "viewers"];
    assert_eq!(fields(&list), names);
    assert_eq!((&list["stageArn"], &list["complete"]), (&json!(ARN), &json!(true)));
    assert_eq!((&list["totalViewers"], &list["activeViewers"]), (&json!(2), &json!(2)));
    assert_eq!(list["viewers"], json!(["ann", "bob"]));
    let ann_there = &list["participants"][0];
    assert_eq!(fields(ann_there), ["lastHeartbeat", "participantIds", "userId"]);
    assert_eq!(
        (&ann_there["userId"], &ann_there["participantIds"]),
        (&json!("ann"), &json!(["laptop", "phone"]))
    );
    assert!(ann_there["lastHeartbeat"].as_str().unwrap().ends_with('Z'));

    let left = json!({ "userId": "ann", "stageArn": ARN, "viewerLeft": true });
    assert_eq!(good(post(&node, "leave", ann.clone()).await), left);
    eventually("ann has left", async || get(&node, "/api/stats").await["totalViewers"] == 1).await;
    bad(post(&node, "heartbeat", ann.clone()).await, 404, "NOT_FOUND");
    let back = good(post(&node, "rejoin", with("phone")).await);
    assert_eq!((&back["currentViewers"], &back["isNewViewer"]), (&json!(2), &json!(true)));
    assert_eq!(good(post(&node, "leave", bob).await)["viewerLeft"], true);
}

/// A leave with a participant ends that session only.
#[timed_test(flavor = "multi_thread")]
async fn a_leave_of_a_participant_is_of_that_session_only() {
    let node = Node::ready(&["log=memory:", "cold=none", "leave_grace=50ms"]).await;
    let with =
        |session: &str| json!({ "userId": "ann", "stageArn": "s", "participantId": session });
    for session in ["phone", "laptop", "tablet"] {
        good(post(&node, "rejoin", with(session)).await);
    }
    let participants = async || {
        get(&node, "/api/viewer/list/s").await["participants"][0]["participantIds"].clone()
    };
    good(post(&node, "leave", with("phone")).await);
    eventually("the phone has left", async || participants().await == json!(["laptop", "tablet"]))
        .await;
    // An empty participant counts as a missing one.
    good(post(&node, "leave", with("")).await);
    eventually("all sessions have left", async || {
        get(&node, "/api/viewer/list/s").await["viewers"] == json!([])
    })
    .await;
}

/// JSON integers count as their decimal text, for each kind of id.
#[timed_test(flavor = "multi_thread")]
async fn ids_may_be_integers() {
    let node = Node::ready(&["log=memory:", "cold=none"]).await;
    let largest = 9_007_199_254_740_992_u64;
    let joined = json!({ "userId": 42, "stageArn": largest, "participantId": -7 });
    let data = good(post(&node, "rejoin", joined).await);
    assert_eq!(
        (&data["userId"], &data["stageArn"], &data["participantId"]),
        (&json!("42"), &json!("9007199254740992"), &json!("-7"))
    );
    let same = good(post(&node, "heartbeat", json!({ "userId": "42", "stageArn": largest })).await);
    assert_eq!((&same["userId"], &same["currentViewers"]), (&json!("42"), &json!(1)));
    let list = get(&node, &format!("/api/viewer/list/{largest}")).await;
    assert_eq!(
        (&list["viewers"], &list["participants"][0]["participantIds"]),
        (&json!(["42"]), &json!(["-7"]))
    );
}

/// A heartbeat without a participant refreshes the viewer's newest session, and the others expire.
#[timed_test(flavor = "multi_thread")]
async fn a_heartbeat_without_a_participant_is_the_newest_sessions() {
    let node = Node::ready(&[
        "log=memory:",
        "cold=none",
        "interval=1s",
        "ttl=3s",
        "limits.session_beats=0",
    ])
    .await;
    let ann = |session: &str| json!({ "userId": "ann", "stageArn": "s", "participantId": session });
    good(post(&node, "rejoin", ann("old")).await);
    // The clock advances by itself; the test waits for another millisecond.
    let before = node.stats().await["asOf"].as_u64();
    eventually("time advances", async || node.stats().await["asOf"].as_u64() > before).await;
    good(post(&node, "rejoin", ann("new")).await);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        good(post(&node, "heartbeat", json!({ "userId": "ann", "stageArn": "s" })).await);
        let sessions = node.get("/v1/viewers/ann").await["stages"][0]["sessions"].clone();
        if sessions == json!(["new"]) {
            break;
        }
        assert_eq!(sessions, json!(["new", "old"]));
    }
}
