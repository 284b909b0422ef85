//! Redis over its `maxmemory`. Reads, trims and the committed position still work; appends and the
//! `attended` time are refused.

use std::sync::Arc;

use bytes::Bytes;
use housecount_backend::log::{Log, Position};
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;
use housecount_stores::log::LogTarget;
use housecount_test::timed_test;

use crate::support::redis::{Cluster, Flavour, Server};

async fn log_at(url: &str) -> Arc<dyn Log> {
    LogTarget::parse(url).unwrap().open("hc:").await.unwrap()
}

async fn a_full_log_is_read_and_trimmed(url: &str, set: impl Fn(&str)) {
    let log = log_at(url).await;
    let born = log.read(0, Position::START, HandleKey(7)).await.unwrap().origin.created_at;
    let mut positions = Vec::new();
    // More than the hundred entries in one node of a stream, since only whole nodes are trimmed.
    for _ in 0..300 {
        positions.push(log.append(0, Bytes::from_static(b"ours")).await.unwrap());
    }
    let last = positions[299];
    log.maintain(0, UnixMs::ZERO, UnixMs(5)).await.unwrap();
    set("1");
    let error = log.append(0, Bytes::from_static(b"refused")).await.unwrap_err().to_string();
    assert!(error.contains("OOM") && error.contains("appending to the log redis"), "{error}");
    let tail = log.read(0, positions[298], HandleKey(7)).await.unwrap();
    assert_eq!(tail.records, [(last, Bytes::from_static(b"ours"))]);
    assert!(tail.start_exists && tail.clock >= last.at);
    assert_eq!(
        (tail.origin.created_at, tail.origin.last_tended_at, tail.origin.key),
        (born, UnixMs(5), HandleKey(7))
    );
    // A node with nothing to append learns of it too, and old records are trimmed.
    let error = log.maintain(0, last.at, UnixMs(9)).await.unwrap_err().to_string();
    assert!(error.contains("OOM") && error.contains("updating the log redis"), "{error}");
    let left = log.read(0, Position::START, HandleKey(7)).await.unwrap();
    assert!(left.records.first().unwrap().0 > positions[99], "the log was not trimmed");
    log.note_committed(0, UnixMs(8)).await.unwrap();
    let origin = log.read(0, last, HandleKey(7)).await.unwrap().origin;
    assert_eq!((origin.committed, origin.last_tended_at), (UnixMs(8), UnixMs(5)));
    set("0");
    log.maintain(0, UnixMs::ZERO, UnixMs(9)).await.unwrap();
    let next = log.append(0, Bytes::from_static(b"taken")).await.unwrap();
    let tail = log.read(0, last, HandleKey(7)).await.unwrap();
    assert_eq!(tail.records, [(next, Bytes::from_static(b"taken"))]);
    assert_eq!(tail.origin.last_tended_at, UnixMs(9));
}

#[timed_test(flavor = "multi_thread")]
async fn over_its_maxmemory_redis_and_valkey_are_read_and_trimmed() {
    for flavour in [Flavour::Redis, Flavour::Valkey] {
        let server = Server::start(flavour, &["--maxmemory-policy", "noeviction"]).await;
        let set =
            |max: &str| assert_eq!(server.command(&format!("CONFIG SET maxmemory {max}")), "+OK");
        a_full_log_is_read_and_trimmed(&server.url(), set).await;
    }
}

#[timed_test(flavor = "multi_thread")]
async fn over_its_maxmemory_a_cluster_is_read_and_trimmed() {
    let cluster = Cluster::start().await;
    let set = |max: &str| {
        for master in &cluster.masters {
            assert_eq!(master.command(&format!("CONFIG SET maxmemory {max}")), "+OK");
        }
    };
    a_full_log_is_read_and_trimmed(&format!("{}?partitions=1", cluster.url()), set).await;
}
