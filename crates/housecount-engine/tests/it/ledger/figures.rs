//! Measured figures of the ledger, which aren't everyday checks. Run with:
//! `cargo test --release -p housecount-engine --test it -- --ignored --nocapture --test-threads 1 figures`.
//! docs/PROOFS.md has the figures that they print.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use housecount_backend::clock::mono_ms;
use housecount_backend::cold::{Cold, Purpose};
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::keys::{Chain, Series};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan;
use housecount_ledger::watch::WatchFilter;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;

use crate::support::cold::FaultyCold;
use crate::support::committed_crowd::{commit_all, hear, play, writer, writer_with_labels};
use crate::support::crowd::{Crowd, IdStyle, Shape, USUAL};
use crate::support::stage::{BASE, LATENESS_MS, TTL_MS, WINDOW_MS};

const MONTH_WINDOWS: u64 = 30 * 24 * 12;
/// DynamoDB on-demand write, us-east-1, 2026-10.
const DOLLARS_PER_MILLION: f64 = 0.625;

#[timed_test]
#[ignore = "a figure, and takes minutes"]
async fn bytes_and_dollars() {
    for (name, shape) in [
        ("10,000 viewers, 16 characters of base64url", USUAL),
        ("the same, 36-character UUIDs", Shape { ids: IdStyle::Uuid, ..USUAL }),
        ("the same, 16 hexadecimal digits", Shape { ids: IdStyle::Hex16, ..USUAL }),
        ("base64url, one stage", Shape { stages: 1, ..USUAL }),
        ("base64url, 10,000 small stages", Shape { stages: 10_000, zipf: false, ..USUAL }),
    ] {
        measure_a_day(name, shape, &[]).await;
    }
}

/// Measures the first of these audiences with two labels: 60 countries and four devices.
#[timed_test]
#[ignore = "a figure, and takes minutes"]
async fn dollars_with_labels() {
    measure_a_day("10,000 viewers with two labels", USUAL, &["country", "device"]).await;
}

/// Measures a day after four hours of warm-up. One of the day's windows is a keyframe.
async fn measure_a_day(name: &str, shape: Shape, labels: &[&str]) {
    let cold = Arc::new(FaultyCold::new().await);
    let (hub, proofs, mut commit) = writer_with_labels(cold.clone(), labels);
    let base = BASE.aligned(WINDOW_MS);
    let mut crowd = Crowd::new(shape, base);
    let (warm, windows) = (48, 288);
    play(&mut crowd, &hub, &mut commit, 0..warm).await;
    let before = cold.meter().units(Purpose::Ledger).writes as f64;
    let (mut here, mut open) = (0u64, 0u64);
    for n in warm..warm + windows {
        play(&mut crowd, &hub, &mut commit, n..n + 1).await;
        let window = Span::new(base.plus(n * WINDOW_MS), base.plus((n + 1) * WINDOW_MS));
        proofs.for_each_proven(0, window, |proven| {
            here += 1;
            open += u64::from(proven.spans.last().is_some_and(|span| span.to == window.to));
        });
    }
    let units = cold.meter().units(Purpose::Ledger).writes as f64 - before;
    let month = units / windows as f64 * MONTH_WINDOWS as f64;
    println!(
        "{name}: {:.0} viewers at a window's end, {:.0} in a window; {:.2} write units a window, {:.2} B a \
         viewer-window; {:.3} M units and ${:.3} a month",
        open as f64 / windows as f64,
        here as f64 / windows as f64,
        units / windows as f64,
        units * 1024.0 / here as f64,
        month / 1e6,
        month / 1e6 * DOLLARS_PER_MILLION
    );
}

