//! Live counts as subscribers receive them: `GET /v1/live`.

use std::collections::BTreeMap;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::sse::{Event, Events};

const QUICK: [&str; 4] = ["log=memory:", "cold=none", "leave_grace=50ms", "linger=1ms"];

async fn leave(node: &Node, stage: &str, viewer: &str) {
    let body = json!({ "stage": stage, "viewer": viewer });
    assert_eq!(node.call(Method::POST, "/v1/leave", body).await.0, 204);
}

fn viewers(event: &Event) -> u64 {
    event.data["viewers"].as_u64().unwrap()
}

/// A subscriber that asks for viewers only gets no event for another tab of the same viewer.
#[timed_test(flavor = "multi_thread")]
async fn a_subscriber_may_ask_for_viewers_only() {
    let node = Node::ready(&QUICK).await;
    let tab = async |viewer: &str, session: &str| {
        let body = json!({ "stage": "s", "viewer": viewer, "session": session });
        assert_eq!(node.call(Method::POST, "/v1/heartbeat", body).await.0, 200);
    };
    tab("ann", "a").await;
    let live = "/v1/live?stage=s&every=1s&fields=viewers";
    let mut events = Events::open(&node.address, live, None).await;
    let first = events.next().await.unwrap();
    let [sessions, stage] = ["sessions", "stage"].map(|name| first.data.get(name));
    assert_eq!((viewers(&first), sessions, stage), (1, None, None), "the call names the stage");
    assert_eq!(first.data["complete"], false, "within one ttl of the log's start");
    let mut full = Events::open(&node.address, "/v1/live?stage=s", None).await;
    full.next().await.unwrap();
    tab("ann", "b").await;
    assert_eq!(full.next().await.unwrap().data["sessions"], 2);
    tab("bob", "c").await;
    assert_eq!(viewers(&events.next().await.unwrap()), 2, "no event for the sessions alone");
    let all = Events::open(&node.address, "/v1/live?fields=viewers", None).await.next().await;
    let all = all.unwrap().data;
    assert_eq!((&all["stage"], all.get("sessions")), (&json!("s"), None));
}

#[timed_test(flavor = "multi_thread")]
async fn a_stage_is_sent_at_once_and_when_it_changes() {
    let node = Node::ready(&QUICK).await;
    let mut events = Events::open(&node.address, "/v1/live?stage=s%2F1&token=unused", None).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["cache-control"], "no-store");
    let first = events.next().await.unwrap();
    assert_eq!(
        (first.name.as_str(), viewers(&first)),
        ("count", 0),
        "an unwatched stage has the count 0"
    );
    let fields: Vec<&str> = first.data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["asOf", "complete", "recovering", "sessions", "stage", "viewers"]);
    assert_eq!(first.data["stage"], "s/1");
    node.beat("s/1", "ann").await;
    node.beat("another", "bob").await;
    let joined = events.next().await.unwrap();
    assert_eq!(
        (viewers(&joined), joined.data["stage"].as_str()),
        (1, Some("s/1")),
        "a subscriber gets its own stage only"
    );
    let stats = node.stats().await;
    for status in ["complete", "recovering"] {
        assert_eq!(joined.data[status], stats[status]);
    }
    assert_ne!(joined.id, first.id);
    leave(&node, "s/1", "ann").await;
    assert_eq!(viewers(&events.next().await.unwrap()), 0);
    assert!(node.metric("housecount_subscribers ").await >= 1.0);
    drop(events);
    eventually("the subscription ends", async || {
        node.metric("housecount_subscribers ").await == 0.0
    })
    .await;
}

