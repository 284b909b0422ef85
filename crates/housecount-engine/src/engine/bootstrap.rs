//! Start-up of a node: reaches the stores, reads the log to its end, and bridges what the log
//! lacks.
//!
//! Every step waits for its store without a limit. `/readyz` has the step's progress and the store
//! that it waits for. Only a permanent error (a table with other keys, a log with other partitions)
//! stops the node.

use std::sync::Arc;
use std::time::Duration;

use housecount_backend::cold::Cold;
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::limits::BRIDGE_AGE_MS_MAX;
use housecount_core::roster::Roster;
use housecount_core::time::UnixMs;

use crate::engine::{Readiness, Settings};
use crate::follower::progress::StartStep;
use crate::follower::{Follower, LogContinuity};
use crate::hub::Hub;
use crate::ledger::{self, Proofs};
use crate::snapshots::roster::{LastRoster, last_roster};

/// Pause between two tries to reach a store.
const RETRY: Duration = Duration::from_millis(500);

/// Brings a node from its start to live counts.
///
/// # Errors
/// Returns a `StoreError` only if it is permanent: `Schema`, `Refused` or `Unsupported`.
pub async fn bootstrap(
    follower: &mut Follower,
    hub: &Hub,
    cold: Option<&Arc<dyn Cold>>,
    proofs: Option<&Proofs>,
    settings: &Settings,
    readiness: &Readiness,
) -> StoreResult<()> {
    let mut wait = Wait { readiness, waits_for: None };
    if let Some(cold) = cold {
        readiness.begin(StartStep::CheckingColdTier);
        while let Err(error) = cold.check().await {
            wait.retry("the cold tier", error).await?;
        }
    }
    readiness.begin(StartStep::ReadingLog);
    let reached = read_to_end(follower, &mut wait).await?;
    readiness.begin(StartStep::ReadingRoster);
    let remembered = loop {
        let Some(cold) = cold else { break LastRoster::Unusable };
        match last_roster(&**cold, reached).await {
            Ok(remembered) => break remembered,
            Err(error) => wait.retry("the cold tier", error).await?,
        }
    };
    // The node may have waited for the cold tier while other nodes continued.
    readiness.begin(StartStep::ReadingLog);
    let now = read_to_end(follower, &mut wait).await?;
    if let LastRoster::Last(_, roster) = &remembered {
        hub.restore_peaks(roster);
    }
    let past = match follower.continuity(now) {
        // There was no data before, so the node marks the log as whole.
        LogContinuity::Lost { .. } if remembered == LastRoster::Nothing => {
            while let Err(error) = follower.mark_whole().await {
                wait.retry("the log", error).await?;
            }
            LogContinuity::Complete
        }
        past => past,
    };
    if let (LogContinuity::Lost { .. }, Some((cold, proofs))) = (past, cold.zip(proofs)) {
        readiness.begin(StartStep::RestoringProofs);
        let carried = loop {
            match ledger::restore::restore_open_spans(&**cold, proofs, &follower.lost(now)).await {
                Ok(carried) => break carried,
                Err(error) => wait.retry("the cold tier", error).await?,
            }
        };
        tracing::info!(viewers = carried, "proof continues from the end of the ledger");
    }
    bridge(past, now, remembered, hub, settings.rules.ttl_ms).await;
    hub.advance(now);
    hub.go_live();
    readiness.finish();
    let (count, stages) = hub.totals().value;
    tracing::info!(viewers = count.viewers, stages, "ready");
    Ok(())
}

async fn read_to_end(follower: &mut Follower, wait: &mut Wait<'_>) -> StoreResult<UnixMs> {
    loop {
        match follower.poll_all().await {
            Ok(now) => return Ok(now),
            Err(error) => wait.retry("the log", error).await?,
        }
    }
}

/// Lets earlier counts stand in for what the log lacks.
async fn bridge(past: LogContinuity, now: UnixMs, remembered: LastRoster, hub: &Hub, ttl_ms: u64) {
    match past {
        LogContinuity::Complete => {}
        LogContinuity::Lost { until } => match remembered {
            LastRoster::Last(taken, roster) if now.since(taken) <= BRIDGE_AGE_MS_MAX => {
                let viewers = roster.total.viewers;
                tracing::warn!(viewers, %taken, "the hot tier was lost; bridging from the last snapshot");
                hub.open_bridge(roster, until);
            }
            _ => {
                tracing::warn!(
                    "the log is new and there is no recent snapshot; counts are incomplete for one ttl"
                );
                hub.open_bridge(Roster::default(), until);
            }
        },
        LogContinuity::Unattended { since } => {
            hub.advance(since);
            let is_fresh = now.since(since) <= BRIDGE_AGE_MS_MAX;
            let roster = if is_fresh { hub.roster().await.value } else { Roster::default() };
            let viewers = roster.total.viewers;
            tracing::warn!(viewers, %since, "no node has read the log since then; bridging the counts from that time");
            hub.open_bridge(roster, now.plus(ttl_ms));
        }
    }
}

/// Waits for stores, with a report on `/readyz` and in the process's log.
struct Wait<'a> {
    readiness: &'a Readiness,
    /// The store named last in the process's log.
    waits_for: Option<&'static str>,
}

impl Wait<'_> {
    /// Waits before the next try of a store that has failed. Returns the error if it is permanent.
    async fn retry(&mut self, what: &'static str, error: StoreError) -> StoreResult<()> {
        if is_permanent(&error) {
            return Err(error);
        }
        self.readiness.hinder(format!("waiting for {what}: {error}"));
        // One warning per outage is enough; the line "ready" marks its end.
        if self.waits_for.replace(what) != Some(what) {
            tracing::warn!(%error, "waiting for {what}");
        }
        tokio::time::sleep(RETRY).await;
        Ok(())
    }
}

/// Whether a retry can't help. A missing table may be created and a permission granted meanwhile,
/// but the keys of a table never change.
fn is_permanent(error: &StoreError) -> bool {
    matches!(error.kind(), ErrorKind::Schema | ErrorKind::Refused | ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use housecount_core::fold::{Count, Rules, StageView};
    use housecount_test::timed_test;

    use super::*;

    const NOW: UnixMs = UnixMs(1_790_000_000_000);

    /// The answer for stage `s` after a loss at `NOW`, given a snapshot of age `age_ms`.
    async fn answer_after_a_loss(age_ms: u64) -> (u64, bool, bool) {
        let hub = Hub::new(Rules { ttl_ms: 1_000, leave_grace_ms: 10 }, 1, false);
        let count = Count { viewers: 41, sessions: 43 };
        let stages = vec![StageView { stage: "s".to_string(), count, peak: 50 }];
        let remembered = LastRoster::Last(NOW.minus(age_ms), Roster { total: count, stages });
        bridge(LogContinuity::Lost { until: NOW.plus(1_000) }, NOW, remembered, &hub, 1_000).await;
        hub.advance(NOW);
        hub.go_live();
        let answer = hub.count("s");
        (answer.value.viewers, answer.status.complete, answer.status.recovering)
    }

    #[timed_test]
    async fn bridge_age_ms_max_lets_old_audiences_go_home() {
        assert_eq!(answer_after_a_loss(BRIDGE_AGE_MS_MAX).await, (41, false, true));
        assert_eq!(
            answer_after_a_loss(BRIDGE_AGE_MS_MAX + 1).await,
            (0, false, true),
            "counts are still flagged"
        );
    }
}
