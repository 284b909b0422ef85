//! The DynamoDB log beyond its contract: nodes on it, faults of it, and its cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use housecount::config::{Layers, NodeSettings};
use housecount_backend::cold::{Cold, Purpose};
use housecount_backend::log::{Log, Position};
use housecount_backend::tasks::PeriodicTask;
use housecount_core::event::{EventKind, EventRef, Ids};
use housecount_core::fold::{HandleKey, Rules};
use housecount_core::limits::FLUSH_STRETCH_MAX;
use housecount_core::record;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{ArchiveProgress, ArchiveTask, Hub};
use housecount_engine::{ArchiveFormat, ArchiveSettings};
use housecount_stores::cold::SqliteCold;
use housecount_stores::log::dynamodb::{DynamoLog, DynamoTarget};
use housecount_test::timed_test;
use serde_json::Value;

use crate::support::crowd::{Crowd, IdStyle, Shape, USUAL};
use crate::support::dynamo::Dynamo;
use crate::support::emulator::Emulator;
use crate::support::eventually;
use crate::support::node::Node;

fn figures(stats: &Value) -> (u64, bool, bool) {
    (stats["viewers"].as_u64().unwrap(), stats["complete"] == true, stats["recovering"] == true)
}

async fn stand() -> (Dynamo, Vec<String>) {
    let dynamo = Dynamo::start().await;
    dynamo.make_table("table");
    let settings = [
        format!("log={}&flush=100ms", dynamo.url("table")),
        format!("cold={}", dynamo.url("table")),
        "interval=10s".to_string(),
        "ttl=30s".to_string(),
    ];
    (dynamo, settings.to_vec())
}

