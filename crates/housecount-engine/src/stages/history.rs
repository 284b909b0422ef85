//! Reads the versions of a stage's configuration. `housecount_core::version` decides which version
//! applies to which time.

use std::collections::BTreeSet;

use housecount_backend::cold::{Cold, KeyedRow, Page};
use housecount_backend::error::{ErrorKind, StoreError, StoreResult};
use housecount_core::item::{Item, number_or_zero};
use housecount_core::keys::{Key, KeyRange};
use housecount_core::limits::{PAGE_ROWS_MAX, STAGE_VERSIONS_MAX};
use housecount_core::stage::StageConfig;
use housecount_core::version::{ConfigHistory, ConfigVersion, HistoryFault, VERSION};

use super::corrupt;

/// Maximum number of reads of a history that changes while it is read.
const READS_MAX: u32 = 3;

/// Reads a stage's versions for an export. Either they are certain for every time, or an error is
/// returned.
///
/// # Errors
/// Returns the cold tier's `StoreError`, or `Corrupt` with the damaged or missing version.
pub async fn read(cold: &dyn Cold, stage: &str) -> StoreResult<ConfigHistory> {
    for _ in 0..READS_MAX {
        let (history, damage) = read_versions(cold, stage).await?;
        let faults = history.faults();
        let missing = faults.iter().find(|fault| matches!(fault, HistoryFault::Missing { .. }));
        let missing = missing.map(|fault| format!("STAGE#{stage}: {fault}"));
        if let Some(why) = damage.into_iter().next().or(missing) {
            return Err(StoreError::new(
                ErrorKind::Corrupt,
                format!("{why}; `housecount verify` lists all"),
            ));
        }
        if !history.versions().is_empty() {
            return Ok(history);
        }
        if let Some(history) = unversioned(cold.get(&config_key(stage)).await?.as_ref())? {
            return Ok(history);
        }
    }
    let why = format!("STAGE#{stage}: the versions that CONFIG refers to are missing");
    Err(StoreError::new(ErrorKind::Corrupt, why))
}

/// Reads a stage's versions and lists their faults, each with its item.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn read_past_damage(
    cold: &dyn Cold,
    stage: &str,
) -> StoreResult<(ConfigHistory, Vec<String>)> {
    let mut reads = 0;
    loop {
        reads += 1;
        let (history, mut damage) = read_versions(cold, stage).await?;
        let config = cold.get(&config_key(stage)).await?;
        let listed = cold.get(&Key::StageListEntry { stage: stage.to_string() }).await?;
        damage.extend(history.faults().iter().map(|fault| format!("STAGE#{stage}: {fault}")));
        if history.versions().is_empty()
            && damage.is_empty()
            && let Ok(Some(history)) = unversioned(config.as_ref())
        {
            return Ok((history, damage));
        }
        let config = difference(&history, config.as_ref());
        let listed = difference(&history, listed.as_ref());
        // The configuration may have changed between the reads; then the next reads agree.
        if (config.is_none() && listed.is_none()) || reads >= READS_MAX {
            damage.extend(config.map(|difference| format!("STAGE#{stage} / CONFIG: {difference}")));
            damage.extend(listed.map(|difference| format!("STAGES / {stage}: {difference}")));
            return Ok((history, damage));
        }
    }
}

/// Ids of all configured stages.
///
/// # Errors
/// Returns the cold tier's `StoreError`.
pub async fn configured(cold: &dyn Cold) -> StoreResult<BTreeSet<String>> {
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

fn config_key(stage: &str) -> Key {
    Key::Config { stage: stage.to_string() }
}

/// History of a stage without versions, from its configuration. Returns `None` if a version has
/// made the configuration.
fn unversioned(config: Option<&Item>) -> StoreResult<Option<ConfigHistory>> {
    match config {
        None => Ok(Some(ConfigHistory::default())),
        // The item was stored before there were versions.
        Some(item) if number_or_zero(item, VERSION) == 0 => {
            Ok(Some(ConfigHistory::new(vec![ConfigVersion::baseline(parse(item)?)])))
        }
        Some(_) => Ok(None),
    }
}

/// Reads the valid versions, and lists the faults of the others.
async fn read_versions(cold: &dyn Cold, stage: &str) -> StoreResult<(ConfigHistory, Vec<String>)> {
    let page = Page { consistent: true, ..Page::first(10 * STAGE_VERSIONS_MAX as usize) };
    let rows = cold.query(&KeyRange::versions(stage), &page).await?;
    let (mut versions, mut damage) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        match parse_version(stage, row) {
            Ok(version) => versions.push(version),
            Err(error) => damage.push(error.to_string()),
        }
    }
    Ok((ConfigHistory::new(versions), damage))
}

/// Parses the version in a row.
///
/// # Errors
/// Returns `Corrupt` with the item's key.
pub(super) fn parse_version(stage: &str, (sk, item): &KeyedRow) -> StoreResult<ConfigVersion> {
    let what = || format!("STAGE#{stage} / {sk}");
    let version = ConfigVersion::from_item(item).map_err(|e| corrupt(&what(), e))?;
    let key = Key::Version { stage: version.stage.clone(), number: version.number };
    if Key::of_version(stage, sk) != Some(key) {
        return Err(StoreError::new(
            ErrorKind::Corrupt,
            format!("{}: it contains another version", what()),
        ));
    }
    Ok(version)
}

/// Parses the configuration in an item.
///
/// # Errors
/// Returns `Corrupt` if the item can't be parsed.
pub(super) fn parse(item: &Item) -> StoreResult<StageConfig> {
    StageConfig::from_item(item).map_err(|e| corrupt("a stage's configuration", e))
}

/// Describes how the configuration differs from the one that the last version made.
fn difference(history: &ConfigHistory, config: Option<&Item>) -> Option<String> {
    let last = history.versions().last();
    let made = last.and_then(|last| last.config.as_ref().map(|config| (last.number, config)));
    match (made, config) {
        (None, None) => None,
        (Some((number, _)), None) => {
            Some(format!("it is missing, although version {number} created it"))
        }
        (None, Some(_)) => Some("it exists, although the last version deleted it".to_string()),
        (Some((number, made)), Some(item)) => {
            let is_same = parse(item).is_ok_and(|config| config == *made);
            let stored = number_or_zero(item, VERSION);
            let agrees = is_same && stored == u64::from(number);
            (!agrees).then(|| {
                format!("it differs from version {number}, the last one (it has {stored})")
            })
        }
    }
}
