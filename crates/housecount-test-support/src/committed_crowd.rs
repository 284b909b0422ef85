//! A crowd whose proven time is committed window by window, for figures.

use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::log::MemoryLog;
use housecount_backend::tasks::Progress;
use housecount_core::event::{EventKind, EventRef, Ids, SessionLabels};
use housecount_core::limits::RECORD_EVENTS_MAX;
use housecount_core::time::UnixMs;
use housecount_engine::Settings;
use housecount_engine::internals::{Hub, LedgerCommitter, Proofs};
use housecount_metrics::Metrics;

use crate::crowd::Crowd;
use crate::stage::{BASE, LATENESS_MS, TTL_MS, WINDOW_MS};

/// The committer of a node over a cold tier, on the test's clock.
pub fn writer(cold: Arc<dyn Cold>) -> (Arc<Hub>, Arc<Proofs>, LedgerCommitter) {
    let (log, metrics) = (Arc::new(MemoryLog::default()), Arc::new(Metrics::default()));
    let hub = Arc::new(Hub::new(Settings::default().rules, 1, true));
    let proofs = Arc::new(Proofs::new(hub.fold(), LATENESS_MS, WINDOW_MS));
    let commit = LedgerCommitter::new(
        log,
        cold,
        hub.clone(),
        proofs.clone(),
        metrics,
        "test".to_string(),
        Settings::default().commit(),
    );
    (hub, proofs, commit)
}

pub async fn commit_all(commit: &mut LedgerCommitter, now: UnixMs) {
    while commit.step(0, now).await.unwrap() == Progress::More {}
}

/// Applies events one record at a time, as the follower does.
pub fn hear(hub: &Hub, sent: &[(UnixMs, EventKind, String, String)]) {
    for record in sent.chunks(RECORD_EVENTS_MAX) {
        let events = record.iter().map(|(at, kind, stage, viewer)| EventRef {
            labels: SessionLabels::NONE,
            at: *at,
            kind: *kind,
            ids: Ids { stage, viewer, session: "" },
        });
        hub.apply(events);
    }
    hub.advance(sent.iter().map(|(at, ..)| *at).max().unwrap_or_default());
}

/// Plays a crowd window by window, and commits each window.
pub async fn play(
    crowd: &mut Crowd,
    hub: &Hub,
    commit: &mut LedgerCommitter,
    windows: std::ops::Range<u64>,
) {
    for n in windows {
        let edge_ms = (n + 1) * WINDOW_MS;
        let mut sent: Vec<(UnixMs, EventKind, String, String)> = Vec::new();
        crowd.play(edge_ms + TTL_MS, |e| {
            sent.push((e.at, e.kind, e.ids.stage.to_string(), e.ids.viewer.to_string()))
        });
        hear(hub, &sent);
        commit_all(commit, BASE.aligned(WINDOW_MS).plus(edge_ms + TTL_MS + 500)).await;
    }
}