/// Commits a window of a million viewers while events keep coming in.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure, and takes a gigabyte"]
async fn a_million_viewers() {
    let cold = Arc::new(FaultyCold::new().await);
    let (hub, proofs, mut commit) = writer(cold.clone());
    let shape = Shape { viewers: 1_130_000, stages: 100, stay_ms: 1_800_000.0, ..USUAL };
    let mut crowd = Crowd::new(shape, BASE.aligned(WINDOW_MS));
    // By then, a window has a million of them.
    play(&mut crowd, &hub, &mut commit, 0..14).await;
    println!(
        "{} viewers on stages are remembered; {} MB resident, all in all",
        proofs.len(),
        resident_mb()
    );
    let (stop, busy) = (Arc::new(AtomicBool::new(false)), hub.clone());
    let (stopped, committing) = (stop.clone(), Arc::new(AtomicBool::new(false)));
    let is_committing = committing.clone();
    let at = BASE.aligned(WINDOW_MS).plus(15 * WINDOW_MS + TTL_MS);
    let worst = std::thread::spawn(move || {
        // The thread applies a small record every so often, as the follower does. Any wait is for
        // the lock.
        let (mut worst_us, mut n) = (0, 0u64);
        while !stopped.load(Ordering::Relaxed) {
            let viewer = format!("busy-{}", n % 1_000);
            n += 1;
            let beat = EventRef {
                labels: SessionLabels::NONE,
                at,
                kind: EventKind::Beat,
                ids: Ids { stage: "busy", viewer: &viewer, session: "" },
            };
            let started = tokio::time::Instant::now();
            busy.apply([beat]);
            if is_committing.load(Ordering::Relaxed) {
                worst_us = worst_us.max(started.elapsed().as_micros());
            }
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        (worst_us, n)
    });
    for n in 14..17 {
        let edge_ms = (n + 1) * WINDOW_MS;
        let mut sent: Vec<(UnixMs, EventKind, String, String)> = Vec::new();
        crowd.play(edge_ms + TTL_MS, |e| {
            sent.push((e.at, e.kind, e.ids.stage.to_string(), e.ids.viewer.to_string()))
        });
        hear(&hub, &sent);
        drop(sent);
        committing.store(true, Ordering::Relaxed);
        let started_ms = mono_ms();
        commit_all(&mut commit, BASE.aligned(WINDOW_MS).plus(edge_ms + TTL_MS + 500)).await;
        let took_ms = mono_ms() - started_ms;
        committing.store(false, Ordering::Relaxed);
        let base = BASE.aligned(WINDOW_MS);
        let (mut here, window) = (0, Span::new(base.plus(n * WINDOW_MS), base.plus(edge_ms)));
        proofs.for_each_proven(0, window, |_| here += 1);
        let open = housecount_open(&cold).await;
        println!("window {n}: {here} viewers in it, {open} at its end, committed in {took_ms} ms");
    }
    stop.store(true, Ordering::Relaxed);
    let (worst_us, applied) = worst.join().unwrap();
    println!(
        "{applied} records applied, one a millisecond; the longest during a commit took {worst_us} us, lock and all"
    );
}

fn resident_mb() -> u64 {
    resident_kb("VmRSS:") / 1024
}

fn resident_kb(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
}

/// Memory per viewer with the ledger, at four times. They are a first commit, the time after it, a
/// commit without changes, and the time once all have left. Run each test by its whole name: it
/// needs a process of its own.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure, and takes a minute"]
async fn memory_of_100_000_viewers() {
    memory(100_000).await;
}

#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure, and takes minutes"]
async fn memory_of_a_million_viewers() {
    memory(1_000_000).await;
}

async fn memory(viewers: u64) {
    let folder = tempfile::tempdir().unwrap();
    let cold = SqliteCold::open(folder.path()).unwrap();
    let (hub, proofs, mut commit) = writer(Arc::new(cold));
    let base = BASE.aligned(WINDOW_MS);
    // The kernel starts to count the peak again from here.
    let forget_peak = || std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let start_kb = resident_kb("VmRSS:");
    let show = |what: &str| {
        let each = |kb: u64| kb.saturating_sub(start_kb) as f64 * 1024.0 / viewers as f64;
        let (now, peak) = (each(resident_kb("VmRSS:")), each(resident_kb("VmHWM:")));
        println!("{viewers} viewers, {what}: {now:.0} B a viewer, {peak:.0} B at most meanwhile");
    };
    let beat = |kind: EventKind, at: UnixMs| {
        for n in 0..viewers {
            let id = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_ac69_5d12_b3a1);
            let hex = format!("{id:032x}");
            let viewer = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
            let at = at.plus(n % 1_000);
            hub.apply([EventRef {
                labels: SessionLabels::NONE,
                at,
                kind,
                ids: Ids { stage: "stage", viewer: &viewer, session: "" },
            }]);
        }
    };
    for n in 0..2 {
        for ms in (0..WINDOW_MS).step_by(60_000) {
            beat(EventKind::Beat, base.plus(n * WINDOW_MS + ms));
        }
        if n == 0 {
            show("in the fold alone");
        }
        beat(EventKind::Beat, base.plus((n + 1) * WINDOW_MS + 1_000));
        forget_peak();
        let now = base.plus((n + 1) * WINDOW_MS + TTL_MS + 500);
        hub.advance(now);
        commit_all(&mut commit, now).await;
        show(if n == 0 { "committed for the first time" } else { "committed without changes" });
    }
    beat(EventKind::Leave, base.plus(2 * WINDOW_MS + 2_000));
    let gone = base.plus(2 * WINDOW_MS + LATENESS_MS + TTL_MS + 4 * WINDOW_MS);
    for ms in (0..gone.since(base.plus(2 * WINDOW_MS))).step_by(WINDOW_MS as usize) {
        let now = base.plus(3 * WINDOW_MS + ms + TTL_MS + 500);
        hub.advance(now);
        commit_all(&mut commit, now).await;
        proofs.prune(0);
    }
    forget_peak();
    show("all have left");
    assert!(proofs.is_empty());
}

async fn housecount_open(cold: &Arc<FaultyCold>) -> usize {
    let chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };
    let mut reading =
        housecount_engine::internals::chain::ChainReader::open(&**cold, chain, UnixMs::MAX)
            .await
            .unwrap();
    while reading.next(&**cold, &mut ()).await.unwrap().is_some() {}
    reading.book.open()
}

/// Measures the memory for reading thirty days of one stage with 1,000 viewers at once.
#[timed_test]
#[ignore = "a figure, and takes minutes"]
async fn thirty_days() {
    let folder = tempfile::tempdir().unwrap();
    let cold = SqliteCold::open(folder.path()).unwrap();
    let cold: Arc<dyn Cold> = Arc::new(cold);
    let (hub, proofs, mut commit) = writer(cold.clone());
    let mut crowd =
        Crowd::new(Shape { viewers: 1_000, stages: 1, ..USUAL }, BASE.aligned(WINDOW_MS));
    for window in 0..MONTH_WINDOWS {
        play(&mut crowd, &hub, &mut commit, window..window + 1).await;
        proofs.prune(0);
    }
    let from = BASE.aligned(WINDOW_MS);
    let range = Span::new(from, from.plus(MONTH_WINDOWS * WINDOW_MS));
    // The kernel starts to count the peak again from here.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before_mb = resident_mb();
    let started_ms = mono_ms();
    let page = scan::watch(&cold, &proofs, range, WatchFilter::default(), 1_000).await.unwrap();
    let took_ms = mono_ms() - started_ms;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!(
        "a page of {} rows of 30 days took {took_ms} ms; {before_mb} MB resident before, at most {peak} meanwhile",
        page.rows.len()
    );
}
