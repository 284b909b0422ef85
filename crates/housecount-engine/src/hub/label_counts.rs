//! Labels of sessions: counts by label, and the labels that records carry.

use std::sync::OnceLock;

use housecount_core::event::EventRef;
use housecount_core::fold::{Count, CountsByLabel, KnownLabels};
use housecount_core::record::RecordEntry;
use housecount_core::time::UnixMs;

use super::{AT_ONCE, Hold, Hub, StageView, WithStatus};

/// Places for the labels of a batch's sessions, one for each event; none if labels are off.
pub type LabelPlaces = Box<[OnceLock<KnownLabels>]>;

impl Hub {
    /// Turns labels on, with their keys in any order. It is called before the first event.
    #[must_use]
    pub fn with_labels(mut self, keys: &[String]) -> Hub {
        self.label_keys = keys.to_vec();
        self.label_keys.sort_unstable();
        self.fold.lock(Hold::Look).set_label_keys(&self.label_keys);
        self
    }

    /// Keys of labels in ascending order; none if labels are off.
    pub fn label_keys(&self) -> &[String] {
        &self.label_keys
    }

    /// Returns the online viewers of a stage, or of all, by the value of a label; see
    /// [`Fold::label_counts`](housecount_core::fold::Fold::label_counts).
    ///
    /// Earlier counts that stand in after a loss have no labels. Until then, the counts by label
    /// cover the viewers that the fold knows.
    pub fn label_counts(
        &self,
        stage: Option<&str>,
        key: &str,
        floor: u64,
    ) -> WithStatus<CountsByLabel> {
        let fold = self.fold.lock(Hold::List);
        self.answer(&fold, fold.label_counts(stage, key, floor))
    }

    /// Returns a stage, if it is known here, with its viewers by label as of the same moment.
    pub fn stage_by_label(
        &self,
        stage: &str,
        key: &str,
        floor: u64,
    ) -> WithStatus<(Option<StageView>, CountsByLabel)> {
        let fold = self.fold.lock(Hold::List);
        let counts = fold.label_counts(Some(stage), key, floor);
        self.answer(&fold, (self.view(&fold, stage), counts))
    }

    /// Returns the count of all stages and their number, with the viewers by label as of the same
    /// moment.
    pub fn totals_by_label(
        &self,
        key: &str,
        floor: u64,
    ) -> WithStatus<((Count, u64), CountsByLabel)> {
        let fold = self.fold.lock(Hold::List);
        let counts = fold.label_counts(None, key, floor);
        self.answer(&fold, (self.totals_of(&fold), counts))
    }

    /// Returns places for the labels of a batch's sessions.
    pub fn label_places(&self, events: usize) -> LabelPlaces {
        let places = if self.label_keys.is_empty() { 0 } else { events };
        std::iter::repeat_with(OnceLock::new).take(places).collect()
    }

    /// Converts events into the entries of a record at `now`, with the labels of their sessions.
    ///
    /// See [`Fold::record_entries`](housecount_core::fold::Fold::record_entries).
    pub fn record_entries<'a>(
        &self,
        events: &[EventRef<'a>],
        now: UnixMs,
        labels: &'a [OnceLock<KnownLabels>],
    ) -> Vec<RecordEntry<'a>> {
        let (mut entries, mut labels) = (Vec::with_capacity(events.len()), labels.chunks(AT_ONCE));
        for events in events.chunks(AT_ONCE) {
            let fold = self.fold.lock(Hold::Events);
            let mut chunk = fold.record_entries(events, now);
            fold.add_known_labels(&mut chunk, labels.next().unwrap_or_default());
            entries.append(&mut chunk);
        }
        entries
    }

    /// Converts events into entries with all ids, for a log that may have lost them.
    pub fn full_entries<'a>(
        &self,
        events: &[EventRef<'a>],
        labels: &'a [OnceLock<KnownLabels>],
    ) -> Vec<RecordEntry<'a>> {
        let mut entries: Vec<_> = events.iter().copied().map(RecordEntry::Full).collect();
        for (entries, labels) in entries.chunks_mut(AT_ONCE).zip(labels.chunks(AT_ONCE)) {
            self.fold.lock(Hold::Events).add_known_labels(entries, labels);
        }
        entries
    }
}