#[timed_test(flavor = "multi_thread")]
async fn all_stages_are_sent_and_their_totals() {
    let node = Node::ready(&QUICK).await;
    for (stage, viewer) in [("a", "ann"), ("b", "bob"), ("b", "ann")] {
        node.beat(stage, viewer).await;
    }
    let mut events = Events::open(&node.address, "/v1/live?totals=true", None).await;
    let mut received: BTreeMap<String, u64> = BTreeMap::new();
    let mut totals = Value::Null;
    while received.len() < 2 || totals.is_null() {
        let event = events.next().await.unwrap();
        match event.name.as_str() {
            "count" => {
                received.insert(event.data["stage"].as_str().unwrap().into(), viewers(&event));
            }
            _ => totals = event.data,
        }
    }
    assert_eq!(received, [("a".to_string(), 1), ("b".to_string(), 2)].into());
    assert_eq!(
        (&totals["viewers"], &totals["sessions"], &totals["stages"]),
        (&json!(2), &json!(3), &json!(2))
    );
    // Subscribers also learn of a stage whose last viewer leaves, and of a new stage.
    leave(&node, "a", "ann").await;
    node.beat("c", "cleo").await;
    let is_it =
        |event: &Event, stage: &str, count| event.data["stage"] == stage && viewers(event) == count;
    let (mut is_empty, mut is_new, mut is_summed) = (false, false, false);
    while !(is_empty && is_new && is_summed) {
        let event = events.next().await.unwrap();
        is_empty |= is_it(&event, "a", 0);
        is_new |= is_it(&event, "c", 1);
        is_summed |= event.name == "totals" && viewers(&event) == 3;
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_returning_subscriber_gets_what_has_changed_since() {
    let node = Node::ready(&QUICK).await;
    for stage in ["a", "b", "c"] {
        node.beat(stage, "ann").await;
    }
    let mut events = Events::open(&node.address, "/v1/live", None).await;
    let mut last = String::new();
    for _ in 0..3 {
        last = events.next().await.unwrap().id;
    }
    drop(events);
    node.beat("b", "bob").await;
    let mut events = Events::open(&node.address, "/v1/live", Some(&last)).await;
    let event = events.next().await.unwrap();
    assert_eq!(
        (event.data["stage"].as_str(), viewers(&event)),
        (Some("b"), 2),
        "only changed stages are sent"
    );
    // One stage, in the same way.
    let mut events = Events::open(&node.address, "/v1/live?stage=a", Some(&event.id)).await;
    node.beat("a", "bob").await;
    assert_eq!(viewers(&events.next().await.unwrap()), 2);
    // An id of another node, or a text that is not an id.
    for stranger in ["00000000-1", "nonsense", ""] {
        let mut events = Events::open(&node.address, "/v1/live?stage=a", Some(stranger)).await;
        assert_eq!(events.next().await.unwrap().name, "reset");
        assert_eq!(viewers(&events.next().await.unwrap()), 2);
    }
}

/// A young log is not known to be whole until a ttl is over. Then this change alone is sent as an
/// event.
#[timed_test(flavor = "multi_thread")]
async fn a_change_of_completeness_is_sent_by_itself() {
    let node = Node::ready(&["log=memory:", "cold=none", "ttl=3s", "interval=1s"]).await;
    let mut events = Events::open(&node.address, "/v1/live?stage=s", None).await;
    let first = events.next().await.unwrap();
    assert_eq!((viewers(&first), &first.data["complete"]), (0, &json!(false)));
    let whole = events.next().await.unwrap();
    assert_eq!((viewers(&whole), &whole.data["complete"]), (0, &json!(true)));
}

#[timed_test(flavor = "multi_thread")]
async fn a_stopping_node_ends_its_streams() {
    let mut node = Node::ready(&QUICK).await;
    let mut one = Events::open(&node.address, "/v1/live?stage=s", None).await;
    let mut all = Events::open(&node.address, "/v1/live", None).await;
    assert_eq!(viewers(&one.next().await.unwrap()), 0);
    let stopped = tokio::task::spawn_blocking(move || node.stop());
    assert_eq!(one.next().await, None);
    while all.next().await.is_some() {}
    assert!(stopped.await.unwrap().success());
}

#[timed_test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    let node = Node::ready(&QUICK).await;
    let many = (0..101).map(|n| format!("stage=s{n}")).collect::<Vec<_>>().join("&");
    for query in ["stage=", "stage=a%20b", many.as_str()] {
        let (status, body) =
            node.call(Method::GET, &format!("/v1/live?{query}"), Value::Null).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
}

/// Measures the figures of docs/PROOFS.md: many subscribers, and the time until they see a viewer
/// who joins.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure: takes a minute"]
async fn figures() {
    for (subscribers, crowd) in [(1_000, 10_000), (10_000, 10_000)] {
        let node = Node::ready(&["log=memory:", "cold=none"]).await;
        for from in (0..crowd).step_by(1_000) {
            node.beat_many("s", from, 1_000).await;
        }
        let before = node.own_bytes();
        let mut readers = Vec::new();
        for _ in 0..subscribers {
            readers.push(Events::open(&node.address, "/v1/live?stage=s", None).await);
        }
        for reader in &mut readers {
            assert!(viewers(&reader.next().await.unwrap()) > 0);
        }
        let each = (node.own_bytes() - before) / subscribers as u64;
        let (sender, mut tells) = tokio::sync::mpsc::unbounded_channel();
        for mut reader in readers {
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(event) = reader.next().await {
                    let _ = sender.send((viewers(&event), mono_ms()));
                }
            });
        }
        // Two viewers join per second, so for every other one the stage has just been sent.
        let mut waits_ms = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(537));
        for n in 0..20 {
            ticks.tick().await;
            let joined = mono_ms();
            node.beat("s", &format!("late-{n}")).await;
            let shown = crowd as u64 + n + 1;
            let mut seen = 0;
            while seen < subscribers {
                let (count, at) = tells.recv().await.unwrap();
                if count >= shown {
                    seen += 1;
                    waits_ms.push(at.saturating_sub(joined));
                }
            }
        }
        waits_ms.sort_unstable();
        let at = |part: f64| waits_ms[((waits_ms.len() - 1) as f64 * part) as usize];
        println!(
            "{subscribers} subscribers of one stage, {crowd} viewers: join to count p50 {} ms, p99 {} ms, at most {} ms; {each} bytes a subscriber",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

/// A stream ends when its client closes the sending side, and no longer counts for its address.
/// Before, the node noticed this only by the comment after 15 s.
#[timed_test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_client_closes_and_makes_room_for_another() {
    // The node's own client in this test has one connection.
    let node = Node::ready(&["log=memory:", "cold=none", "limits.address_connections=2"]).await;
    for _ in 0..3 {
        let mut client =
            TcpStream::connect(node.address.trim_start_matches("http://")).await.unwrap();
        client
            .write_all(b"GET /v1/live?stage=s HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut received = Vec::new();
        while !received.windows(12).any(|part| part == b"event: count") {
            assert!(
                client.read_buf(&mut received).await.unwrap() > 0,
                "{}",
                String::from_utf8_lossy(&received)
            );
        }
        client.shutdown().await.unwrap();
        // Either the end of the connection or its reset.
        let _ = client.read_to_end(&mut received).await;
        assert!(!String::from_utf8_lossy(&received).contains("still here"));
        eventually("the subscription ends", async || {
            node.metric("housecount_subscribers ").await == 0.0
        })
        .await;
        // The connection ends a moment after its stream.
        eventually("only this test's own connection is left", async || {
            node.metric("housecount_connections ").await == 1.0
        })
        .await;
    }
}
