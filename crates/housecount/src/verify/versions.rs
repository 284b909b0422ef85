//! Looks at the versions of stages' configurations: their order, their bounds, and that the last one is what is configured.

use std::collections::BTreeSet;

use housecount_core::keys::KeyRange;
use housecount_core::limits::PAGE_ROWS_MAX;

use super::Found;
use crate::cold::{Cold, Page};
use crate::error::StoreResult;
use crate::stages::history;

/// Looks at the stages that were found in the ledger and all that are configured, or at one.
///
/// # Errors
/// The cold tier's. Damage is found, and no error.
pub async fn look(cold: &dyn Cold, only: Option<&str>, found: &mut Found) -> StoreResult<()> {
    let stages = match only {
        Some(stage) => BTreeSet::from([stage.to_string()]),
        None => {
            let mut stages = configured(cold).await?;
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

async fn configured(cold: &dyn Cold) -> StoreResult<BTreeSet<String>> {
    let mut stages = BTreeSet::new();
    loop {
        let range = KeyRange::listed(stages.last().map(String::as_str));
        let rows = cold.query(&range, &Page::first(PAGE_ROWS_MAX)).await?;
        let is_last = rows.len() < PAGE_ROWS_MAX;
        stages.extend(rows.into_iter().map(|(stage, _)| stage));
        if is_last {
            return Ok(stages);
        }
    }
}
