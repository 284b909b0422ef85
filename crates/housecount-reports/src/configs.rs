//! The configuration of watch time: the one in force when the time was watched.

use std::collections::HashMap;
use std::sync::Arc;

use housecount_backend::cold::Cold;
use housecount_backend::error::StoreResult;
use housecount_core::limits::EXPORT_VERSIONS_HELD_MAX;
use housecount_core::span::Span;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_engine::internals::history;
use housecount_ledger::watch::{Cuts, StageViewer, WatchTime};

/// Configurations of a stage within a range.
#[derive(Debug)]
pub struct StageConfigs {
    /// Times at which the configuration changes.
    cuts: Vec<UnixMs>,
    /// Configuration of each piece, so one more than there are cuts; `None` where the stage is not
    /// configured.
    configs: Vec<Option<StageConfig>>,
}

impl StageConfigs {
    /// Configuration under which a row was watched. A row is either split at the cuts, or is
    /// between two of them.
    #[must_use]
    pub fn of(&self, row: &WatchTime) -> Option<&StageConfig> {
        let piece = self.cuts.partition_point(|cut| *cut <= row.first_at);
        self.configs.get(piece).and_then(Option::as_ref)
    }

    /// Returns the times within a span at which the customer changes.
    #[must_use]
    pub fn customer_cuts(&self, within: Span) -> Vec<UnixMs> {
        let pieces = self.configs.windows(2).zip(&self.cuts);
        let changes = pieces.filter(|(pair, _)| customer(&pair[0]) != customer(&pair[1]));
        let cuts = changes.map(|(_, cut)| *cut);
        cuts.filter(|cut| within.from < *cut && *cut < within.to).collect()
    }

    /// Customer in force at a time; `None` if the stage has none.
    #[must_use]
    pub fn customer_at(&self, at: UnixMs) -> Option<&str> {
        let piece = self.cuts.partition_point(|cut| *cut <= at);
        self.configs.get(piece).and_then(customer)
    }

    /// Returns the times in which a customer was in force, apart from each other.
    #[must_use]
    pub fn customer_spans(&self, wanted: &str) -> Vec<Span> {
        let starts = [UnixMs::ZERO].into_iter().chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain([UnixMs::MAX]);
        let mut spans: Vec<Span> = Vec::new();
        for ((from, to), config) in starts.zip(ends).zip(&self.configs) {
            match spans.last_mut() {
                _ if customer(config) != Some(wanted) => {}
                Some(last) if last.to == from => last.to = to,
                _ => spans.push(Span::new(from, to)),
            }
        }
        spans
    }

    /// Whether a row contains a cut.
    fn cuts_through(&self, row: &WatchTime) -> bool {
        self.cuts.iter().any(|cut| row.first_at < *cut && *cut < row.last_at)
    }
}

fn customer(config: &Option<StageConfig>) -> Option<&str> {
    let customer = config.as_ref()?.customer.as_deref()?;
    Some(customer).filter(|customer| !customer.is_empty())
}

/// Configurations of stages, read on demand. [`EXPORT_VERSIONS_HELD_MAX`] bounds the
/// memory.
#[derive(Debug)]
pub struct Configs<'a> {
    cold: &'a Arc<dyn Cold>,
    range: Span,
    held: HashMap<Box<str>, StageConfigs>,
    held_versions: usize,
}

impl<'a> Configs<'a> {
    /// Creates an empty cache; `range` is the whole range that is read.
    #[must_use]
    pub fn new(cold: &'a Arc<dyn Cold>, range: Span) -> Configs<'a> {
        Configs { cold, range, held: HashMap::new(), held_versions: 0 }
    }

    /// Returns a stage's configurations.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`. Returns `Corrupt` if a version is damaged or missing,
    /// since the configuration of some time is then unknown.
    pub async fn of(&mut self, stage: &str) -> StoreResult<&StageConfigs> {
        if !self.held.contains_key(stage) {
            let history = history::read(&**self.cold, stage).await?;
            let pieces = history.pieces(self.range);
            let configs = StageConfigs {
                cuts: pieces.iter().skip(1).map(|piece| piece.from).collect(),
                configs: pieces.iter().map(|piece| piece.config.cloned()).collect(),
            };
            self.held_versions += configs.configs.len();
            if self.held_versions > EXPORT_VERSIONS_HELD_MAX {
                self.held.clear();
                self.held_versions = configs.configs.len();
            }
            self.held.insert(stage.into(), configs);
        }
        Ok(&self.held[stage])
    }

    /// Adds to `cuts` the stages of a page whose rows contain a change of configuration. Returns
    /// whether it added any. The caller must then read the page again with the new cuts.
    ///
    /// # Errors
    /// The same as those of [`Configs::of`].
    pub async fn find_cuts(
        &mut self,
        rows: &[(StageViewer, WatchTime)],
        cuts: &mut Cuts,
    ) -> StoreResult<bool> {
        let before = cuts.len();
        for of_stage in rows.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let stage = &of_stage[0].0.0;
            if cuts.contains_key(stage) {
                continue;
            }
            let configs = self.of(stage).await?;
            if of_stage.iter().any(|(_, row)| configs.cuts_through(row)) {
                cuts.insert(stage.clone(), configs.cuts.clone());
            }
        }
        Ok(cuts.len() > before)
    }
}

#[cfg(test)]
mod tests {
    use housecount_core::keys::Key;
    use housecount_core::version::ConfigVersion;
    use housecount_test::timed_test;

    use super::*;
    use housecount_backend::cold::KeyedItem;
    use housecount_stores::cold::SqliteCold;

    #[timed_test]
    async fn export_versions_held_max_bounds_what_is_held() {
        let cold: Arc<dyn Cold> = Arc::new(SqliteCold::memory().unwrap());
        let version = |stage: &str, number: u32| {
            let config = StageConfig {
                stage: stage.into(),
                customer: Some(format!("customer {number}")),
                ..StageConfig::default()
            };
            let at = UnixMs(u64::from(number));
            let (config, stage) = (Some(config), stage.to_string());
            let version =
                ConfigVersion { stage, number, changed_at: at, effective_from: at, config };
            let key = Key::Version { stage: version.stage.clone(), number };
            KeyedItem { key, item: version.to_item() }
        };
        let last = |stage: &str| {
            let item = version(stage, 900).item;
            KeyedItem { key: Key::Config { stage: stage.into() }, item }
        };
        let stages: Vec<String> = (0..12).map(|n| format!("stage {n}")).collect();
        for stage in &stages {
            let records = (1..=900).map(|number| version(stage, number)).chain([last(stage)]);
            cold.put(records.collect()).await.unwrap();
        }
        let mut configs = Configs::new(&cold, Span::new(UnixMs::ZERO, UnixMs(1_000)));
        for stage in stages.iter().chain(&stages) {
            let at = UnixMs(500);
            let row = WatchTime {
                piece: 0,
                watch_ms: 1,
                first_at: at,
                last_at: at,
                intervals: Vec::new(),
            };
            let config = configs.of(stage).await.unwrap().of(&row).unwrap();
            assert_eq!(config.customer.as_deref(), Some("customer 500"), "{stage}");
            let held: usize = configs.held.values().map(|of| of.configs.len()).sum();
            assert!(held <= EXPORT_VERSIONS_HELD_MAX && configs.held.len() <= 11, "{held}");
        }
    }
}
