//! Measured figures of reports, which aren't everyday checks. Run with:
//! `cargo test --release -p housecount --test it -- --ignored --nocapture reports::figures`.
//! docs/PERFORMANCE.md has the figures that they print.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use housecount_backend::clock::mono_ms;
use housecount_backend::cold::Cold;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;

use crate::support::committed_crowd::{play, writer};
use crate::support::crowd::{Crowd, Shape, USUAL};
use crate::support::dynamo::Dynamo;
use crate::support::node::housecount;
use crate::support::stage::{BASE, HOUR_MS, LATENESS_MS, TTL_MS, WINDOW_MS};

/// Runs a command. Returns its time in ms, its largest resident memory in KiB, and its output.
async fn measured(arguments: &[String]) -> (u64, u64, String) {
    let began_ms = mono_ms();
    let mut child = housecount().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = status.ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().split(' ').next()?.parse().ok()
        });
        most = line.unwrap_or(most);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took_ms = mono_ms() - began_ms;
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    (took_ms, most, String::from_utf8(output.stdout).unwrap())
}

/// Days of an audience; each has some 480,000 viewers.
const DAYS: u64 = 1;

/// Reports days of 10,000 viewers at once, on one stage and on twenty.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure, and takes minutes"]
async fn stage_days() {
    for stages in [1, 20] {
        let folder = tempfile::tempdir().unwrap();
        let cold: Arc<dyn Cold> = Arc::new(SqliteCold::open(&folder.path().join("cold")).unwrap());
        let (hub, proofs, mut commit) = writer(cold.clone());
        let base = BASE.aligned(24 * HOUR_MS).plus(24 * HOUR_MS);
        let warm_ms = base.since(BASE.aligned(WINDOW_MS));
        let shape = Shape { viewers: 10_000, stages, ..USUAL };
        let mut crowd = Crowd::new(shape, BASE.aligned(WINDOW_MS));
        let windows = (warm_ms + DAYS * 24 * HOUR_MS + LATENESS_MS + TTL_MS) / WINDOW_MS + 2;
        play(&mut crowd, &hub, &mut commit, 0..windows).await;
        let mut stage = String::new();
        proofs.for_each_proven(0, Span::new(UnixMs::ZERO, UnixMs::MAX), |proven| {
            stage = proven.stage.to_string()
        });
        drop((cold, commit));

        let dynamo = Dynamo::start().await;
        dynamo.make_table("reports");
        let to = dynamo.url("reports");
        let from = format!("embedded:{}", folder.path().join("cold").display());
        let copied = measured(&["copy", "--from", &from, "--to", &to].map(String::from)).await;
        println!("{stages} stages: copied in {} ms", copied.0);
        for (engine, cold) in [("embedded", from), ("DynamoDB", to)] {
            let mut arguments =
                ["report", "--format", "json", "--cold", &cold].map(String::from).to_vec();
            let range =
                ["--from", &base.to_string(), "--to", &base.plus(DAYS * 24 * HOUR_MS).to_string()]
                    .map(String::from);
            arguments.extend(range);
            if stages == 1 {
                arguments.extend(["--stage".to_string(), stage.clone()]);
            }
            for _ in 0..3 {
                let (took_ms, kib, text) = measured(&arguments).await;
                let report: serde_json::Value = serde_json::from_str(&text).unwrap();
                let viewers = &report["uniqueViewers"];
                println!(
                    "{engine}, {DAYS} days, {stages} stages, {viewers} viewers: {took_ms} ms, {} MB",
                    kib / 1_000
                );
            }
        }
    }
}
