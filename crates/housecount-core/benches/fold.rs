//! Benchmarks of the fold on one core: a beat of a known viewer, a viewer who joins, encoding and
//! decoding a record.
//!
//! `cargo bench -p housecount-core --bench fold`; the figures are in docs/PERFORMANCE.md.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::{Fold, Handle, HandleKey, Rules};
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;

const RULES: Rules = Rules { ttl_ms: 120_000, leave_grace_ms: 3_000 };
const KEY: HandleKey = HandleKey(7);
const NOW: u64 = 1_790_000_000_000;
/// Beats of one batch, as on a busy node.
const BATCH: usize = 1_024;

/// Returns an id of 36 characters. The order of the ids does not follow the order in memory.
fn viewer(n: u64) -> String {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        mixed >> 32,
        mixed & 0xffff,
        n & 0xfff,
        n >> 12 & 0xfff,
        n
    )
}

fn beat(viewer: &str, at: u64) -> EventRef<'_> {
    EventRef {
        labels: SessionLabels::NONE,
        at: UnixMs(at),
        kind: EventKind::Beat,
        ids: Ids { stage: "stage-1", viewer, session: "" },
    }
}

/// Builds a fold with `viewers` viewers on one stage, after one beat of each.
fn audience(viewers: u64) -> (Fold, Vec<String>) {
    let mut fold = Fold::new(RULES, 1, true);
    fold.set_key(0, KEY);
    let names: Vec<String> = (0..viewers).map(viewer).collect();
    for name in &names {
        fold.apply_all(0, &[RecordEntry::Full(beat(name, NOW))], UnixMs(NOW), |_| ());
    }
    fold.advance(UnixMs(NOW));
    (fold, names)
}

fn known(c: &mut Criterion) {
    let mut group = c.benchmark_group("a beat of a known viewer");
    group.throughput(Throughput::Elements(BATCH as u64)).measurement_time(Duration::from_secs(4));
    for viewers in [10_000, 100_000, 1_000_000] {
        let (mut fold, names) = audience(viewers);
        let handles: Vec<Handle> =
            names.iter().map(|name| Handle::of(KEY, "stage-1", name, "")).collect();
        // An order other than that of the joins, because players spread over the interval.
        let order = |n: usize| n.wrapping_mul(7_919) % handles.len();
        let (mut from, mut at, mut batch) = (0, NOW, Vec::with_capacity(BATCH));
        group.bench_function(BenchmarkId::new("by handle", viewers), |b| {
            b.iter(|| {
                at += 1;
                batch.clear();
                let beat = |n| RecordEntry::ByHandle { at: UnixMs(at), handle: handles[order(n)] };
                batch.extend((from..from + BATCH).map(beat));
                fold.apply_all(0, &batch, UnixMs(at), |applied| {
                    black_box(applied);
                });
                from += BATCH;
            });
        });
        group.bench_function(BenchmarkId::new("by its ids", viewers), |b| {
            b.iter(|| {
                at += 1;
                for n in from..from + BATCH {
                    black_box(fold.apply(&beat(&names[order(n)], at)));
                }
                from += BATCH;
            });
        });
        group.bench_function(BenchmarkId::new("what to say of it", viewers), |b| {
            b.iter(|| {
                let events: Vec<_> =
                    (from..from + BATCH).map(|n| beat(&names[order(n)], at)).collect();
                black_box(fold.record_entries(&events, UnixMs(at)));
                from += BATCH;
            });
        });
    }
}

fn joining(c: &mut Criterion) {
    let mut group = c.benchmark_group("a viewer who joins");
    group
        .throughput(Throughput::Elements(100_000))
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    let (names, more): (Vec<_>, Vec<_>) =
        ((0..900_000).map(viewer).collect(), (900_000..1_000_000).map(viewer).collect());
    // A node folds joining viewers in this way: many at once, after the log has accepted them.
    let joining: Vec<RecordEntry<'_>> =
        more.iter().map(|name: &String| RecordEntry::Full(beat(name, NOW))).collect();
    let full = || {
        let mut fold = Fold::new(RULES, 1, true);
        names.iter().for_each(|name: &String| {
            fold.apply(&beat(name, NOW));
        });
        fold
    };
    group.bench_function("from 900,000 to 1,000,000", |b| {
        b.iter_batched(
            full,
            |mut fold| {
                joining
                    .chunks(BATCH)
                    .for_each(|batch| fold.apply_all(0, batch, UnixMs(NOW), |_| {}));
                fold
            },
            BatchSize::LargeInput,
        );
    });
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("a record");
    group.throughput(Throughput::Elements(BATCH as u64));
    let names: Vec<String> = (0..BATCH as u64).map(viewer).collect();
    let whole: Vec<RecordEntry<'_>> =
        names.iter().map(|name| RecordEntry::Full(beat(name, NOW))).collect();
    let handle = |name: &String| Handle::of(KEY, "stage-1", name, "");
    let brief: Vec<RecordEntry<'_>> = names
        .iter()
        .map(|name| RecordEntry::ByHandle { at: UnixMs(NOW), handle: handle(name) })
        .collect();
    for (what, entries) in [("with ids", whole), ("by handle", brief)] {
        let bytes = record::encode(&entries);
        group.bench_function(BenchmarkId::new("encode", what), |b| {
            b.iter(|| record::encode(black_box(&entries)))
        });
        group.bench_function(BenchmarkId::new("decode", what), |b| {
            b.iter(|| record::decode(black_box(&bytes)).map(|entries| entries.len()));
        });
    }
    group.bench_function("handles", |b| {
        b.iter(|| {
            names.iter().for_each(|name| {
                black_box(handle(name));
            })
        });
    });
}

criterion_group!(benches, known, joining, records);
criterion_main!(benches);
