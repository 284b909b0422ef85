//! An entry that isn't exactly housecount's is counted, named and skipped by every node.

use std::sync::Arc;

use housecount_backend::log::Log;
use housecount_core::time::UnixMs;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Flavour, Server};

const STREAM: &str = "hc:{0}:log";
const META: &str = "hc:{0}:meta";
const CORRUPT: &str = "housecount_records_corrupt_total";

/// Entries in every shape that isn't housecount's.
const ODD: [&str; 6] = ["a 1 b 2", "a 1", "R x", "r x", "r x r y", "r  x  b 2"];

async fn log_at(url: &str, prefix: &str) -> Arc<dyn Log> {
    LogTarget::parse(url).unwrap().open(prefix).await.unwrap()
}

#[timed_test(flavor = "multi_thread")]
async fn odd_entries_stop_no_node_and_no_restart() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let lines = tempfile::NamedTempFile::new().unwrap();
    let first = Node::start_logging(lines.reopen().unwrap(), &[&log, "cold=none"]);
    first.until_ready().await;
    let mut other = Node::ready(&[&log, "cold=none"]).await;
    first.beat("s", "ann").await;
    let ids: Vec<String> = ODD.map(|odd| redis.command(&format!("XADD {STREAM} * {odd}"))).into();
    assert!(ids.iter().all(|id| id.contains('-')), "{ids:?}");
    for node in [&first, &other] {
        eventually("the entries are counted as corrupt", async || {
            node.metric(CORRUPT).await == ODD.len() as f64
        })
        .await;
    }
    first.beat("s", "bob").await;
    eventually("the node reads the records after them", async || other.viewers("s").await == 2)
        .await;
    other.kill();
    other.restart();
    other.until_ready().await;
    assert_eq!((other.viewers("s").await, other.metric(CORRUPT).await), (2, ODD.len() as f64));
    let printed = std::fs::read_to_string(lines.path()).unwrap();
    for id in ids {
        assert_eq!(
            printed.lines().filter(|line| line.contains(&id)).count(),
            1,
            "{id} is named once in {printed}"
        );
    }
}

#[timed_test(flavor = "multi_thread")]
async fn odd_entries_stop_no_archive() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let node =
        Node::ready(&[&log, "archive=items", "archive_flush=1s", "interval=300ms", "ttl=1s"]).await;
    node.beat("s", "ann").await;
    for odd in ODD {
        redis.command(&format!("XADD {STREAM} * {odd}"));
    }
    node.beat("s", "bob").await;
    eventually("both viewers are archived", async || {
        node.metric("housecount_archive_items_total").await == 2.0
    })
    .await;
    assert_eq!(node.metric("housecount_archive_failures_total").await, 0.0);
}

/// Fields of the log's origin that hold no numbers. Required ones are created again, and the others
/// are overwritten.
#[timed_test(flavor = "multi_thread")]
async fn an_odd_past_stops_no_node_and_no_restart() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = format!("log={}", redis.url());
    let settings = [log.as_str(), "interval=300ms", "ttl=60s"];
    let mut node = Node::ready(&settings).await;
    node.beat("s", "ann").await;
    let field = |name: &str| redis.command(&format!("HGET {META} {name}")).parse::<u64>().ok();
    for (viewers, odd) in (2..).zip(["x", "-1", "1e999", "99999999999999999999999"]) {
        // All fields at once, since a partition that begins again is called whole only once.
        let fields = ["born", "whole", "attended", "partitions", "committed", "key"]
            .map(|name| format!("{name} {odd}"));
        redis.command(&format!("HSET {META} {}", fields.join(" ")));
        node.beat("s", &format!("viewer-{viewers}")).await;
        eventually("all viewers are counted", async || {
            let stats = node.stats().await;
            stats["viewers"] == viewers && stats["complete"] == true
        })
        .await;
        eventually("the metadata is valid again", async || {
            field("born").is_some_and(|born| born > 1_700_000_000_000)
                && field("attended").is_some_and(|at| at > 1_700_000_000_000)
                && field("partitions") == Some(1)
                && field("whole") == Some(1)
                && field("key").is_some_and(|key| key > 0)
        })
        .await;
        node.kill();
        node.restart();
        node.until_ready().await;
        assert_eq!(node.viewers("s").await, viewers, "after {odd}");
    }
    let log = log_at(&redis.url(), "hc:").await;
    redis.command(&format!("HSET {META} committed nan"));
    log.note_committed(0, UnixMs(1_790_000_000_000)).await.unwrap();
    assert_eq!(field("committed"), Some(1_790_000_000_000));
}

