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

use crate::crowd::{Crowd, Rng};
use crate::stage::{BASE, LATENESS_MS, TTL_MS, WINDOW_MS};

/// The committer of a node over a cold tier, on the test's clock.
pub fn writer(cold: Arc<dyn Cold>) -> (Arc<Hub>, Arc<Proofs>, LedgerCommitter) {
    writer_with_labels(cold, &[])
}

/// Such a committer, whose sessions have labels with these keys: none, or country and device.
pub fn writer_with_labels(
    cold: Arc<dyn Cold>,
    keys: &[&str],
) -> (Arc<Hub>, Arc<Proofs>, LedgerCommitter) {
    let (log, metrics) = (Arc::new(MemoryLog::default()), Arc::new(Metrics::default()));
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let hub = Arc::new(Hub::new(Settings::default().rules, 1, true).with_labels(&keys));
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

/// Country and device of a viewer. Of 60 countries, the n-th has a share in proportion to 1 / n.
/// The four devices have 45, 30, 20 and 5 %.
fn labels_of(viewer: &str) -> String {
    let mut rng = Rng(viewer
        .bytes()
        .fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))));
    let weights: Vec<f64> = (1..=60).map(|n| 1.0 / f64::from(n)).collect();
    let mut left = rng.unit() * weights.iter().sum::<f64>();
    let is_passed = |weight: &&f64| {
        left -= **weight;
        left >= 0.0
    };
    let country = weights.iter().take_while(is_passed).count() as u8;
    let device = match rng.below(100) {
        0..45 => "phone",
        45..75 => "desktop",
        75..95 => "tv",
        _ => "tablet",
    };
    format!("{}{}\u{1}{device}", char::from(b'A' + country / 8), char::from(b'A' + country % 8))
}

/// Applies events one record at a time, as the follower does.
pub fn hear(hub: &Hub, sent: &[(UnixMs, EventKind, String, String)]) {
    let has_labels = !hub.label_keys().is_empty();
    for record in sent.chunks(RECORD_EVENTS_MAX) {
        let values: Vec<String> = match has_labels {
            true => record.iter().map(|(.., viewer)| labels_of(viewer)).collect(),
            false => vec![String::new(); record.len()],
        };
        let keys = if has_labels { "country\u{1}device" } else { "" };
        let events =
            record.iter().zip(&values).map(|((at, kind, stage, viewer), values)| EventRef {
                labels: SessionLabels::parse(keys, values, 0).unwrap(),
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
