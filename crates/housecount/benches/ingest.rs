//! Heartbeats through ingest into a log in memory: taken, gathered, encoded, appended, folded,
//! acknowledged, on one core.

#![allow(clippy::unwrap_used, missing_docs)] // it is a bench

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use housecount::config::{Layers, NodeSettings};
use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::log::{Log, MemoryLog, Position};
use housecount_core::event::{EventKind, Ids, SessionLabels};
use housecount_core::fold::HandleKey;
use housecount_core::time::UnixMs;
use housecount_engine::internals::Hub;
use housecount_engine::internals::WakeCoalescer;
use housecount_engine::internals::Workers;
use housecount_engine::internals::{Ingest, OwnAppends, UnstampedEvent};
use housecount_metrics::Metrics;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Different viewers.
const VIEWERS: usize = 100_000;

fn ingest(log: Arc<dyn Log>, ack: &str) -> (Ingest, watch::Sender<bool>) {
    let flags = [("linger", "0ms"), ("log", "memory:"), ("cold", "none"), ("ack", ack)];
    let flags = flags.map(|(key, value)| ("--set".to_string(), key.to_string(), value.to_string()));
    let settings =
        NodeSettings::from_layers(&Layers::of(None, Vec::new(), flags.to_vec()).unwrap()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (hub, clock) =
        (Arc::new(Hub::new(settings.engine.rules, 1, true)), Arc::new(SharedClock::default()));
    let acknowledged = Arc::new(OwnAppends::new(1));
    let workers = Workers::start(0, WakeCoalescer::default());
    let metrics = Arc::new(Metrics::default());
    let (ingest, mut committers) = Ingest::start(
        log,
        hub,
        clock.clone(),
        metrics,
        &acknowledged,
        &settings.engine.ingest(),
        &workers,
        &stopped,
    );
    clock.observe(mono_ms(), housecount_backend::clock::wall_clock());
    tokio::spawn(async move { while committers.join_next().await.is_some() {} });
    (ingest, stop)
}

fn through_ingest(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let viewers: Vec<String> =
        (0..VIEWERS).map(|n| format!("{n:08x}-1111-4222-8333-{:012x}", n * 31)).collect();
    let mut group = c.benchmark_group("ingest");
    for (name, ack, size) in [
        ("32 requests a batch", "log", 32),
        ("256 requests a batch", "log", 256),
        ("memory", "memory", 256),
    ] {
        let log = Arc::new(MemoryLog::default());
        let (ingest, _stop) = {
            let _guard = runtime.enter();
            ingest(log.clone(), ack)
        };
        let mut next = 0;
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let receipts: Vec<_> = (0..size)
                        .map(|_| {
                            next = (next + 7_919) % VIEWERS;
                            let viewer = &viewers[next];
                            ingest
                                .enqueue(
                                    UnstampedEvent {
                                        kind: EventKind::Beat,
                                        ids: Ids { stage: "stage", viewer, session: "" },
                                        labels: SessionLabels::NONE,
                                    },
                                    false,
                                )
                                .unwrap()
                        })
                        .collect();
                    for receipt in receipts {
                        receipt.wait().await.unwrap();
                    }
                    tokio::task::yield_now().await;
                    // Events that no reader needs any more are dropped, as the ledger does.
                    log.maintain(
                        0,
                        log.read(0, Position::START, HandleKey::default()).await.unwrap().clock,
                        UnixMs::ZERO,
                    )
                    .await
                    .unwrap();
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, through_ingest);
criterion_main!(benches);