/// After an entry with an id far ahead of Redis's clock, every append would get such an id. Time
/// would jump there.
#[timed_test(flavor = "multi_thread")]
async fn an_odd_entry_of_the_far_future_moves_no_reader_there() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let redis = Server::start(flavour, &[]).await;
        let log = format!("log={}", redis.url());
        let nodes = [Node::ready(&[&log]).await, Node::ready(&[&log]).await];
        nodes[0].beat("s", "ann").await;
        for (viewers, id) in
            [(3, "9999999999999-0"), (5, "18446744073709551615-18446744073709551615")]
        {
            assert!(
                redis
                    .command(&format!("XADD {STREAM} {id} a 1"))
                    .contains(id.split_once('-').unwrap().0)
            );
            nodes[0].beat("s", &format!("viewer-{viewers}")).await;
            nodes[1].beat("s", &format!("other-{viewers}")).await;
            for node in &nodes {
                eventually("both nodes have all viewers", async || {
                    let stats = node.stats().await;
                    stats["viewers"] == viewers && stats["complete"] == true
                })
                .await;
                let as_of = node.stats().await["asOf"].as_u64().unwrap();
                assert!(as_of < 4_000_000_000_000, "{as_of} is after the year 2096");
            }
        }
        let third = Node::ready(&[&log]).await;
        assert_eq!(third.viewers("s").await, 5);
    }
}

/// The same entry, deleted before a node could read it. The stream still continues after its id.
#[timed_test(flavor = "multi_thread")]
async fn a_deleted_entry_of_the_far_future_moves_no_reader_there() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let redis = Server::start(flavour, &[]).await;
        let log = format!("log={}", redis.url());
        let nodes = [Node::ready(&[&log]).await, Node::ready(&[&log]).await];
        nodes[0].beat("s", "ann").await;
        for (viewers, id) in
            [(3, "9999999999999-0"), (5, "18446744073709551615-18446744073709551615")]
        {
            let both = format!("MULTI\r\nXADD {STREAM} {id} a 1\r\nXDEL {STREAM} {id}\r\nEXEC");
            assert_eq!(redis.command(&both), "+OK");
            let last = async || {
                let printed =
                    crate::support::redis::list(redis.port, &format!("XINFO STREAM {STREAM}"))
                        .unwrap();
                let place = printed.iter().position(|word| word == "last-generated-id").unwrap();
                printed[place + 1].clone()
            };
            eventually("the stream's last id is the deleted one", async || {
                last().await.starts_with(&id[..8])
            })
            .await;
            for (node, name) in nodes.iter().zip(["viewer", "other"]) {
                let body =
                    serde_json::json!({ "stage": "s", "viewer": format!("{name}-{viewers}") });
                // Appends are refused until the stream has free ids again.
                eventually("the beat is accepted", async || {
                    node.call(hyper::Method::POST, "/v1/heartbeat", body.clone()).await.0 == 200
                })
                .await;
            }
            for node in &nodes {
                eventually("both nodes have all viewers", async || {
                    let stats = node.stats().await;
                    stats["viewers"] == viewers && stats["complete"] == true
                })
                .await;
                let as_of = node.stats().await["asOf"].as_u64().unwrap();
                assert!(as_of < 4_000_000_000_000, "{as_of} is after the year 2096");
            }
            assert!(!last().await.starts_with(&id[..8]), "appends have current ids again");
        }
    }
}
