//! Benchmarks of writing and reading the ledger: `cargo bench -p housecount-ledger --bench ledger`
//!
//! The crowd of the ledger's figures (tests/crowd), after an hour. A *viewer-window* is a viewer
//! with any proven time in a window. `encode` makes a chunk of proof minus book and its bytes.
//! `decode` reads bytes into a book, as every reader does.

#![allow(missing_docs)]

#[path = "../../housecount-core/tests/crowd/mod.rs"]
mod crowd;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crowd::{Crowd, Shape, USUAL};
use housecount_core::fold::{Fold, ProvenSpans, Rules};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::{Book, Chunk, Draft};

const WINDOW_MS: u64 = 300_000;
const TTL_MS: u64 = 120_000;
const RULES: Rules = Rules { ttl_ms: TTL_MS, leave_grace_ms: 3_000 };
const KEPT_MS: u64 = 3_600_000 + TTL_MS;

/// Proven time of one viewer on one stage.
type Row = (String, String, Vec<Span>);

fn draft(proven: &[Row], book: &Book, window: Span) -> Chunk {
    let mut draft = Draft::new(book, window, KEPT_MS, window.to.plus(75_000));
    for (stage, viewer, spans) in proven {
        draft.add(ProvenSpans { stage, viewer, spans, parts: &[] });
    }
    draft.finish()
}

/// Returns the book after an hour, the proven time for the next window, and the number of viewers
/// in it.
fn an_hour_in(shape: Shape) -> (Fold, Book, Span, Vec<Row>, u64) {
    let base = UnixMs(1_790_000_000_000).aligned(WINDOW_MS);
    let (mut crowd, mut proof, mut book) =
        (Crowd::new(shape, base), Fold::new(RULES, 1, true), Book::default());
    for n in 0.. {
        let window = Span::new(base.plus(n * WINDOW_MS), base.plus((n + 1) * WINDOW_MS));
        crowd.play((n + 1) * WINDOW_MS + TTL_MS, |event| {
            proof.apply(&event);
        });
        let within = Span::new(window.from.minus(KEPT_MS), window.to.plus(75_000));
        let mut proven = Vec::new();
        proof.for_each_proven(0, within, |p| {
            proven.push((p.stage.to_string(), p.viewer.to_string(), p.spans.to_vec()));
        });
        if n == 12 {
            let is_here =
                |(_, _, spans): &&Row| spans.iter().any(|span| span.clip(window).is_some());
            let here = proven.iter().filter(is_here).count() as u64;
            return (proof, book, window, proven, here);
        }
        let (chunk, link) = Chunk::decode(&draft(&proven, &book, window).encode())
            .unwrap_or_else(|_| unreachable!());
        book.apply(&chunk, link, &mut ()).unwrap_or_else(|_| unreachable!());
    }
    unreachable!()
}

fn ledger(c: &mut Criterion) {
    let (proof, book, window, proven, here) = an_hour_in(USUAL);
    let chunk = draft(&proven, &book, window).encode();
    let mut group = c.benchmark_group("ledger, viewer-windows");
    group.throughput(Throughput::Elements(here));
    group.bench_function("gather", |b| {
        let within = Span::new(window.from.minus(KEPT_MS), window.to.plus(75_000));
        b.iter(|| {
            let mut count = 0;
            proof.for_each_proven(0, within, |_| count += 1);
            count
        });
    });
    group.bench_function("encode", |b| b.iter(|| draft(&proven, &book, window).encode()));
    group.bench_function("decode", |b| {
        let read = |mut book: Book| {
            let (chunk, link) = Chunk::decode(&chunk).unwrap_or_else(|_| unreachable!());
            let _ = book.apply(&chunk, link, &mut ());
            book
        };
        b.iter_batched(|| book.clone(), read, BatchSize::LargeInput);
    });
    group.finish();
    let mut group = c.benchmark_group("proof, events");
    group.throughput(Throughput::Elements(1_000_000));
    group.sample_size(10);
    group.bench_function("apply", |b| {
        b.iter(|| {
            let (mut crowd, mut proof, mut count) =
                (Crowd::new(USUAL, window.from), Fold::new(RULES, 1, true), 0);
            let mut until_ms = 0;
            while count < 1_000_000 {
                until_ms += 10_000;
                crowd.play(until_ms, |event| {
                    proof.apply(&event);
                    count += 1;
                });
            }
            proof.len()
        });
    });
    group.finish();
}

criterion_group!(benches, ledger);
criterion_main!(benches);
