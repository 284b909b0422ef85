//! `--demo N`: a simulated audience inside the node, so that the dashboard has data.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::rng;
use housecount_core::event::{EventKind, Seat};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_server::node::Node;
use tokio::time::Instant;

use crate::load::audience::{AudienceConfig, SimulatedAudience};

/// Number of the demo's stages.
const STAGES: u32 = 5;

/// Plays the audience without end. Events pass through ingest as those of players do, but without
/// HTTP.
pub async fn run(node: Arc<Node>, viewers: u32) {
    let mut audience = SimulatedAudience::new(AudienceConfig {
        viewers,
        stages: STAGES,
        interval_ms: node.engine.settings.interval_ms,
        stay_ms: 120_000,
        gap_ms: 20_000,
        ramp_ms: 10_000,
        prefix: "demo-".to_string(),
        seed: rng::random(),
    });
    // No viewer can be counted until the log's clock is known.
    while node.engine.readiness.not_ready_reason().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    loop {
        let Some(at_ms) = audience.next_at_ms() else { return };
        tokio::time::sleep_until(started + Duration::from_millis(at_ms)).await;
        let now_ms = started.elapsed().as_millis() as u64;
        let mut events = Vec::new();
        while audience.next_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            events.extend(audience.next().and_then(|action| {
                let kind = if action.is_leave { EventKind::Leave } else { EventKind::Beat };
                let stage = StageId::parse(&audience.stage_name(action.stage)).ok()?;
                let viewer = ViewerId::parse(&audience.viewer_name(action.viewer)).ok()?;
                Some((kind, Seat { stage, viewer, session: SessionId::unnamed() }))
            }));
        }
        if let Err(refused) = node.engine.ingest.submit(events).await {
            tracing::debug!(?refused, "heartbeats of the demo were rejected");
        }
    }
}
