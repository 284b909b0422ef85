//! The ledger's bounds, each reached by a test.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount::app::App;
use housecount::export::{
    self, BillingRounding, CsvStyle, ExportFormat, ExportRequest, atomic_file,
};
use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::cold::Cold;
use housecount_backend::log::{Log, MemoryLog, Position};
use housecount_backend::tasks::PeriodicTask;
use housecount_core::fold::HandleKey;
use housecount_core::keys::{Chain, Series};
use housecount_core::limits::{
    CHUNK_PARTS_PUT_MAX, EXPORT_ROWS_MAX, ITEM_BYTES_MAX, SCANS_MAX, UNCOMMITTED_RETENTION_MS_MAX,
};
use housecount_core::time::UnixMs;
use housecount_engine::internals::Hub;
use housecount_engine::internals::LogMaintenance;
use housecount_engine::internals::Proofs;
use housecount_engine::internals::chunks;
use housecount_engine::internals::chunks::ChunkWrite;
use housecount_net::client::Client;
use housecount_server::calendar::PeriodUnit;
use housecount_server::http::BoundListener;
use housecount_test::timed_test;
use hyper::Method;

use super::damage;
use super::stage::{HOUR_MS, LATENESS_MS, TTL_MS, WINDOW_MS, settings};
use crate::support::cold::FaultyCold;
use crate::support::eventually;

/// The log is trimmed behind committed time. Uncommitted records are kept, but only for a limited
/// time.
#[timed_test]
async fn uncommitted_retention_ms_max() {
    let log = Arc::new(MemoryLog::default());
    let appended = log.append(0, "a record".into()).await.unwrap().at;
    let hub = Arc::new(Hub::new(settings(&[]).engine.rules, 1, true));
    let proofs = Arc::new(Proofs::new(hub.fold(), LATENESS_MS, WINDOW_MS));
    let kept_ms = settings(&[]).engine.log_kept_ms();
    // Whether the record is still in the log at a later time, with this much committed.
    let is_kept = async |later_ms: u64, committed: UnixMs| {
        let clock = Arc::new(SharedClock::default());
        clock.observe(mono_ms(), appended.plus(later_ms));
        proofs.note_committed(0, committed);
        let (hub, proofs) = (hub.clone(), Some(proofs.clone()));
        let mut tend = LogMaintenance {
            log: log.clone(),
            clock,
            hub,
            proofs,
            archived: None,
            pruned_at: None,
            kept_ms,
            rules: settings(&[]).engine.rules,
            interval_ms: 30_000,
        };
        tend.tick().await.unwrap();
        let left = log.read(0, Position::START, HandleKey::default()).await.unwrap().records;
        // Excludes the records without events that the task itself appends.
        left.iter()
            .any(|(_, record)| record.as_ref() == b"a record" || record.as_ref() == b"another")
    };
    assert!(is_kept(2 * kept_ms, UnixMs::ZERO).await, "uncommitted records are kept");
    assert!(
        is_kept(HOUR_MS, appended.plus(2 * TTL_MS)).await,
        "a record before the ledger's end may prove later time"
    );
    assert!(is_kept(UNCOMMITTED_RETENTION_MS_MAX - 1_000, appended).await);
    assert!(
        !is_kept(UNCOMMITTED_RETENTION_MS_MAX + 1_000, appended).await,
        "an uncommitted record is kept for a limited time"
    );

    let position = log.append(0, "another".into()).await.unwrap().at;
    assert!(
        is_kept(position.since(appended) + kept_ms - 1_000, position.plus(HOUR_MS)).await,
        "a new record is kept"
    );
    assert!(!is_kept(position.since(appended) + kept_ms + 1_000, position.plus(HOUR_MS)).await);
}

/// An export in passes of a few rows equals an export in one pass.
#[timed_test]
async fn export_rows_max() {
    let stage = damage::an_hour(30).await;
    let folder = tempfile::tempdir().unwrap();
    let exported = async |rows_max: usize, by_customer: bool| {
        let range = damage::range();
        let request = ExportRequest {
            range,
            stage: None,
            by_customer,
            period: PeriodUnit::Month,
            zone: None,
            round: BillingRounding::ViewerMinute,
            format: ExportFormat::Csv(CsvStyle::Guarded),
            rows_max,
        };
        let out = folder.path().join("out.csv");
        let (mut parts, cold) = (Vec::new(), stage.cold());
        let progress = |part| parts.push(part);
        let exported = atomic_file::write_atomically(&out, async |out| {
            export::write(&cold, &request, out, progress).await
        })
        .await
        .unwrap();
        assert!(parts.iter().all(|part| (0.0..=2.0).contains(part)) && !parts.is_empty());
        (exported, std::fs::read_to_string(out).unwrap())
    };
    for by_customer in [false, true] {
        let whole = exported(EXPORT_ROWS_MAX, by_customer).await;
        assert_eq!(whole.0.rows, if by_customer { 1 } else { 30 });
        for rows_max in [1, 7, 30] {
            assert_eq!(exported(rows_max, by_customer).await, whole, "{rows_max}");
        }
    }
}

/// At most `SCANS_MAX` scans run at once; another scan waits until one is done.
#[timed_test(flavor = "multi_thread")]
async fn scans_max() {
    let cold = Arc::new(FaultyCold::new().await);
    let shared: Arc<dyn Cold> = cold.clone();
    let app = App::with_stores(settings(&[]), Arc::new(MemoryLog::default()), Some(shared));
    let bound = BoundListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", bound.address)).unwrap();
    let node = app.node.clone();
    tokio::spawn(app.run(bound, std::future::pending()));
    eventually("the node is ready", async || node.engine.readiness.not_ready_reason().is_none())
        .await;
    assert_eq!(node.engine.scans.open.available_permits(), SCANS_MAX);
    let taken = node.engine.scans.open.acquire_many(SCANS_MAX as u32).await.unwrap();
    let before = cold.calls.load(Ordering::SeqCst);
    let waits =
        tokio::spawn(
            async move { client.call(Method::GET, "/v1/stages/s/watch", "").await.unwrap().0 },
        );
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    drop(taken);
    assert_eq!(waits.await.unwrap(), 200);
    assert!(cold.calls.load(Ordering::SeqCst) > before);
}

/// A chunk of many items is put a few at a time, and read whole.
#[timed_test]
async fn chunk_parts_put_max() {
    let cold = FaultyCold::new().await;
    let chain = Chain { series: Series::Ledger, partitions: 1, partition: 0 };
    let bytes: Vec<u8> =
        (0..(2 * CHUNK_PARTS_PUT_MAX + 2) * ITEM_BYTES_MAX).map(|n| (n % 251) as u8).collect();
    let before = cold.calls.load(Ordering::SeqCst);
    let written = chunks::write(&cold, chain, UnixMs(1_000), &bytes, None).await.unwrap();
    assert!(matches!(written, ChunkWrite::Done));
    assert_eq!(
        cold.calls.load(Ordering::SeqCst) - before,
        3 + 1,
        "three puts of parts, then the head"
    );
    let read = chunks::ChunkReader::at(chain, UnixMs::ZERO, UnixMs::MAX).next(&cold).await.unwrap();
    assert!(read.is_some_and(|read| read.bytes == bytes));
}
