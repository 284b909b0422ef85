//! Beats beyond a session's limit: when they are answered from memory, that they change no count,
//! and when they are refused.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use housecount::load::audience::AudienceConfig;
use housecount::load::{self, LoadPlan, Transport};
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::limits::{SESSION_BURST, SESSION_LEAVES_SPARE};
use housecount_net::client::Client;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::inside::Inside;
use crate::support::eventually;
use crate::support::faulty::FaultyLog;
use crate::support::node::Node;

const ONE: [&str; 2] = ["log=memory:", "cold=none"];
/// Beats per second that a session has logged, by default.
const PER_SECOND: u64 = 2;

fn ann() -> Value {
    json!({ "stage": "s", "viewer": "ann", "session": "tab" })
}

/// Upper bound of the events that a session can have logged between `began` and now.
fn logged_max(began: Instant) -> u64 {
    u64::from(SESSION_BURST) + began.elapsed().as_millis() as u64 * PER_SECOND / 1_000 + 1
}

async fn beat(node: &Node) -> Value {
    let (status, body) = node.call(Method::POST, "/v1/heartbeat", ann()).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn beats_logged(node: &Node) -> u64 {
    node.metric("housecount_events_total{kind=\"beat\"}").await as u64
}

async fn coalesced(node: &Node, transport: &str) -> u64 {
    node.metric(&format!("housecount_coalesced_beats_total{{transport=\"{transport}\"}}")).await
        as u64
}

#[timed_test(flavor = "multi_thread")]
async fn beats_beyond_session_burst_are_answered_and_not_logged() {
    let node = Node::ready(&ONE).await;
    let began = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..300 {
        answers.push(beat(&node).await);
    }
    let most = logged_max(began);
    let surplus = answers.iter().filter(|answer| answer["coalesced"] == true).count() as u64;
    let logged = beats_logged(&node).await;
    assert!(
        (u64::from(SESSION_BURST)..=most).contains(&logged),
        "{logged} beats logged, at most {most} allowed"
    );
    assert_eq!((logged + surplus, coalesced(&node, "http").await), (300, surplus));
    for answer in &answers {
        assert_eq!((&answer["viewers"], &answer["sessions"]), (&json!(1), &json!(1)), "{answer}");
        let is_coalesced = answer.get("coalesced").is_some();
        let next_ms = answer["nextMs"].as_u64().unwrap();
        // The logged beat's answer has set the time of the next one. That was a second ago at most.
        let from = if is_coalesced { 26_000 } else { 27_000 };
        assert!((from..=33_000).contains(&next_ms), "{answer}");
    }
    assert!(
        answers[..SESSION_BURST as usize].iter().all(|answer| answer.get("coalesced").is_none())
    );
    // Another stage is another session.
    assert_eq!(node.beat("t", "ann").await.get("coalesced"), None);
}

#[timed_test(flavor = "multi_thread")]
async fn a_session_that_beats_without_end_can_still_leave() {
    let node =
        Node::ready(&[&ONE[..], &["leave_grace=100ms", "limits.session_beats=1"]].concat()).await;
    while beat(&node).await.get("coalesced").is_none() {}
    let leave = async || node.call(Method::POST, "/v1/leave", ann()).await;
    assert_eq!(leave().await.0, 204);
    // The leave is the last event in the log, so a coalesced beat would leave the viewer offline.
    let mut refused = None;
    eventually("a beat is refused while the debt lasts", async || {
        let (status, body) = node.call(Method::POST, "/v1/heartbeat", ann()).await;
        assert!(body.get("coalesced").is_none(), "{body}");
        if status == 200 {
            assert_eq!(leave().await.0, 204, "a slow machine has paid the debt");
        }
        refused = (status == 429).then_some(body);
        refused.is_some()
    })
    .await;
    assert_eq!(refused.unwrap()["code"], "too_many_beats");
    eventually("no viewer is online", async || node.viewers("s").await == 0).await;
    // Leaves have their own limit.
    let left = async {
        let mut taken = 0;
        while leave().await.0 == 204 {
            taken += 1;
        }
        taken
    };
    let began = Instant::now();
    assert!(left.await <= logged_max(began) + u64::from(SESSION_LEAVES_SPARE));
    assert_eq!(leave().await.1["code"], "too_many_beats");
}

#[timed_test(flavor = "multi_thread")]
async fn in_a_batch_they_are_accepted_and_counted() {
    let node = Node::ready(&ONE).await;
    let mut beats = vec![ann(); 100];
    beats[50] = json!({ "stage": "s" });
    beats[60] = json!({ "stage": "t", "viewer": "ann", "session": "tab" });
    let (status, body) = node.call(Method::POST, "/v1/heartbeats", Value::from(beats)).await;
    assert_eq!(status, 200);
    let surplus = 98 - u64::from(SESSION_BURST);
    assert_eq!((&body["accepted"], &body["coalesced"]), (&json!(99), &json!(surplus)), "{body}");
    let rejected = body["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), &rejected[0]["index"]), (1, &json!(50)));
    assert_eq!(
        (beats_logged(&node).await, coalesced(&node, "batch").await),
        (99 - surplus, surplus)
    );
    let (_, body) =
        node.call(Method::POST, "/v1/heartbeats", json!([{ "stage": "s", "viewer": "bob" }])).await;
    assert_eq!(body, json!({ "accepted": 1, "rejected": [] }), "`coalesced` is absent if it is 0");
}

/// `housecount load` at an interval that is beyond the limit.
#[timed_test(flavor = "multi_thread")]
async fn load_counts_them_apart() {
    for transport in [Transport::Http, Transport::Batch, Transport::Ws] {
        let node = Node::ready(&ONE).await;
        let shape = AudienceConfig {
            viewers: 20,
            stages: 2,
            interval_ms: 100,
            stay_ms: 600_000,
            gap_ms: 0,
            ramp_ms: 100,
            prefix: "load-".to_string(),
            seed: 41,
        };
        let nodes = vec![Client::new(&node.address).unwrap()];
        let (duration, agree_within) = (Duration::from_secs(3), Duration::from_secs(5));
        let plan = LoadPlan { nodes, shape, duration, transport, tokens: None, agree_within };
        let report = load::run(plan, |_, _| ()).await.unwrap();
        assert_eq!(
            (report.failed, report.acknowledged + report.coalesced),
            (0, report.sent),
            "{report:#?}"
        );
        assert!(report.coalesced > 0 && report.is_good(), "{report:#?}");
        assert_eq!(beats_logged(&node).await, report.acknowledged, "{transport:?}");
    }
}

async fn inside(settings: &[(&str, &str)]) -> Inside {
    Inside::ready(FaultyLog::default(), settings).await
}

/// Forty beats at once. Admitted beats wait for their append, and so do the beats that rely on
/// them.
#[timed_test(flavor = "multi_thread")]
async fn they_wait_for_the_beat_that_they_rely_on() {
    for ack in ["log", "memory"] {
        let inside = inside(&[("linger", "1s"), ("ack", ack)]).await;
        let client = inside.client();
        let answers = join_all((0..40).map(|_| async {
            let answer =
                client.call(Method::POST, "/v1/heartbeat", ann().to_string()).await.unwrap();
            let is_logged = inside.log.appended.load(Ordering::SeqCst) > 0;
            assert!(is_logged || ack == "memory", "the node answered before the log had the beat");
            answer
        }));
        let answers = answers.await;
        let bodies = answers.iter().map(|(status, body)| {
            assert_eq!(*status, 200, "{}", String::from_utf8_lossy(body));
            serde_json::from_slice::<Value>(body).unwrap()
        });
        let logged = bodies.filter(|body| body.get("coalesced").is_none()).count();
        assert!((SESSION_BURST as usize..40).contains(&logged), "{logged}");
        let line =
            format!("housecount_coalesced_beats_total{{transport=\"http\"}} {}", 40 - logged);
        assert!(inside.metric(&line), "{line}");
    }
}

/// The log refuses events, which shows only in the logged beats of others. A coalesced beat is then
/// answered like a logged one.
#[timed_test(flavor = "multi_thread")]
async fn they_are_not_answered_while_the_log_refuses_events() {
    for ack in ["log", "memory"] {
        let inside = inside(&[("ack", ack)]).await;
        let client = inside.client();
        let post = async |body: Value| {
            let (status, body) =
                client.call(Method::POST, "/v1/heartbeat", body.to_string()).await.unwrap();
            (status, serde_json::from_slice::<Value>(&body).unwrap())
        };
        for _ in 0..3 * SESSION_BURST {
            assert_eq!(post(ann()).await.0, 200);
        }
        inside.log.append_denied.store(true, Ordering::SeqCst);
        let writes = inside.node.engine.hub.writes();
        eventually("an append was refused", async || writes.is_refused()).await;
        let answers = join_all((0..20).map(|_| post(ann()))).await;
        for (status, body) in answers {
            assert_eq!((status, &body["code"]), (503, &json!("log_unavailable")));
        }
        inside.log.append_denied.store(false, Ordering::SeqCst);
        eventually("the log accepts events", async || post(ann()).await.0 == 200).await;
    }
}

/// A hanging append is known to be late only after seconds. A beat that relies on it waits as long.
#[timed_test(flavor = "multi_thread")]
async fn ack_timeout_ms_is_how_long_they_wait_for_a_log_that_hangs() {
    let inside = inside(&[]).await;
    let client = inside.client();
    inside.log.append_hangs.store(true, Ordering::SeqCst);
    let answers = (0..20).map(|_| client.call(Method::POST, "/v1/heartbeat", ann().to_string()));
    for answer in join_all(answers).await {
        let (status, body) = answer.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["code"]), (503, &json!("log_unavailable")));
    }
    assert!(inside.metric("housecount_coalesced_beats_total{transport=\"http\"} 0"));
}

/// Another node took the leave. This node's table of limits doesn't know it, but its fold does.
#[timed_test(flavor = "multi_thread")]
async fn a_leave_that_another_node_took_has_the_last_word() {
    let inside = inside(&[("limits.session_beats", "1"), ("linger", "0s")]).await;
    let client = inside.client();
    let mut post = JoinSet::new();
    let beat = |client: Client| async move {
        client.call(Method::POST, "/v1/heartbeat", ann().to_string()).await.unwrap()
    };
    // Each beat comes after a leave of all, which is read from the log. The loop ends when a beat
    // is beyond the limit.
    let mut refused = Vec::new();
    eventually("a beat is refused", async || {
        post.spawn(beat(client.clone()));
        let (status, body) = post.join_next().await.unwrap().unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body.get("coalesced").is_none(), "{body}");
        let at = inside.node.engine.clock.now().unwrap().plus(1);
        let leave = EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Leave,
            ids: Ids { stage: "s", viewer: "ann", session: "" },
        };
        inside.node.engine.hub.apply([leave]);
        if status == 429 {
            refused.push(body["code"].clone());
        }
        !refused.is_empty()
    })
    .await;
    assert_eq!(refused, ["too_many_beats"]);
}
