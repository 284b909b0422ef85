//! An entry that isn't exactly housecount's is counted, named and skipped by every reader.

use std::sync::Arc;

use bytes::Bytes;
use housecount_backend::log::{Log, Position};
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use crate::support::eventually;
use crate::support::node::Node;
use crate::support::redis::{Cluster, Flavour, Server};

const STREAM: &str = "hc:{0}:log";
const META: &str = "hc:{0}:meta";
const CORRUPT: &str = "housecount_records_corrupt_total";

/// Entries in every shape that isn't housecount's.
const ODD: [&str; 6] = ["a 1 b 2", "a 1", "R x", "r x", "r x r y", "r  x  b 2"];

/// Opens a store's folder again in the process that has just closed it. A child of another test may
/// hold a copy of the folder's lock until it starts its own program.
async fn reopen(target: &LogTarget) -> Arc<dyn Log> {
    let mut log = None;
    eventually("the folder is free", async || {
        log = target.open("").await.ok();
        log.is_some()
    })
    .await;
    log.unwrap()
}

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

/// More odd entries than one read takes, with nothing after them.
#[timed_test(flavor = "multi_thread")]
async fn pages_of_odd_entries_are_passed_over() {
    let redis = Server::start(Flavour::Valkey, &[]).await;
    let log = log_at(&redis.url(), "hc:").await;
    for _ in 0..READ_RECORDS_MAX * 2 + 1 {
        redis.command(&format!("XADD {STREAM} * a 1 b 2"));
    }
    let position = log.append(0, Bytes::from_static(b"ours")).await.unwrap();
    let (mut after, mut read) = (Position::START, Vec::new());
    loop {
        let tail = log.read_once(0, after).await.unwrap();
        after = tail.records.last().map_or(after, |(last, _)| *last);
        read.extend(tail.records);
        if !tail.more {
            break;
        }
    }
    assert_eq!(read.len(), READ_RECORDS_MAX * 2 + 2);
    assert_eq!(read.pop(), Some((position, Bytes::from_static(b"ours"))));
    assert!(read.iter().all(|(_, body)| body.is_empty()));
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

/// A node may not delete another program's key. The error names the key, and once the key is gone
/// the log begins again.
#[timed_test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_named_and_nothing_more() {
    let redis = Server::start(Flavour::Redis, &[]).await;
    let log = log_at(&redis.url(), "hc:").await;
    for key in [STREAM, META] {
        log.append(0, Bytes::from_static(b"before")).await.unwrap();
        log.read_once(0, Position::START).await.unwrap();
        assert_eq!(redis.command(&format!("SET {key} theirs")), "+OK");
        let error = log.read_once(0, Position::START).await.unwrap_err();
        assert!(
            error.is_temporary() && error.to_string().contains("under `hc:` is of another type"),
            "{error}"
        );
        assert_eq!(redis.command(&format!("GET {key}")), "theirs");
        redis.command(&format!("DEL {key}"));
        log.append(0, Bytes::from_static(b"after")).await.unwrap();
        log.read_once(0, Position::START).await.unwrap();
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_cluster_passes_odd_entries_over_too() {
    let cluster = Cluster::start().await;
    let log = log_at(&format!("{}?partitions=1", cluster.url()), "hc:").await;
    let first = log.append(0, Bytes::from_static(b"ours")).await.unwrap();
    // The master that has the slot takes the entry; the others answer where the slot is.
    let odd = ["a 1 b 2", "a 1"].map(|odd| {
        let ids =
            cluster.masters.iter().map(|master| master.command(&format!("XADD {STREAM} * {odd}")));
        ids.filter(|id| id.contains('-') && !id.starts_with("-MOVED")).count()
    });
    assert_eq!(odd, [1, 1]);
    let tail = log.read_once(0, Position::START).await.unwrap();
    let bodies: Vec<&[u8]> = tail.records.iter().map(|(_, body)| &body[..]).collect();
    assert_eq!((tail.records[0].0, bodies), (first, vec![&b"ours"[..], b"", b""]));
}

/// SQLite stores values of any type.
#[timed_test(flavor = "multi_thread")]
async fn odd_rows_stop_no_file_log() {
    let folder = tempfile::tempdir().unwrap();
    let target = LogTarget::File(folder.path().join("log"));
    let mut log = target.open("").await.unwrap();
    let first = log.append(0, Bytes::from_static(b"one")).await.unwrap();
    let sql = |statement: &str| {
        let database = rusqlite::Connection::open(folder.path().join("log/log.sqlite")).unwrap();
        database.execute_batch(statement).unwrap();
    };
    let at = first.at.0 + 1;
    sql(&format!(
        "INSERT INTO record VALUES ({at}, 0, 'text'), ({at}, 1, 5), ({at}, 2, x'00'), ('x', 0, x'00'), ({at}, 'x', x'00')"
    ));
    // The log never appends in a millisecond that has foreign rows.
    eventually("the log's clock has passed the rows", async || {
        log.read_once(0, Position::START).await.unwrap().clock > UnixMs(at)
    })
    .await;
    for round in 0..2 {
        let tail = log.read_once(0, Position::START).await.unwrap();
        let bodies: Vec<&[u8]> = tail.records.iter().take(4).map(|(_, body)| &body[..]).collect();
        assert_eq!(bodies, [&b"one"[..], b"", b"", &[0][..]]);
        assert_eq!(tail.records.len(), 4 + round);
        let next = log.append(0, Bytes::from_static(b"two")).await.unwrap();
        assert_eq!(
            log.read_once(0, Position::START).await.unwrap().records.last().unwrap().0,
            next
        );
        drop(log);
        log = reopen(&target).await;
    }
    // An origin that holds no numbers, or is gone. The required fields are created again.
    let past =
        async |log: &Arc<dyn Log>| log.read(0, Position::START, HandleKey(7)).await.unwrap().origin;
    let born = past(&log).await.created_at;
    sql("UPDATE origin SET whole = 'x', attended = 'x', committed = 'x', key = 'x'");
    let origin = past(&log).await;
    assert_eq!(
        (origin.created_at, origin.is_complete, origin.last_tended_at),
        (born, false, UnixMs::ZERO)
    );
    assert_eq!(origin.key, HandleKey(7));
    log.maintain(0, UnixMs::ZERO, UnixMs(5)).await.unwrap();
    log.note_committed(0, UnixMs(6)).await.unwrap();
    let origin = past(&log).await;
    assert_eq!((origin.last_tended_at, origin.committed), (UnixMs(5), UnixMs(6)));
    for statement in ["UPDATE origin SET born = 'x'", "DELETE FROM origin"] {
        sql(statement);
        let origin = past(&log).await;
        assert!(origin.created_at >= born && !origin.is_complete, "{origin:?}");
        assert_eq!(past(&log).await, origin);
    }
}
