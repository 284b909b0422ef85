//! Views that players and the public have of counts. Stages with a value of their own are in
//! memory, and all others have the node's setting.
//!
//! A heartbeat's answer looks a stage up, and only if any stage has a value. The list is read again
//! after a change, which a mark shows. A node that has not read the list yet uses its setting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use housecount_backend::error::StoreResult;
use housecount_core::limits::{PAGE_ROWS_MAX, PUBLIC_COUNTS_LOOK_MS, PUBLIC_COUNTS_MAX};
use housecount_core::public_count::PublicCount;
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use super::StageStore;

/// Values of stages, as of one mark.
type StageValues = HashMap<Box<str>, PublicCount>;

/// Views that players and the public have of each stage's count.
#[derive(Debug)]
pub struct PublicCounts {
    /// The setting `public_count`, if it is set.
    setting: Option<PublicCount>,
    values_max: usize,
    look_ms: u64,
    /// Whether no stage has a value, so that none needs a look-up.
    is_empty: AtomicBool,
    /// Whether there are more values than a node may hold.
    is_cut: AtomicBool,
    values: RwLock<StageValues>,
    /// Mark of the list that was read; held while it is read again.
    revision: Mutex<Option<u64>>,
}

impl PublicCounts {
    /// Creates an empty list with the setting `public_count`. At most `values_max` values are held,
    /// and changes are looked for every `look_ms`.
    #[must_use]
    pub fn new(setting: Option<PublicCount>, values_max: usize, look_ms: u64) -> PublicCounts {
        PublicCounts {
            setting,
            values_max,
            look_ms,
            is_empty: AtomicBool::new(true),
            is_cut: AtomicBool::new(false),
            values: RwLock::default(),
            revision: Mutex::default(),
        }
    }

    /// Creates the list of a node.
    #[must_use]
    pub fn of_node(setting: Option<PublicCount>) -> PublicCounts {
        PublicCounts::new(setting, PUBLIC_COUNTS_MAX, PUBLIC_COUNTS_LOOK_MS)
    }

    /// Returns what players see of a stage's count.
    #[must_use]
    pub fn for_players(&self, stage: &str) -> PublicCount {
        self.value(stage).unwrap_or_default()
    }

    /// Returns what the public sees of a stage's count, if the stage or the setting allows any.
    #[must_use]
    pub fn for_all(&self, stage: &str) -> Option<PublicCount> {
        self.value(stage).filter(|value| *value != PublicCount::Hidden)
    }

    /// Returns the value of a stage, or else of the setting.
    fn value(&self, stage: &str) -> Option<PublicCount> {
        if self.is_empty.load(Ordering::Acquire) {
            return self.setting;
        }
        match self.values.read().get(stage) {
            Some(value) => Some(*value),
            // The stage may be one of those that are not held.
            None if self.is_cut.load(Ordering::Acquire) => Some(PublicCount::Hidden),
            None => self.setting,
        }
    }

    /// Reads the list, if it has changed since the last call.
    ///
    /// # Errors
    /// Returns the cold tier's `StoreError`. The values stay as they were.
    pub async fn refresh(&self, stages: &StageStore) -> StoreResult<()> {
        let mut known = self.revision.lock().await;
        // Read before the list: a change after it is read by the next call.
        let revision = stages.public_count_revision().await?;
        if revision == *known {
            return Ok(());
        }
        let (mut values, mut after, mut is_cut) = (StageValues::new(), None::<String>, false);
        loop {
            let page = stages.public_counts(after.as_deref(), PAGE_ROWS_MAX).await?;
            let is_last = page.len() < PAGE_ROWS_MAX;
            after = page.last().map(|(stage, _)| stage.clone());
            is_cut |= values.len() + page.len() > self.values_max;
            let room = self.values_max.saturating_sub(values.len());
            values.extend(page.into_iter().take(room).map(|(stage, value)| (stage.into(), value)));
            if is_last || is_cut {
                break;
            }
        }
        if is_cut {
            tracing::warn!(
                max = self.values_max,
                "more stages have a publicCount than a node holds; the others show no count to players"
            );
        }
        self.set(values, is_cut);
        *known = revision;
        Ok(())
    }

    fn set(&self, values: StageValues, is_cut: bool) {
        let is_empty = values.is_empty();
        *self.values.write() = values;
        self.is_cut.store(is_cut, Ordering::Release);
        self.is_empty.store(is_empty, Ordering::Release);
    }

