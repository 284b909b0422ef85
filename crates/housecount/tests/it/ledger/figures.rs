//! A measured figure of the ledger over HTTP, which isn't an everyday check. Run with:
//! `cargo test --release -p housecount --test it -- --ignored --nocapture figures::a_stage_day`.
//! docs/PROOFS.md has the figure that it prints.

use std::sync::Arc;

use housecount::app::App;
use housecount_backend::clock::mono_ms;
use housecount_backend::cold::Cold;
use housecount_backend::log::MemoryLog;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_net::client::Client;
use housecount_server::http::BoundListener;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;
use hyper::Method;

use super::settings;
use crate::support::committed_crowd::{play, writer};
use crate::support::crowd::{Crowd, Shape, USUAL};
use crate::support::eventually;
use crate::support::stage::{BASE, HOUR_MS, LATENESS_MS, TTL_MS, WINDOW_MS};

/// Reads one stage's day from the embedded store on disk, over HTTP. It has 10,000 viewers in the
/// day, then 10,000 at once.
#[timed_test(flavor = "multi_thread")]
#[ignore = "a figure, and takes a minute"]
async fn a_stage_day() {
    for (name, viewers) in [("10,000 viewers in a day", 208), ("10,000 viewers at once", 10_000)] {
        let folder = tempfile::tempdir().unwrap();
        let cold = SqliteCold::open(folder.path()).unwrap();
        let cold: Arc<dyn Cold> = Arc::new(cold);
        let (hub, proofs, mut commit) = writer(cold.clone());
        let base = BASE.aligned(24 * HOUR_MS).plus(24 * HOUR_MS);
        let warm_ms = base.since(BASE.aligned(WINDOW_MS));
        let mut crowd = Crowd::new(Shape { viewers, stages: 1, ..USUAL }, BASE.aligned(WINDOW_MS));
        // The day, and the time beyond it that is read for late spans.
        let windows = (warm_ms + 24 * HOUR_MS + LATENESS_MS + TTL_MS) / WINDOW_MS + 2;
        play(&mut crowd, &hub, &mut commit, 0..windows).await;
        let mut stage = String::new();
        proofs.for_each_proven(0, Span::new(UnixMs::ZERO, UnixMs::MAX), |proven| {
            stage = proven.stage.to_string()
        });

        let app = App::with_stores(settings(), Arc::new(MemoryLog::default()), Some(cold)).unwrap();
        let bound = BoundListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", bound.address)).unwrap();
        let node = app.node.clone();
        tokio::spawn(app.run(bound, std::future::pending()));
        eventually("the node is ready", async || {
            node.engine.readiness.not_ready_reason().is_none()
        })
        .await;
        let stage = stage.replace(':', "%3A").replace('/', "%2F");
        let range = format!("from={base}&to={}", base.plus(24 * HOUR_MS));
        for (what, path) in [
            ("watch", format!("/v1/stages/{stage}/watch?{range}&limit=1000")),
            ("history", format!("/v1/stages/{stage}/history?{range}&step=5m")),
        ] {
            let mut took_ms = Vec::new();
            let mut bytes = 0;
            for _ in 0..7 {
                let started_ms = mono_ms();
                let (status, body) = client.call(Method::GET, &path, "").await.unwrap();
                took_ms.push(mono_ms() - started_ms);
                bytes = body.len();
                assert_eq!(status, 200);
            }
            took_ms.sort_unstable();
            println!("{name}: {what} of the day took {took_ms:?} ms ({bytes} bytes)");
        }
    }
}
