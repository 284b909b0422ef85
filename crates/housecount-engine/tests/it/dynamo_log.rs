//! The cost of a log in DynamoDB.

use std::sync::Arc;

use bytes::Bytes;
use housecount_backend::cold::{Cold, Purpose};
use housecount_backend::log::{Log, Position};
use housecount_backend::tasks::PeriodicTask;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::{HandleKey, Rules};
use housecount_core::limits::FLUSH_STRETCH_MAX;
use housecount_core::record;
use housecount_core::time::UnixMs;
use housecount_engine::internals::{ArchiveProgress, ArchiveTask, Hub};
use housecount_engine::{ArchiveFormat, ArchiveSettings, Settings};
use housecount_stores::cold::SqliteCold;
use housecount_stores::log::dynamodb::{DynamoLog, DynamoTarget};
use housecount_test::timed_test;

use crate::support::crowd::{Crowd, IdStyle, Shape, USUAL};
use crate::support::emulator::Emulator;

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
    let mut task = ArchiveTask::new(
        log,
        cold,
        hub,
        metrics,
        archived,
        "test".to_string(),
        kept,
        Settings::default().archive_params(kept),
    );
    loop {
        tokio::time::sleep(task.period()).await;
        task.tick().await.unwrap();
    }
}

/// Measures an hour of 10,000 viewers in virtual time, after an hour in which they come. Run with:
/// `cargo test --release -p housecount-engine --test it -- --ignored --nocapture --test-threads 1 dollars_of_a_log`
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
                        labels: SessionLabels::NONE,
                        at: *at,
                        kind: *kind,
                        ids: Ids { stage, viewer, session: "" },
                    })
                    .collect();
                let entries = half.hub.record_entries(&events, now.minus(2_000), &[]);
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
