//! Tests of the archive, which holds every event, to the tick (`packed`) or the millisecond
//! (`items`). That is so whatever fails, and whichever node writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_archive::{ArchiveEncoder, ArchiveParams, KEYFRAME_MS};
use housecount_backend::cold::{Cold, Page, Purpose};
use housecount_backend::log::MemoryLog;
use housecount_core::beat_schedule::TICK_MS;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::keys::{KeyRange, Series};
use housecount_core::limits::WRITE_BATCH_ITEMS;
use housecount_core::span::Span;
use housecount_core::time::{DAY_MS, UnixMs};
use housecount_engine::internals::{
    EngineRunner, EngineState as Inner, UnstampedEvent, archive_read as read, chunks,
};
use housecount_engine::{ArchiveFormat, ArchiveSettings, Settings};
use housecount_metrics::MetricsFormat;
use housecount_test::timed_test;
use tokio::sync::oneshot;

use crate::inside::paced;
use crate::support::cold::FaultyCold;
use crate::support::crowd::{Shape, USUAL};
use crate::support::dynamo::Dynamo;
use crate::support::eventually;
use crate::support::hour::Hour;

/// Time for which the archive is kept.
const RETENTION_MS: u64 = 90 * DAY_MS;

/// A node in this process that can be stopped in order.
struct Inside {
    node: Arc<Inner>,
    stop: oneshot::Sender<()>,
    stopped: tokio::task::JoinHandle<()>,
}

impl Inside {
    async fn start(form: ArchiveFormat, log: &Arc<MemoryLog>, cold: &Arc<FaultyCold>) -> Inside {
        let archive = ArchiveSettings { form, flush_ms: 1_000, retention_ms: RETENTION_MS };
        let settings = Settings {
            window_ms: 2_000,
            linger_ms: 1,
            archive: Some(archive),
            ..paced(500, 2_000)
        };
        let engine = EngineRunner::new(settings, log.clone(), Some(cold.clone()));
        let (node, (stop, stopped)) = (engine.state.clone(), oneshot::channel::<()>());
        let running = engine.run_alone(async { drop(stopped.await) });
        let stopped = tokio::spawn(async { running.await.unwrap() });
        eventually("the node is ready", async || node.readiness.not_ready_reason().is_none()).await;
        Inside { node, stop, stopped }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.stopped.await.unwrap();
    }

    /// Sends an event; returns it with its time, in the form that the archive gives it.
    async fn say(&self, kind: EventKind, stage: &str, viewer: &str, session: &str) -> Row {
        let receipt = self
            .node
            .ingest
            .enqueue(
                UnstampedEvent {
                    kind,
                    ids: Ids { stage, viewer, session },
                    labels: SessionLabels::NONE,
                },
                false,
            )
            .unwrap();
        receipt.wait().await.unwrap();
        row(&EventRef {
            labels: SessionLabels::NONE,
            at: receipt.at(),
            kind,
            ids: Ids { stage, viewer, session },
        })
    }

    fn archived_to(&self) -> UnixMs {
        let text = self.node.metrics.encode(self.node.hub.gauge_values(), MetricsFormat::Text);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("housecount_archived_timestamp_seconds "));
        UnixMs((line.unwrap().parse::<f64>().unwrap() * 1_000.0) as u64)
    }
}

type Row = (u64, EventKind, String, String, String);

fn row(event: &EventRef<'_>) -> Row {
    (
        event.at.0,
        event.kind,
        event.ids.stage.into(),
        event.ids.viewer.into(),
        event.ids.session.into(),
    )
}

fn to_the_tick((at, kind, stage, viewer, session): Row) -> Row {
    (UnixMs(at).aligned(TICK_MS).0, kind, stage, viewer, session)
}

async fn packed(cold: &Arc<FaultyCold>) -> BTreeSet<Row> {
    let cold: Arc<dyn Cold> = cold.clone();
    let (mut found, mut count) = (BTreeSet::new(), 0);
    for chain in read::chains(&cold).await.unwrap() {
        let with = |event: &EventRef<'_>| {
            count += 1;
            found.insert(row(event));
            Ok(())
        };
        let all = Span::new(UnixMs::ZERO, UnixMs(u64::MAX / 9));
        let problems = read::packed(&*cold, chain, all, 0, with, |_| ()).await.unwrap();
        assert_eq!(problems, [""; 0]);
    }
    assert_eq!(found.len(), count, "the archive has a row twice");
    found
}

