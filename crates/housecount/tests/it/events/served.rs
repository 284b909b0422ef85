//! Events by `GET /v1/events`: pages, filters, errors, and nodes that take turns.

use housecount_test::timed_test;
use hyper::Method;
use serde_json::Value;

use super::{QUICK, brief, events, leave, until};
use crate::support::dynamo::Dynamo;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

#[timed_test(flavor = "multi_thread")]
async fn a_stage_opens_crosses_numbers_and_empties() {
    let node = Node::ready(&QUICK).await;
    node.beat_many("s", 0, 4).await;
    until(&node, "stage.opened", "s").await;
    for viewer in 0..4 {
        leave(&node, "s", &format!("viewer-{viewer}")).await;
    }
    until(&node, "stage.emptied", "s").await;
    node.beat("t", "ann").await;
    until(&node, "stage.opened", "t").await;
    let all = events(&node, "").await;
    let lines: Vec<String> = all.iter().map(brief).collect();
    assert_eq!(
        lines[..7],
        [
            "stage.opened s 4",
            "stage.threshold s 4 2 up",
            "stage.threshold s 4 4 up",
            "stage.drop s 0",
            "stage.threshold s 0 4 down",
            "stage.threshold s 0 2 down",
            "stage.emptied s 0",
        ]
    );
    assert_eq!(lines[7], "stage.opened t 1");
    for (number, event) in (1..).zip(&all) {
        assert_eq!(event["seq"], number);
        assert_eq!(event["id"], format!("evt_{}_{number}", event["at"]));
        assert_eq!((&event["asOf"], &event["complete"]), (&event["at"], &Value::Bool(true)));
    }
    assert_eq!((&all[3]["peakViewers"], &all[3]["sessions"]), (&Value::from(4), &Value::from(0)));
    let of_t: Vec<String> = events(&node, "&stage=t").await.iter().map(brief).collect();
    assert_eq!(of_t[0], "stage.opened t 1");
    assert_eq!(events(&node, "&type=stage.drop").await.len(), 1);
    assert!(node.metric("housecount_stage_events_total{kind=\"stage.threshold\"}").await >= 4.0);
    assert_eq!(node.metric("housecount_event_writer").await, 1.0);
    let latest = node.get("/v1/events?after=latest").await;
    assert_eq!(
        (&latest["events"], &latest["atEnd"]),
        (&Value::from(Vec::<Value>::new()), &true.into())
    );
}

#[timed_test(flavor = "multi_thread")]
async fn wrong_queries_are_named() {
    let node = Node::ready(&QUICK).await;
    node.beat("s", "ann").await;
    until(&node, "stage.opened", "s").await;
    for (query, named) in [
        ("type=stage.full", "type=stage.full is not a type of events; they are stage.opened"),
        ("after=yesterday", "after=yesterday is not a `next`"),
        ("after=1000000", "beyond the last event"),
        ("limit=1001", "limit=1001"),
        ("kind=stage.opened", "`kind`"),
    ] {
        let path = format!("/v1/events?{query}");
        let (status, body) = node.call(Method::GET, &path, Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &"invalid_query".into()), "{query}");
        assert!(body["detail"].as_str().unwrap().contains(named), "{query}: {body}");
    }
    assert_eq!(node.call(Method::GET, "/v1/events?stage=a%20b", Value::Null).await.0, 400);
}

#[timed_test(flavor = "multi_thread")]
async fn a_node_without_events_says_so() {
    let code = async |settings: &[&str], path: &str| {
        let (status, body) = Node::ready(settings).await.call(Method::GET, path, Value::Null).await;
        (status, body["code"].as_str().unwrap().to_string())
    };
    for path in ["/v1/events", "/v1/webhooks"] {
        assert_eq!(code(&[], path).await, (501, "events_off".to_string()));
        assert_eq!(code(&["cold=none"], path).await, (501, "no_cold_tier".to_string()));
    }
}

/// The node that writes is stopped in order, and the other one goes on with the same events.
#[timed_test(flavor = "multi_thread")]
async fn two_nodes_write_one_chain_in_a_table() {
    let (redis, dynamo) = (Server::start(Flavour::Redis, &[]).await, Dynamo::start().await);
    dynamo.make_table("events");
    let (log, cold) = (format!("log={}", redis.url()), format!("cold={}", dynamo.url("events")));
    let mut settings = QUICK.to_vec();
    settings.extend([&*log, &*cold, "events_drop=0"]);
    let mut nodes = [Node::ready(&settings).await, Node::ready(&settings).await];
    nodes[0].beat_many("a", 0, 2).await;
    until(&nodes[1], "stage.opened", "a").await;
    until(&nodes[1], "stage.emptied", "a").await;
    let mut writers = Vec::new();
    for node in &nodes {
        writers.push(node.metric("housecount_event_writer").await);
    }
    let writer = writers.iter().position(|is_writer| *is_writer == 1.0).unwrap();
    assert_eq!(writers.iter().sum::<f64>(), 1.0);
    nodes[writer].stop();
    let other = &nodes[1 - writer];
    // Meanwhile no node writes.
    other.beat_many("b", 0, 4).await;
    until(other, "stage.emptied", "b").await;
    assert_eq!(other.metric("housecount_event_writer").await, 1.0);
    let all = events(other, "").await;
    let lines: Vec<String> = all.iter().map(brief).collect();
    assert_eq!(
        lines,
        [
            "stage.opened a 2",
            "stage.threshold a 2 2 up",
            "stage.threshold a 0 2 down",
            "stage.emptied a 0",
            "stage.opened b 4",
            "stage.threshold b 4 2 up",
            "stage.threshold b 4 4 up",
            "stage.threshold b 0 4 down",
            "stage.threshold b 0 2 down",
            "stage.emptied b 0",
        ]
    );
}
