//! The ledger's bounds, each reached by a test.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use housecount_backend::clock::{SharedClock, mono_ms};
use housecount_backend::log::{Log, MemoryLog, Position};
use housecount_backend::tasks::PeriodicTask;
use housecount_core::fold::HandleKey;
use housecount_core::keys::{Chain, Series};
use housecount_core::limits::{CHUNK_PARTS_PUT_MAX, ITEM_BYTES_MAX, UNCOMMITTED_RETENTION_MS_MAX};
use housecount_core::time::UnixMs;
use housecount_engine::Settings;
use housecount_engine::internals::chunks::ChunkWrite;
use housecount_engine::internals::{Hub, LogMaintenance, Proofs, chunks};
use housecount_test::timed_test;

use crate::support::cold::FaultyCold;
use crate::support::stage::{HOUR_MS, LATENESS_MS, TTL_MS, WINDOW_MS};

/// The log is trimmed behind committed time. Uncommitted records are kept, but only for a limited
/// time.
#[timed_test]
async fn uncommitted_retention_ms_max() {
    let log = Arc::new(MemoryLog::default());
    let appended = log.append(0, "a record".into()).await.unwrap().at;
    let hub = Arc::new(Hub::new(Settings::default().rules, 1, true));
    let proofs = Arc::new(Proofs::new(hub.fold(), LATENESS_MS, WINDOW_MS));
    let kept_ms = Settings::default().log_kept_ms();
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
            rules: Settings::default().rules,
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
