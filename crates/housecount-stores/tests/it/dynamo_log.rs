//! The DynamoDB log beyond its contract: how it reads, and the tables that it refuses.

use bytes::Bytes;
use housecount_backend::log::{Log, Position};
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::HandleKey;
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;
use housecount_stores::log::dynamodb::{DynamoLog, DynamoTarget};
use housecount_test::timed_test;

use crate::support::dynamo::Dynamo;
use crate::support::emulator::Emulator;

fn beat(viewer: &str) -> Bytes {
    let event = EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(1_790_000_000_000),
        kind: EventKind::Beat,
        ids: Ids { stage: "s", viewer, session: "" },
    };
    Bytes::from(record::encode(&[RecordEntry::Full(event)]))
}

/// A handle that begins in the middle of an epoch reads back the ids of the epoch's numbers.
#[timed_test(flavor = "multi_thread")]
async fn a_reader_that_starts_in_the_middle_reads_back() {
    let dynamo = Dynamo::start().await;
    dynamo.make_table("table");
    let log = dynamo.log("table", "flush=100ms").await;
    let mut positions = Vec::new();
    for viewer in ["ann", "bob", "ann", "bob"] {
        positions.push(log.append(0, beat(viewer)).await.unwrap());
    }
    let later = dynamo.log("table", "flush=100ms").await;
    let tail = later.read(0, positions[1], HandleKey::default()).await.unwrap();
    assert_eq!(tail.records, [(positions[2], beat("ann")), (positions[3], beat("bob"))]);
    // Without the epoch's beginning the records are reported as unreadable, and not guessed.
    let sk = housecount_core::keys::log_sk(positions[0].at, positions[0].seq as u32, 0);
    let key = serde_json::json!({ "pk": { "S": "LOG#0" }, "sk": { "S": sk } });
    dynamo.call("DeleteItem", serde_json::json!({ "TableName": "table", "Key": key }));
    let third = dynamo.log("table", "flush=100ms").await;
    let tail = third.read(0, positions[1], HandleKey::default()).await.unwrap();
    assert_eq!(tail.records.len(), 2);
    assert!(tail.records.iter().all(|(_, record)| record::decode(record).is_err()));
}

#[timed_test(flavor = "multi_thread")]
async fn a_log_of_another_shape_is_refused_and_a_missing_table_named() {
    let dynamo = Dynamo::start().await;
    let read = async |more| {
        dynamo.log("table", more).await.read(0, Position::START, HandleKey::default()).await
    };
    let error = read("flush=100ms").await.unwrap_err();
    assert_eq!(error.kind(), housecount_backend::error::ErrorKind::Missing);
    assert!(error.to_string().contains("housecount table create --cold"), "{error}");
    dynamo.make_table("table");
    read("flush=100ms").await.unwrap();
    for (more, way_out) in
        [("flush=200ms", "set &flush=100ms"), ("flush=100ms&partitions=2", "set &partitions=1")]
    {
        let error = read(more).await.unwrap_err();
        assert_eq!(error.kind(), housecount_backend::error::ErrorKind::Schema);
        assert!(error.to_string().contains(way_out), "{error}");
    }
}

/// A follower reads every one and a half flushes. A one-off read waits for nothing and delays no
/// other task. The test runs in virtual time.
#[timed_test(start_paused = true)]
async fn a_single_read_is_not_paced_and_delays_no_other() {
    housecount_backend::sim::begin(7);
    let emulator = Emulator::start();
    emulator.make_table("table");
    let log = DynamoLog::with_engine(emulator.inline(), &DynamoTarget::parse("//table").unwrap());
    let position = log.append(0, beat("ann")).await.unwrap();
    let follow = async || log.read(0, position, HandleKey(7)).await.unwrap();
    follow().await;
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(log.read_once(0, Position::START).await.unwrap().records.len(), 1);
    }
    assert!(begun.elapsed().as_millis() < 500, "{:?}", begun.elapsed());
    follow().await;
    assert!((1_000..2_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    housecount_backend::sim::end();
}
