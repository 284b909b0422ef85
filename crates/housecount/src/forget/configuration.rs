//! Replaces a name, such as a customer's, in past versions of stages' configurations. Sums per name
//! stay.
//!
//! Versions are kept for good, also after a configuration was deleted, so that committed time is
//! exported as before. A person's name in them is replaced by one pseudonym. Current configurations
//! aren't changed: the operator changes them by the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use housecount_access::admission::pseudonyms;
use housecount_backend::clock::wall_clock;
use housecount_backend::cold::{Cold, Condition, KeyedItem};
use housecount_backend::error::{ErrorKind, StoreError};
use housecount_core::item::Attr;
use housecount_core::keys::Key;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::{ConfigVersion, VERSION};
use housecount_engine::internals::chain;
use housecount_engine::internals::chunks::ChunkReader;
use housecount_engine::internals::history;

/// Number of stages that an error names.
const SHOWN_MAX: usize = 5;

/// Request to replace a name.
#[derive(Clone, Debug)]
pub struct ForgetConfigurationRequest {
    /// The name: the whole customer, stage name or value of a tag.
    pub text: String,
    /// Only this stage.
    pub stage: Option<String>,
    /// Whether to change nothing.
    pub is_dry_run: bool,
}

/// Result: what was found, and changed unless it was a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetConfigurationReport {
    /// Pseudonym in the name's place; `None` if the name was not found, or nothing was to be
    /// changed.
    pub pseudonym: Option<String>,
    /// Versions that had the name.
    pub versions: u64,
    /// Stages of these versions.
    pub stages: u64,
    /// Items that could not be read, one line each. The name may still be in them.
    pub problems: Vec<String>,
}

/// Reason why the name was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ForgetConfigurationError {
    /// A store's failure. Earlier writes are done, so run it again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name is part of a current configuration.
    #[error(
        "current configurations contain the name: {}. Nothing was changed. Change or delete these configurations \
         (PATCH, DELETE /v1/stages/…), then run this again",
        shown(.0)
    )]
    InForce(Vec<String>),
}

fn shown(stages: &[String]) -> String {
    let first = stages.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    match stages.len().saturating_sub(SHOWN_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Replaces a name in past versions of configuration. Everything is read before anything is
/// written.
///
/// # Errors
/// See [`ForgetConfigurationError`]. Damaged items are reported in the result and skipped, without
/// an error.
pub async fn forget(
    cold: &Arc<dyn Cold>,
    request: &ForgetConfigurationRequest,
    mut progress: impl FnMut(f64),
) -> Result<ForgetConfigurationReport, ForgetConfigurationError> {
    let mut forgotten = ForgetConfigurationReport::default();
    let stages = match &request.stage {
        Some(stage) => [stage.clone()].into(),
        None => stages(cold, &mut forgotten.problems).await?,
    };
    let (mut named, mut in_force) = (Vec::new(), Vec::new());
    for (n, stage) in stages.iter().enumerate() {
        progress(n as f64 / stages.len() as f64);
        let (history, damage) = history::read_past_damage(&**cold, stage).await?;
        forgotten.problems.extend(damage);
        let versions = history.versions();
        let has_name = |version: &&ConfigVersion| {
            version
                .config
                .as_ref()
                .is_some_and(|config| renamed(config, &request.text, "").is_some())
        };
        in_force.extend(versions.last().filter(has_name).map(|_| stage.clone()));
        let before = named.len();
        named.extend(versions.iter().filter(has_name).cloned());
        forgotten.stages += u64::from(named.len() > before);
    }
    if !in_force.is_empty() {
        return Err(ForgetConfigurationError::InForce(in_force));
    }
    forgotten.versions = named.len() as u64;
    if request.is_dry_run || named.is_empty() {
        return Ok(forgotten);
    }
    let pseudonym = pseudonyms::random_pseudonym();
    for version in named {
        rewrite(&**cold, version, &request.text, &pseudonym).await?;
    }
    forgotten.pseudonym = Some(pseudonym);
    Ok(forgotten)
}

/// Lists the stages that the ledger and the list of configurations know.
async fn stages(
    cold: &Arc<dyn Cold>,
    problems: &mut Vec<String>,
) -> Result<BTreeSet<String>, StoreError> {
    let mut stages = history::configured(&**cold).await?;
    for chain in chain::all(cold).await? {
        let mut reader =
            ChunkReader::at(chain, UnixMs::ZERO, UnixMs::MAX).skip_expired(Some(wall_clock()));
        loop {
            let read = match reader.next(&**cold).await {
                Ok(None) => break,
                Ok(Some(stored)) => chain::decode(&stored, chain),
                Err(error) => Err(error),
            };
            match read {
                Ok((chunk, _)) => stages.extend(chunk.new_stages().map(str::to_string)),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    problems.push(error.to_string())
                }
                Err(error) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(stages)
}

/// Replaces `from` by `to` in a configuration; `None` if it doesn't have `from`.
fn renamed(config: &StageConfig, from: &str, to: &str) -> Option<StageConfig> {
    let mut renamed = config.clone();
    let texts = [&mut renamed.customer, &mut renamed.name].into_iter().flatten();
    for text in texts.chain(renamed.tags.values_mut()) {
        if text == from {
            *text = to.to_string();
        }
    }
    (renamed != *config).then_some(renamed)
}

async fn rewrite(
    cold: &dyn Cold,
    version: ConfigVersion,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    let config = version.config.as_ref().and_then(|config| renamed(config, from, to));
    let version = ConfigVersion { config, ..version };
    let key = Key::Version { stage: version.stage.clone(), number: version.number };
    let is_there = Condition::Equals { attr: VERSION, value: Attr::N(u64::from(version.number)) };
    cold.put_if(KeyedItem { key, item: version.to_item() }, is_there).await.map(drop)
}
