//! Checks the versions of stages' configurations: their order, their bounds, and that the last one
//! equals the current configuration.

use std::collections::BTreeSet;

use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;

use super::VerifyReport;
use housecount_engine::internals::history;

/// Checks one stage, or all stages in the ledger and all configured ones.
///
/// # Errors
/// Returns the cold tier's `StoreError`. Damage is part of the report and not an error.
pub async fn look(
    cold: &dyn Cold,
    only: Option<&str>,
    found: &mut VerifyReport,
) -> StoreResult<()> {
    let stages = match only {
        Some(stage) => BTreeSet::from([stage.to_string()]),
        None => {
            let mut stages = history::configured(cold).await?;
            stages.extend(found.stages.keys().cloned());
            stages
        }
    };
    for stage in &stages {
        let (history, damage) = history::read_past_damage(cold, stage).await?;
        found.versions += history.versions().len() as u64;
        damage.into_iter().for_each(|problem| found.problem(problem));
    }
    Ok(())
}