async fn items(cold: &Arc<FaultyCold>) -> BTreeSet<Row> {
    let mut found = BTreeSet::new();
    let all = Span::new(UnixMs::ZERO, UnixMs(9_999_999_999_999));
    for stage in read::item_stages(&**cold, all).await.unwrap() {
        let with = |event: &EventRef<'_>| {
            found.insert(row(event));
            Ok(())
        };
        assert_eq!(read::items(&**cold, &stage, all, with, |_| ()).await.unwrap(), None);
    }
    found
}

/// A cold tier that is reached over the network, so that batches can be refused.
async fn remote(dynamo: &Dynamo) -> Arc<FaultyCold> {
    dynamo.make_table("audience");
    Arc::new(FaultyCold::over(dynamo.cold("audience").await))
}

/// Waits until the archive holds all events sent so far.
async fn archived(node: &Inside, sent: &BTreeSet<Row>) {
    let last = UnixMs(sent.iter().map(|row| row.0).max().unwrap());
    eventually("all events are archived", async || node.archived_to() > last).await;
}

/// Sends events for a while, alternating between the nodes, until the archive has them all.
async fn party(nodes: &[&Inside], rounds: usize) -> BTreeSet<Row> {
    let mut sent = BTreeSet::new();
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(120));
    for round in 0..rounds {
        ticks.tick().await;
        let node = nodes[round % nodes.len()];
        for (stage, viewer, session) in
            [("s", "ann", "tab-1"), ("s", "ann", "tab-2"), ("t", "bob", "")]
        {
            sent.insert(node.say(EventKind::Beat, stage, viewer, session).await);
        }
        let visitor = format!("visitor-{round}");
        sent.insert(node.say(EventKind::Beat, "s", &visitor, "").await);
        sent.insert(node.say(EventKind::Leave, "s", &visitor, "").await);
    }
    let last = UnixMs(sent.iter().map(|row| row.0).max().unwrap());
    eventually("all events are archived", async || {
        nodes.iter().any(|node| node.archived_to() > last)
    })
    .await;
    sent
}

#[timed_test(flavor = "multi_thread")]
async fn each_event_is_packed_once_by_any_writer_and_through_failures() {
    let (log, cold) = (Arc::new(MemoryLog::default()), Arc::new(FaultyCold::new().await));
    let first = Inside::start(ArchiveFormat::Packed, &log, &cold).await;
    let second = Inside::start(ArchiveFormat::Packed, &log, &cold).await;
    let mut sent = party(&[&first, &second], 20).await;
    assert_eq!(
        packed(&cold).await,
        sent.iter().cloned().map(to_the_tick).collect(),
        "the archive has every event before the fault"
    );
    // Calls fail, some of them after they took effect.
    for (n, lies) in [(0, false), (3, true), (1, true), (2, false)] {
        cold.fail(n, lies);
        sent.extend(party(&[&first, &second], 10).await);
        assert!(cold.has_failed.load(Ordering::SeqCst));
    }
    // The cold tier is unavailable for longer than a ttl.
    cold.away.store(true, Ordering::SeqCst);
    let before = first.archived_to();
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    for _ in 0..30 {
        ticks.tick().await;
        sent.insert(second.say(EventKind::Beat, "s", "ann", "tab-1").await);
    }
    assert!(first.archived_to().since(before) <= 1_000, "the archive advances without its store");
    cold.away.store(false, Ordering::SeqCst);
    sent.extend(party(&[&second], 5).await);
    // The node that writes is stopped; the other continues.
    first.stop().await;
    sent.extend(party(&[&second], 10).await);
    // Both nodes believe that they hold the lease.
    cold.lease_for_all.store(true, Ordering::SeqCst);
    let third = Inside::start(ArchiveFormat::Packed, &log, &cold).await;
    sent.extend(party(&[&second, &third], 30).await);
    assert_eq!(packed(&cold).await, sent.into_iter().map(to_the_tick).collect());
}

#[timed_test(flavor = "multi_thread")]
async fn each_heartbeat_becomes_an_item() {
    let (log, cold) = (Arc::new(MemoryLog::default()), Arc::new(FaultyCold::new().await));
    let first = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    let mut sent = party(&[&first], 10).await;
    cold.fail(1, true);
    sent.extend(party(&[&first], 10).await);
    let beats = |sent: &BTreeSet<Row>| -> BTreeSet<Row> {
        sent.iter().filter(|row| row.1 == EventKind::Beat).cloned().collect()
    };
    assert_eq!(items(&cold).await, beats(&sent), "the archive as items has no leaves");
    // A full batch doesn't wait for the flush.
    let written = || first.node.metrics.archive_items.get();
    let before = written();
    for n in 0..2 * WRITE_BATCH_ITEMS {
        sent.insert(first.say(EventKind::Beat, "s", &format!("crowd-{n}"), "").await);
    }
    eventually("a batch is written", async || written() >= before + WRITE_BATCH_ITEMS as u64).await;
    // Queued items are written when the node stops; another node continues from there.
    sent.insert(first.say(EventKind::Beat, "t", "bob", "").await);
    first.stop().await;
    assert_eq!(items(&cold).await, beats(&sent));
    let second = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    sent.extend(party(&[&second], 5).await);
    assert_eq!(items(&cold).await, beats(&sent));
}