    /// Reads the list at once, and then looks at it every `look_ms` until `stop`.
    pub async fn refresh_loop(&self, stages: &StageStore, mut stop: watch::Receiver<bool>) {
        let refresh = async {
            loop {
                if let Err(error) = self.refresh(stages).await {
                    // The store logs once that it fails.
                    tracing::debug!(%error, "public counts can't be read; keeping the previous ones");
                }
                sleep(Duration::from_millis(self.look_ms)).await;
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = refresh => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use housecount_backend::cold::{Cold, KeyedItem};
    use housecount_core::ids::StageId;
    use housecount_core::keys::Key;
    use housecount_core::stage::{StageConfig, public_count_item};
    use housecount_core::time::UnixMs;
    use housecount_stores::cold::SqliteCold;
    use housecount_test::timed_test;

    use super::*;

    fn store(cold: &Arc<SqliteCold>) -> StageStore {
        StageStore::new(Some(cold.clone()), true, 1_000)
    }

    async fn create(stages: &StageStore, stage: &str, value: Option<PublicCount>) {
        let config =
            StageConfig { stage: stage.into(), public_count: value, ..StageConfig::default() };
        stages.create(config, UnixMs(5_000)).await.unwrap();
    }

    #[timed_test]
    async fn a_change_on_one_node_is_read_by_another_and_the_setting_is_for_the_rest() {
        let cold = Arc::new(SqliteCold::memory().unwrap());
        let (one, other) = (store(&cold), store(&cold));
        let counts = PublicCounts::of_node(None);
        assert_eq!((counts.for_players("a"), counts.for_all("a")), (PublicCount::Exact, None));
        create(&one, "plain", None).await;
        counts.refresh(&other).await.unwrap();
        assert!(counts.is_empty.load(Ordering::Relaxed), "no stage needs a look-up");
        for value in PublicCount::ALL {
            create(&one, value.name(), Some(value)).await;
        }
        counts.refresh(&other).await.unwrap();
        for value in PublicCount::ALL {
            assert_eq!(counts.for_players(value.name()), value);
        }
        let open = |stage: &str| counts.for_all(stage);
        assert_eq!(open("exact"), Some(PublicCount::Exact));
        assert_eq!(open("rounded"), Some(PublicCount::Rounded));
        assert_eq!([open("hidden"), open("plain"), open("none-such")], [None; 3]);
        let stage = StageId::parse("rounded").unwrap();
        let unset = |config: &mut StageConfig| config.public_count = None;
        one.edit(&stage, UnixMs(6_000), unset).await.unwrap();
        one.delete(&StageId::parse("hidden").unwrap(), UnixMs(6_000)).await.unwrap();
        counts.refresh(&other).await.unwrap();
        assert_eq!(counts.for_players("rounded"), PublicCount::Exact);
        assert_eq!(counts.for_players("hidden"), PublicCount::Exact);
        for (setting, seen) in [
            (PublicCount::Exact, Some(PublicCount::Exact)),
            (PublicCount::Rounded, Some(PublicCount::Rounded)),
            (PublicCount::Hidden, None),
        ] {
            let counts = PublicCounts::of_node(Some(setting));
            counts.refresh(&other).await.unwrap();
            assert_eq!((counts.for_players("any"), counts.for_all("any")), (setting, seen));
            assert_eq!(counts.for_all("exact"), Some(PublicCount::Exact), "the stage's own");
        }
    }

    #[timed_test]
    async fn public_counts_max_bounds_what_is_held_and_hides_the_rest() {
        let cold = Arc::new(SqliteCold::memory().unwrap());
        let item = public_count_item(PublicCount::Exact);
        let entry = |n: usize| KeyedItem {
            key: Key::PublicCount { stage: format!("s{n:05}") },
            item: item.clone(),
        };
        cold.put((0..3).map(entry).collect()).await.unwrap();
        create(&store(&cold), "z", Some(PublicCount::Exact)).await;
        let counts = PublicCounts::new(None, 3, 1);
        counts.refresh(&store(&cold)).await.unwrap();
        assert_eq!(counts.values.read().len(), 3);
        assert_eq!(counts.for_players("s00002"), PublicCount::Exact);
        assert_eq!(counts.for_players("z"), PublicCount::Hidden, "it may be a hidden one");
        let enough = PublicCounts::new(None, 4, 1);
        enough.refresh(&store(&cold)).await.unwrap();
        assert_eq!(enough.for_players("z"), PublicCount::Exact);
        assert_eq!(PUBLIC_COUNTS_MAX % PAGE_ROWS_MAX, 0);
    }

    /// The loop looks every `PUBLIC_COUNTS_LOOK_MS` on a node, and every millisecond here.
    #[timed_test]
    async fn public_counts_look_ms_apart_a_node_looks_for_changes() {
        assert_eq!(PublicCounts::of_node(None).look_ms, PUBLIC_COUNTS_LOOK_MS);
        let cold = Arc::new(SqliteCold::memory().unwrap());
        let counts = Arc::new(PublicCounts::new(None, 10, 1));
        let (stop, stopped) = watch::channel(false);
        let (looking, stages) = (counts.clone(), store(&cold));
        let looks = tokio::spawn(async move { looking.refresh_loop(&stages, stopped).await });
        for value in [PublicCount::Hidden, PublicCount::Rounded] {
            create(&store(&cold), value.name(), Some(value)).await;
            while counts.for_players(value.name()) != value {
                tokio::task::yield_now().await;
            }
        }
        stop.send(true).unwrap();
        looks.await.unwrap();
    }
}
