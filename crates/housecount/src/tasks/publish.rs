//! Publishes counts as plain keys beside the log, for programs that expect them there (`publish_counts`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Progress;
use crate::error::StoreResult;
use crate::hub::Hub;
use crate::log::Log;

/// How often.
pub const PERIOD: Duration = Duration::from_secs(1);

/// What was published last, by stage.
pub type Published = BTreeMap<String, u64>;

/// Publishes what has changed since the last round.
///
/// # Errors
/// The log's. What was not published stays changed, and comes again.
pub async fn tick(log: &Arc<dyn Log>, hub: &Hub, published: &mut Published) -> StoreResult<Progress> {
    let views = hub.stages().of;
    let now: Published = views.into_iter().map(|view| (view.stage, view.count.viewers)).collect();
    let mut changes: Vec<(String, u64)> = Vec::new();
    for (stage, viewers) in &now {
        if published.get(stage).copied().unwrap_or(0) != *viewers {
            changes.push((stage.clone(), *viewers));
        }
    }
    changes.extend(published.keys().filter(|stage| !now.contains_key(*stage)).map(|s| (s.clone(), 0)));
    log.publish(&changes).await?;
    *published = now;
    Ok(Progress::Done)
}