/// Ids that contain the separators of keys. Each heartbeat is an item of its own, also within one
/// millisecond.
#[timed_test(flavor = "multi_thread")]
async fn ids_with_the_signs_of_keys_stop_nothing() {
    let dynamo = Dynamo::start().await;
    let cold = remote(&dynamo).await;
    let log = Arc::new(MemoryLog::default());
    let node = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    let mut sent = BTreeSet::new();
    // Repeats until two look-alike events fall into one millisecond.
    for round in 0.. {
        let (one, other) = tokio::join!(
            node.say(EventKind::Beat, "s", "a#b", "c"),
            node.say(EventKind::Beat, "s", "a", "b#c"),
        );
        let is_one_moment = one.0 == other.0;
        sent.extend([one, other]);
        for (viewer, session) in
            [("a%23b", "c"), ("%", "#"), ("#", "%23"), ("a", "b%23c"), ("é#", "")]
        {
            sent.insert(node.say(EventKind::Beat, "s", viewer, session).await);
        }
        if is_one_moment {
            break;
        }
        assert!(round < 1_000, "no two heartbeats arrived in one millisecond");
    }
    sent.insert(node.say(EventKind::Beat, "t", "bob", "").await);
    archived(&node, &sent).await;
    assert_eq!(items(&cold).await, sent);
    assert_eq!(node.node.metrics.archive_refused.get(), 0);
}

/// An item that the cold tier refuses is left out and counted. No other item of any stage is left
/// out, after a restart neither.
#[timed_test(flavor = "multi_thread")]
async fn an_item_that_is_refused_stops_no_stage() {
    let dynamo = Dynamo::start().await;
    let cold = remote(&dynamo).await;
    let log = Arc::new(MemoryLog::default());
    let node = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    let refuse = |text: &str| *dynamo.faults.refuses.lock().unwrap() = text.to_string();
    refuse("cursed");
    let crowd = async |node: &Inside| {
        let mut sent = BTreeSet::new();
        for n in 0..2 * WRITE_BATCH_ITEMS {
            sent.insert(
                node.say(EventKind::Beat, ["s", "t"][n % 2], &format!("crowd-{n}"), "").await,
            );
            if n % 20 == 7 {
                node.say(EventKind::Beat, "s", &format!("cursed-{n}"), "").await;
            }
        }
        archived(node, &sent).await;
        sent
    };
    let mut sent = crowd(&node).await;
    assert_eq!(items(&cold).await, sent);
    let counted = node.node.metrics.archive_refused.get();
    assert!(counted >= 3, "{counted}");
    // A stage that can't even be listed loses only its own heartbeats.
    refuse("cursed");
    node.say(EventKind::Beat, "cursed", "ann", "").await;
    sent.extend(crowd(&node).await);
    assert_eq!(items(&cold).await, sent);
    node.stop().await;
    let node = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    sent.extend(crowd(&node).await);
    assert_eq!(items(&cold).await, sent);
    assert!(node.node.metrics.archive_refused.get() >= 3);
    assert_eq!(node.node.metrics.archive_failures.get(), 0);
}

/// A table that refuses every item is itself at fault. No item is left out, and all are written
/// once the table accepts items again.
#[timed_test(flavor = "multi_thread")]
async fn a_table_that_refuses_everything_loses_nothing() {
    let dynamo = Dynamo::start().await;
    let cold = remote(&dynamo).await;
    let log = Arc::new(MemoryLog::default());
    let node = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    *dynamo.faults.refuses.lock().unwrap() = "audience".to_string();
    let mut sent = BTreeSet::new();
    for n in 0..2 * WRITE_BATCH_ITEMS {
        sent.insert(node.say(EventKind::Beat, "s", &format!("crowd-{n}"), "").await);
    }
    eventually("the store has refused writes", async || {
        node.node.metrics.archive_failures.get() > 2
    })
    .await;
    assert_eq!(node.node.metrics.archive_refused.get(), 0);
    dynamo.faults.refuses.lock().unwrap().clear();
    archived(&node, &sent).await;
    assert_eq!(items(&cold).await, sent);
    assert_eq!(node.node.metrics.archive_refused.get(), 0);
}

