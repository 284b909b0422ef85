//! An audience on the test's own clock, with a log of its events and the program's own writers. The
//! writers use the embedded store, so hours of consumed capacity are measured in minutes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use housecount_backend::clock::SharedClock;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_backend::log::{Log, PartitionMeta, Position, ReadResult};
use housecount_backend::tasks::{PeriodicTask, Progress};
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::fold::HandleKey;
use housecount_core::limits::{READ_RECORDS_MAX, RECORD_EVENTS_MAX};
use housecount_core::record::{self, RecordEntry};
use housecount_core::time::UnixMs;
use housecount_engine::internals::ArchiveProgress;
use housecount_engine::internals::ArchiveTask;
use housecount_engine::internals::Hub;
use housecount_engine::internals::LedgerCommitter;
use housecount_engine::internals::Proofs;
use housecount_engine::internals::SnapshotService;
use housecount_engine::{ArchiveFormat, ArchiveSettings, Settings};
use housecount_metrics::Metrics;
use parking_lot::Mutex;

use crate::cold::FaultyCold;
use crate::crowd::{Crowd, Shape};
use crate::stage::{BASE, LATENESS_MS, TTL_MS, WINDOW_MS};

/// Time for which heartbeats gather for the archive: the setting's default.
pub const SLOT_MS: u64 = 30_000;

/// A log on the test's clock that keeps the events of the last minutes.
#[derive(Debug, Default)]
pub struct Tape {
    /// Number of reads.
    reads: AtomicU64,
    inner: Mutex<(UnixMs, VecDeque<(Position, Bytes)>)>,
}

impl Tape {
    fn put(&self, at: UnixMs, record: Vec<u8>) {
        let (now, records) = &mut *self.inner.lock();
        *now = at.max(*now);
        let seq =
            records.back().filter(|(last, _)| last.at == at).map_or(0, |(last, _)| last.seq + 1);
        records.push_back((Position { at, seq }, record.into()));
    }

    fn advance(&self, to: UnixMs) {
        let (now, records) = &mut *self.inner.lock();
        *now = to;
        let from = records.partition_point(|(position, _)| position.at < to.minus(2 * WINDOW_MS));
        records.drain(..from);
    }
}

#[async_trait]
impl Log for Tape {
    fn partitions(&self) -> u16 {
        1
    }

    async fn append(&self, _: u16, _: Bytes) -> StoreResult<Position> {
        Err(StoreError::new(ErrorKind::Unsupported, "a tape is written by the test"))
    }

    async fn read(&self, _: u16, after: Position, _: HandleKey) -> StoreResult<ReadResult> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let (now, records) = &*self.inner.lock();
        let from = records.partition_point(|(position, _)| *position <= after);
        let found: Vec<_> = records.range(from..).take(READ_RECORDS_MAX).cloned().collect();
        let more = from + found.len() < records.len();
        let origin = PartitionMeta { created_at: BASE, ..PartitionMeta::default() };
        Ok(ReadResult { records: found, more, start_exists: true, clock: *now, origin })
    }

    async fn maintain(&self, _: u16, _: UnixMs, _: UnixMs) -> StoreResult<()> {
        Ok(())
    }

    async fn mark_complete(&self, _: u16, _: UnixMs) -> StoreResult<()> {
        Ok(())
    }

    async fn note_committed(&self, _: u16, _: UnixMs) -> StoreResult<()> {
        Ok(())
    }

    async fn publish_counts(&self, _: &[(String, u64)]) -> StoreResult<()> {
        Ok(())
    }
}

/// A node's writers, its log, its cold tier, and the audience. Counts and leases are written at
/// every window. The ledger is written where it is wanted, and the archive once it is switched on.
pub struct Hour {
    pub cold: Arc<FaultyCold>,
    pub now: UnixMs,
    /// Number of beats so far, and the beats of the last slot with their time, stage and viewer.
    pub beats: u64,
    pub last: Vec<(UnixMs, String, String)>,
    keeps_ledger: bool,
    tape: Arc<Tape>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    crowd: Crowd,
    commit: LedgerCommitter,
    snapshots: SnapshotService,
    archive: Option<ArchiveTask>,
}