async fn node(settings: &[String]) -> Node {
    Node::ready(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Beats go to two nodes, and one of them is killed. All nodes count the acknowledged beats, a node
/// that starts later included.
#[timed_test(flavor = "multi_thread")]
async fn two_nodes_are_one_and_kill_9_loses_nothing() {
    let (_dynamo, settings) = stand().await;
    let mut nodes = [node(&settings).await, node(&settings).await];
    nodes[0].beat_many("s", 0, 3_000).await;
    nodes[1].beat_many("s", 3_000, 500).await;
    for n in 0..5 {
        nodes[n % 2].beat("t", &format!("single-{n}")).await;
    }
    for node in &nodes {
        eventually("both nodes have all viewers", async || {
            figures(&node.stats().await) == (3_505, true, false)
        })
        .await;
    }
    nodes[0].beat_many("s", 0, 3_100).await;
    nodes[0].kill();
    nodes[1].beat_many("s", 3_500, 10).await;
    nodes[0].restart();
    nodes[0].until_ready().await;
    let third = node(&settings).await;
    for node in [&nodes[0], &nodes[1], &third] {
        eventually("all nodes have all viewers", async || {
            figures(&node.stats().await) == (3_515, true, false)
        })
        .await;
        assert_eq!((node.viewers("s").await, node.viewers("t").await), (3_510, 5));
    }
}

/// A table that throttles, and whose answers are lost. Every acknowledged beat is in the log, and
/// no beat counts twice.
#[timed_test(flavor = "multi_thread")]
async fn a_table_that_throttles_and_lies_loses_nothing() {
    let (dynamo, settings) = stand().await;
    let nodes = [node(&settings).await, node(&settings).await];
    nodes[0].beat_many("s", 0, 100).await;
    dynamo.faults.lying.store(12, Ordering::SeqCst);
    nodes[0].beat_many("s", 50, 100).await;
    dynamo.faults.throttled.store(12, Ordering::SeqCst);
    nodes[1].beat_many("s", 100, 100).await;
    let third = node(&settings).await;
    for node in [&nodes[0], &nodes[1], &third] {
        eventually("all nodes have all viewers", async || figures(&node.stats().await).0 == 200)
            .await;
        eventually("all counts are complete", async || {
            figures(&node.stats().await) == (200, true, false)
        })
        .await;
    }
}

const SECONDS_A_MONTH: f64 = 365.25 / 12.0 * 86_400.0;
/// DynamoDB on demand, us-east-1, 2026-10.
const DOLLARS_PER_MILLION: (f64, f64) = (0.625, 0.125);

/// Number of viewers for which more than 10,000 are counted in the second hour.
const FULL: Shape = Shape { viewers: 11_700, ..USUAL };

/// The part of a node that the log needs.
struct Half {
    log: Arc<DynamoLog>,
    hub: Arc<Hub>,
    sent: Vec<(UnixMs, EventKind, String, String)>,
}

async fn follow(log: Arc<DynamoLog>, hub: Arc<Hub>) {
    let mut after = Position::START;
    loop {
        let tail = log.read(0, after, HandleKey(77)).await.unwrap();
        hub.set_key(0, tail.origin.key);
        for (position, record) in &tail.records {
            hub.apply_record(0, &record::decode(record).unwrap(), position.at);
            after = *position;
        }
        hub.advance(tail.clock);
    }
}

/// Keeps a packed archive with its own task.
async fn archive(log: Arc<DynamoLog>, cold: Arc<dyn Cold>, hub: Arc<Hub>) {
    let kept =
        ArchiveSettings { form: ArchiveFormat::Packed, flush_ms: 30_000, retention_ms: 86_400_000 };
    let (metrics, archived) = (Arc::default(), Arc::new(ArchiveProgress::new(1)));
    let settings =
        NodeSettings::from_layers(&Layers::of(None, Vec::new(), Vec::new()).unwrap()).unwrap();
    let mut task = ArchiveTask::new(
        log,
        cold,
        hub,
        metrics,
        archived,
        "test".to_string(),
        kept,
        settings.engine.archive_params(kept),
    );
    loop {
        tokio::time::sleep(task.period()).await;
        task.tick().await.unwrap();
    }
}

/// Measures an hour of 10,000 viewers in virtual time, after an hour in which they come. Run with:
/// `cargo test --release -p housecount --test it -- --ignored --nocapture --test-threads 1 dollars_of_a_log`
#[timed_test(start_paused = true)]
#[ignore = "a figure, and takes a minute"]
async fn dollars_of_a_log() {
    for (name, shape, is_sticky, stretch, is_archived) in [
        ("10,000 viewers, 16-character ids, each on one node", FULL, true, 1, false),
        ("the same, and one node reads it for a packed archive", FULL, true, 1, true),
        ("the same, stretched by the cost guard", FULL, true, FLUSH_STRETCH_MAX, false),
        ("the same, each heartbeat on any node", FULL, false, 1, false),
        (
            "36-character UUIDs, each on one node",
            Shape { ids: IdStyle::Uuid, ..FULL },
            true,
            1,
            false,
        ),
    ] {
        housecount_backend::sim::begin(7);
        let emulator = Emulator::start();
        emulator.make_table("table");
        let cold: Arc<dyn Cold> = Arc::new(SqliteCold::memory().unwrap());
        let target = DynamoTarget::parse("//table").unwrap();
        let rules = Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 };
        let mut halves: Vec<Half> = (0..2)
            .map(|_| {
                let log = Arc::new(DynamoLog::with_engine(emulator.inline(), &target));
                log.set_append_spacing(stretch);
                Half { log, hub: Arc::new(Hub::new(rules, 1, true)), sent: Vec::new() }
            })
            .collect();
        let mut tasks = tokio::task::JoinSet::new();
        for half in &halves {
            tasks.spawn(follow(half.log.clone(), half.hub.clone()));
            half.hub.go_live();
        }
        if is_archived {
            tasks.spawn(archive(halves[0].log.clone(), cold.clone(), halves[0].hub.clone()));
        }
        let base = housecount_backend::clock::wall_clock();
        let mut crowd = Crowd::new(shape, base);
        let units = |halves: &[Half]| {
            halves.iter().fold((0.0, 0.0), |(w, r), half| {
                let meter = half.log.meter();
                (
                    w + meter.units(Purpose::Log).writes as f64,
                    r + meter.units(Purpose::Log).read_halves as f64 / 2.0,
                )
            })
        };
        let (mut before, mut events, mut n) = ((0.0, 0.0), 0u64, 0u64);
        while housecount_backend::clock::wall_clock().since(base) < 2 * 3_600_000 {
            let now = housecount_backend::clock::wall_clock();
            if now.since(base) >= 3_600_000 && before == (0.0, 0.0) {
                (before, events) = (units(&halves), 0);
            }
            crowd.play(now.since(base), |e| {
                n += 1;
                events += 1;
                let half = if is_sticky {
                    e.ids.viewer.bytes().map(u64::from).sum::<u64>()
                } else {
                    n * 7 / 3
                };
                let sent = &mut halves[(half % 2) as usize].sent;
                sent.push((
                    e.at.minus(2_000),
                    e.kind,
                    e.ids.stage.to_string(),
                    e.ids.viewer.to_string(),
                ));
            });
            // All events since the last append form one record, as in the lane's committer.
            let append = async |half: &Half, sent: &[(UnixMs, EventKind, String, String)]| {
                let events: Vec<EventRef<'_>> = sent
                    .iter()
                    .map(|(at, kind, stage, viewer)| EventRef {
                        at: *at,
                        kind: *kind,
                        ids: Ids { stage, viewer, session: "" },
                    })
                    .collect();
                let entries = half.hub.record_entries(&events, now.minus(2_000));
                let position =
                    half.log.append(0, Bytes::from(record::encode(&entries))).await.unwrap();
                half.hub.apply_record(0, &entries, position.at);
                half.log.maintain(0, position.at.minus(900_000), position.at).await.unwrap();
            };
            let sent: Vec<_> =
                halves.iter_mut().map(|half| std::mem::take(&mut half.sent)).collect();
            let (one, other) = (&halves[0], &halves[1]);
            let pair = async {
                if !sent[0].is_empty() {
                    append(one, &sent[0]).await
                }
            };
            let rest = async {
                if !sent[1].is_empty() {
                    append(other, &sent[1]).await
                }
            };
            tokio::join!(pair, rest, tokio::time::sleep(std::time::Duration::from_millis(10)));
        }
        tasks.abort_all();
        let (written, read) = units(&halves);
        let (written, read) = (written - before.0, read - before.1);
        let month = SECONDS_A_MONTH / 3_600.0 / 1e6;
        let dollars =
            (written * month * DOLLARS_PER_MILLION.0, read * month * DOLLARS_PER_MILLION.1);
        let counts = [0, 1].map(|n| halves[n].hub.totals().value.0.viewers);
        println!(
            "{name}: {events} events an hour, {counts:?} viewers counted; {written:.0} write and {read:.0} read units; \
             ${:.2} + ${:.2} = ${:.2} a month",
            dollars.0,
            dollars.1,
            dollars.0 + dollars.1
        );
        assert!(dollars.0 + dollars.1 <= 4.0);
        housecount_backend::sim::end();
    }
}
