//! `--demo N`: a simulated audience inside the node, so that the dashboard has data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use housecount_backend::rng;
use housecount_core::event::{EventKind, Seat};
use housecount_core::ids::{SessionId, StageId, ViewerId};
use housecount_core::stage::StageConfig;
use housecount_engine::internals::ChangeError;
use housecount_server::node::Node;
use tokio::time::Instant;

use crate::load::audience::{AudienceConfig, SimulatedAudience};

/// Name, customer and tag of each stage, the most popular first. One stage has no customer, as a
/// stage that an operator forgot.
const STAGES: [(&str, Option<&str>, (&str, &str)); 5] = [
    ("Cup final", Some("Northern League"), ("sport", "football")),
    ("Main stage", Some("Harbour Festival"), ("genre", "music")),
    ("Quarter-final", Some("Northern League"), ("sport", "football")),
    ("Morning show", Some("Daybreak"), ("genre", "news")),
    ("Town hall", None, ("genre", "talk")),
];

/// Plays the audience without end. Events pass through ingest as those of players do, but without
/// HTTP.
pub async fn run(node: Arc<Node>, viewers: u32) {
    let mut audience = SimulatedAudience::new(AudienceConfig {
        viewers,
        stages: STAGES.len() as u32,
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
    configure(&node, &audience).await;
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

/// Configures the stages that have no configuration yet. Without a cold tier none can be stored,
/// and the audience plays all the same.
async fn configure(node: &Node, audience: &SimulatedAudience) {
    let now = node.engine.clock.now().unwrap_or_default();
    for (n, (name, customer, (tag, value))) in (0..).zip(STAGES) {
        let config = StageConfig {
            stage: audience.stage_name(n),
            name: Some(name.to_string()),
            customer: customer.map(str::to_string),
            tags: BTreeMap::from([(tag.to_string(), value.to_string())]),
            public_count: None,
            created_at: now,
        };
        match node.engine.stages.create(config, now).await {
            Ok(_) | Err(ChangeError::AlreadyConfigured) => {}
            Err(error) => tracing::debug!(?error, "a stage of the demo was not configured"),
        }
    }
    node.config_list.forget().await;
}