#[timed_test(flavor = "multi_thread")]
async fn what_has_expired_is_swept_where_the_store_does_not() {
    let cold = Arc::new(FaultyCold::new().await);
    let log = Arc::new(MemoryLog::default());
    let sweep = async |now: UnixMs| while cold.sweep(now).await.unwrap() {};
    let node = Inside::start(ArchiveFormat::Packed, &log, &cold).await;
    party(&[&node], 5).await;
    let to = node.archived_to();
    node.stop().await;
    sweep(to).await;
    assert!(!packed(&cold).await.is_empty(), "no chunk has expired yet");
    sweep(to.plus(RETENTION_MS + KEYFRAME_MS)).await;
    assert!(packed(&cold).await.is_empty());

    let node = Inside::start(ArchiveFormat::Items, &log, &cold).await;
    party(&[&node], 5).await;
    node.stop().await;
    let before = items(&cold).await;
    let half = UnixMs(before.iter().nth(before.len() / 2).unwrap().0);
    sweep(half.plus(RETENTION_MS)).await;
    let left = items(&cold).await;
    assert!(left.len() < before.len() && left.is_subset(&before));
    // A TTL is in whole seconds.
    assert!(left.iter().all(|row| row.0 + 1_000 > half.0));
    assert!(before.iter().filter(|row| row.0 > half.0).all(|row| left.contains(row)));
    // The lists of days outlive all items that they list.
    let days = async || {
        let all = KeyRange::heartbeat_days(UnixMs::ZERO, UnixMs(9_999_999_999_999));
        cold.query(&all, &Page::first(100)).await.unwrap()
    };
    let last = UnixMs(left.iter().map(|row| row.0).max().unwrap());
    sweep(last.plus(RETENTION_MS + 1_000)).await;
    assert!(items(&cold).await.is_empty() && !days().await.is_empty());
    sweep(last.plus(RETENTION_MS + 9 * DAY_MS)).await;
    assert!(days().await.is_empty());
}

/// A damaged chunk costs itself and the rest of its keyframe's period only, and is named.
#[timed_test(flavor = "multi_thread")]
async fn damage_is_named_and_the_rest_is_read() {
    let cold = Arc::new(FaultyCold::new().await);
    let chain = Series::Archive.chains(1).next().unwrap();
    let from = UnixMs(1_790_006_400_000).aligned(KEYFRAME_MS);
    let terms = ArchiveParams { interval_ms: 30_000, slot_ms: 30_000, ttl_ms: 120_000 };
    let mut writer = ArchiveEncoder::new(terms, from);
    for n in 0..2 * KEYFRAME_MS / 30_000 {
        let slot = writer.slot();
        writer.add(&EventRef {
            labels: SessionLabels::NONE,
            at: slot.plus(7),
            kind: EventKind::Beat,
            ids: Ids { stage: "s", viewer: "ann", session: "" },
        });
        let mut chunk = writer.finish_slot(UnixMs::ZERO).unwrap();
        if n == 3 {
            chunk[9] ^= 1;
        }
        chunks::write(&*cold, chain, slot, &chunk, None).await.unwrap();
    }
    let mut found = 0;
    let with = |_: &EventRef<'_>| {
        found += 1;
        Ok(())
    };
    let all = Span::new(UnixMs::ZERO, UnixMs(u64::MAX / 9));
    let problems = read::packed(&*cold, chain, all, 0, with, |_| ()).await.unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let name = format!("{}", from.plus(90_000));
    assert!(problems[0].contains(&name) && problems[0].contains("checksum"), "{problems:?}");
    assert_eq!(found, 3 + KEYFRAME_MS / 30_000);
}

/// A log in DynamoDB charges for each read.
#[timed_test]
async fn a_packed_archive_reads_the_log_once_a_slot() {
    let mut hour = Hour::new(Shape { viewers: 20, ..USUAL }, false).await;
    hour.archive(ArchiveFormat::Packed);
    for _ in 0..3 {
        hour.slot().await;
        assert_eq!(
            (hour.look().await, hour.look().await),
            (0, 0),
            "the archive reads nothing between slots"
        );
    }
    assert!(hour.cold.meter().units(Purpose::Archive).writes >= 2, "the archive has been written");
}
