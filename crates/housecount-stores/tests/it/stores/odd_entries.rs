//! An entry that isn't exactly housecount's is skipped by a log, and so is a key or a row.

use std::sync::Arc;

use bytes::Bytes;
use housecount_backend::log::{Log, Position};
use housecount_core::fold::HandleKey;
use housecount_core::limits::READ_RECORDS_MAX;
use housecount_core::time::UnixMs;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use crate::support::eventually;
use crate::support::redis::{Cluster, Flavour, Server};

const STREAM: &str = "hc:{0}:log";
const META: &str = "hc:{0}:meta";

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