impl Hour {
    pub async fn new(shape: Shape, keeps_ledger: bool) -> Hour {
        let cold = Arc::new(FaultyCold::new().await);
        let (tape, metrics, settings) =
            (Arc::new(Tape::default()), Arc::new(Metrics::default()), Settings::default());
        let hub = Arc::new(Hub::new(settings.rules, 1, true));
        hub.go_live();
        let proofs = Arc::new(Proofs::new(hub.fold(), LATENESS_MS, WINDOW_MS));
        let (log, name) = (tape.clone(), "test".to_string());
        let commit = LedgerCommitter::new(
            log,
            cold.clone(),
            hub.clone(),
            proofs,
            metrics.clone(),
            name.clone(),
            settings.commit(),
        );
        let clock = Arc::new(SharedClock::default());
        let (stretch, of) = (Arc::default(), hub.clone());
        let snapshots = SnapshotService::new(
            of,
            cold.clone(),
            clock,
            metrics.clone(),
            name,
            settings.snapshots(),
            stretch,
        );
        let now = BASE.aligned(WINDOW_MS);
        let (crowd, archive) = (Crowd::new(shape, now), None);
        let last = Vec::new();
        Hour {
            cold,
            now,
            beats: 0,
            last,
            keeps_ledger,
            tape,
            hub,
            metrics,
            crowd,
            commit,
            snapshots,
            archive,
        }
    }

    /// Archives every heartbeat from now on.
    pub fn archive(&mut self, form: ArchiveFormat) {
        let kept = ArchiveSettings { form, flush_ms: SLOT_MS, retention_ms: 90 * 86_400_000 };
        self.archive = Some(ArchiveTask::new(
            self.tape.clone(),
            self.cold.clone(),
            self.hub.clone(),
            self.metrics.clone(),
            Arc::new(ArchiveProgress::new(1)),
            "test".to_string(),
            kept,
            Settings::default().archive_params(kept),
        ));
    }

    /// Runs one slot: the audience sends its events, and the due writers write.
    pub async fn slot(&mut self) {
        let to = self.now.plus(SLOT_MS);
        let mut sent: Vec<(UnixMs, EventKind, String, String)> = Vec::new();
        let base = BASE.aligned(WINDOW_MS);
        self.crowd.play(to.since(base), |e| {
            sent.push((e.at, e.kind, e.ids.stage.to_string(), e.ids.viewer.to_string()));
        });
        // One record per second, or several where the second has too many events.
        for second in sent.chunk_by(|a, b| a.0.0 / 1_000 == b.0.0 / 1_000) {
            for some in second.chunks(RECORD_EVENTS_MAX) {
                let events = some.iter().map(|(at, kind, stage, viewer)| EventRef {
                    labels: SessionLabels::NONE,
                    at: *at,
                    kind: *kind,
                    ids: Ids { stage, viewer, session: "" },
                });
                let events: Vec<EventRef<'_>> = events.collect();
                let entries: Vec<RecordEntry<'_>> =
                    events.iter().map(|event| RecordEntry::Full(*event)).collect();
                self.tape.put(some[some.len() - 1].0, record::encode(&entries));
                self.hub.apply(events);
            }
        }
        let beats = sent.into_iter().filter(|(_, kind, ..)| *kind == EventKind::Beat);
        self.last = beats.map(|(at, _, stage, viewer)| (at, stage, viewer)).collect();
        self.beats += self.last.len() as u64;
        self.now = to;
        self.tape.advance(to);
        self.hub.advance(to);
        self.write().await;
    }

    /// Runs the archive's task between slots, and returns how often it then read the log. The task
    /// ticks thirty times per slot.
    pub async fn look(&mut self) -> u64 {
        let before = self.tape.reads.load(Ordering::SeqCst);
        if let Some(archive) = &mut self.archive {
            archive.tick().await.unwrap();
        }
        self.tape.reads.load(Ordering::SeqCst) - before
    }

    async fn write(&mut self) {
        let now = self.now;
        if let Some(archive) = &mut self.archive {
            archive.tick().await.unwrap();
        }
        if now == now.aligned(WINDOW_MS) {
            // Writing may have taken longer, on the real clock, than a log may be silent.
            self.hub.advance(now);
            self.snapshots.once().await.unwrap();
        }
        let due = now.since(now.aligned(WINDOW_MS)) == TTL_MS + SLOT_MS;
        if self.keeps_ledger && due {
            while self.commit.step(0, now).await.unwrap() == Progress::More {}
        }
    }

    /// Number of viewers at present.
    pub fn viewers(&self) -> u64 {
        self.hub.totals().value.0.viewers
    }
}
