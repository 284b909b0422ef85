//! Limit of the distinct values that a label has on a stage.
//!
//! The fold knows the values of the stage's sessions. A new value on its way to the log is held
//! here until its event is acknowledged. Otherwise many values that come at once could all take the
//! last place. Two nodes may still admit one each.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use housecount_core::event::SessionLabels;
use housecount_core::labels::OTHER;
use housecount_core::limits::LABEL_VALUES_MAX;
use housecount_engine::internals::Hub;
use parking_lot::Mutex;

use crate::labels::{LabelSettings, LabelValues};

/// Values that are new to a stage and key, on their way to the log. The keys are hashes: of the
/// stage and key, then of the value.
type NewValues = Mutex<HashMap<u64, HashMap<u64, u64, RandomState>, RandomState>>;

/// Admission of labels: their settings, and the limit of their values.
#[derive(Debug)]
pub struct LabelAdmission {
    /// Keys of labels, and the headers that they may come from.
    pub settings: LabelSettings,
    hasher: RandomState,
    coming: Arc<NewValues>,
}

/// Labels that an event may carry. New values are held until this is dropped.
#[derive(Debug)]
pub struct AdmittedLabels {
    values: LabelValues,
    /// Keys whose values were replaced by `other`.
    pub replaced: Vec<String>,
    coming: Arc<NewValues>,
    /// Hashes of the new values.
    held: Vec<(u64, u64)>,
}

impl AdmittedLabels {
    /// Returns the labels for the event.
    #[must_use]
    pub fn labels(&self) -> SessionLabels<'_> {
        self.values.labels()
    }

    /// Whether new values are held.
    #[must_use]
    pub fn holds_values(&self) -> bool {
        !self.held.is_empty()
    }
}

impl Drop for AdmittedLabels {
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut coming = self.coming.lock();
        for (key, value) in &self.held {
            let Some(values) = coming.get_mut(key) else { continue };
            if let Some(events) = values.get_mut(value) {
                *events -= 1;
                if *events == 0 {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                coming.remove(key);
            }
        }
    }
}

impl LabelAdmission {
    pub(super) fn new(settings: LabelSettings) -> LabelAdmission {
        LabelAdmission { settings, hasher: RandomState::default(), coming: Arc::default() }
    }

    /// Whether sessions have labels.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.settings.keys.is_empty()
    }

    /// Admits the labels of a new session. Values beyond [`LABEL_VALUES_MAX`] become `other`.
    #[must_use]
    pub fn admit(&self, hub: &Hub, stage: &str, values: LabelValues) -> AdmittedLabels {
        let (mut held, mut replaced) = (Vec::new(), Vec::new());
        let labels = values.labels();
        let mut coming = self.coming.lock();
        // Read under the lock: a value that is folded meanwhile is in one of both counts.
        let rooms = hub.label_rooms(stage, &labels);
        let mut admitted = labels.pairs().zip(rooms).map(|((key, value), room)| {
            if room.is_known || value.is_empty() || value == OTHER {
                return value;
            }
            let (place, hash) = (self.hasher.hash_one((stage, key)), self.hasher.hash_one(value));
            let new = coming.get(&place);
            let is_coming = new.is_some_and(|new| new.contains_key(&hash));
            if !is_coming && room.values + new.map_or(0, HashMap::len) >= LABEL_VALUES_MAX {
                replaced.push(key.to_string());
                return OTHER;
            }
            *coming.entry(place).or_default().entry(hash).or_default() += 1;
            held.push((place, hash));
            value
        });
        let admitted = self.settings.keys.collect(|_| admitted.next().unwrap_or(""));
        drop(coming);
        let values = admitted.unwrap_or_else(|| values.clone());
        AdmittedLabels { values, replaced, coming: self.coming.clone(), held }
    }
}
