//! Bounds of exports and of reads over HTTP, each reached by a test.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount::app::App;
use housecount::export::{
    self, BillingRounding, CsvStyle, ExportFormat, ExportRequest, atomic_file,
};
use housecount_backend::cold::Cold;
use housecount_backend::log::MemoryLog;
use housecount_core::limits::{EXPORT_ROWS_MAX, SCANS_MAX};
use housecount_net::client::Client;
use housecount_server::calendar::PeriodUnit;
use housecount_server::http::BoundListener;
use housecount_test::timed_test;
use hyper::Method;

use super::{settings, stage};
use crate::support::cold::FaultyCold;
use crate::support::eventually;

/// An export in passes of a few rows equals an export in one pass.
#[timed_test]
async fn export_rows_max() {
    let stage = stage::an_hour(30).await;
    let folder = tempfile::tempdir().unwrap();
    let exported = async |rows_max: usize, by_customer: bool| {
        let range = stage::range();
        let request = ExportRequest {
            range,
            stage: None,
            by_customer,
            by_label: None,
            intervals: false,
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
    let app = App::with_stores(settings(), Arc::new(MemoryLog::default()), Some(shared)).unwrap();
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
