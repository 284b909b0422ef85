//! Limits of labels: distinct values of a key on a stage and on all stages, and distinct label sets
//! of a viewer on a stage.
//!
//! The fold knows what its sessions have. What is new and on its way to the log is held here until
//! its event is acknowledged. Otherwise many values that come at once could all take the last
//! place. Two nodes may still admit one each.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use housecount_core::event::SessionLabels;
use housecount_core::fold::LabelRoom;
use housecount_core::labels::OTHER;
use housecount_core::limits::{LABEL_VALUES_ALL_MAX, LABEL_VALUES_MAX, VIEWER_LABEL_SETS_MAX};
use housecount_engine::internals::Hub;
use parking_lot::Mutex;

use crate::labels::{LabelSettings, LabelValues};

/// Something new on its way to the log: hashes of the place whose limit it is under, and of itself.
type NewLabel = (u64, u64);

/// New values and label sets on their way to the log, with their number of events, by place.
#[derive(Debug, Default)]
struct Coming(HashMap<u64, HashMap<u64, u64, RandomState>, RandomState>);

impl Coming {
    fn has_room(&self, (place, label): NewLabel, room: LabelRoom, most: usize) -> bool {
        let new = self.0.get(&place);
        room.is_known
            || new.is_some_and(|new| new.contains_key(&label))
            || room.known + new.map_or(0, HashMap::len) < most
    }

    fn hold(&mut self, (place, label): NewLabel) {
        *self.0.entry(place).or_default().entry(label).or_default() += 1;
    }

    fn release(&mut self, (place, label): NewLabel) {
        let Some(new) = self.0.get_mut(&place) else { return };
        if let Some(events) = new.get_mut(&label) {
            *events -= 1;
            if *events == 0 {
                new.remove(&label);
            }
        }
        if new.is_empty() {
            self.0.remove(&place);
        }
    }
}

/// Admission of labels: their settings and limits.
#[derive(Debug)]
pub struct LabelAdmission {
    /// Keys of labels, and the headers that they may come from.
    pub settings: LabelSettings,
    hasher: RandomState,
    coming: Arc<Mutex<Coming>>,
}

/// Labels that an event may carry. What is new of them is held until this is dropped.
#[derive(Debug)]
pub struct AdmittedLabels {
    values: LabelValues,
    /// Keys whose values were replaced by `other`.
    pub replaced: Vec<String>,
    coming: Arc<Mutex<Coming>>,
    held: Vec<NewLabel>,
}

impl AdmittedLabels {
    /// Returns the labels for the event.
    #[must_use]
    pub fn labels(&self) -> SessionLabels<'_> {
        self.values.labels()
    }

    /// Whether anything new is held.
    #[must_use]
    pub fn holds_new(&self) -> bool {
        !self.held.is_empty()
    }
}

impl Drop for AdmittedLabels {
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut coming = self.coming.lock();
        self.held.drain(..).for_each(|new| coming.release(new));
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

    /// Admits the labels of a new session. Values beyond a limit become `other`.
    #[must_use]
    pub fn admit(
        &self,
        hub: &Hub,
        stage: &str,
        viewer: &str,
        values: &LabelValues,
    ) -> AdmittedLabels {
        // Rooms are read under the lock: what is folded meanwhile is in one of both numbers.
        let mut coming = self.coming.lock();
        let mut held = Vec::new();
        let labels = values.labels();
        let rooms = hub.label_rooms(stage, &labels);
        let mut admitted = labels.pairs().zip(rooms).map(|((key, value), [here, anywhere])| {
            let hash = self.hasher.hash_one(value);
            let here = ((self.hasher.hash_one((0, stage, key)), hash), here, LABEL_VALUES_MAX);
            let anywhere = ((self.hasher.hash_one((1, key)), hash), anywhere, LABEL_VALUES_ALL_MAX);
            let limits = [here, anywhere];
            let has_room =
                limits.iter().all(|(new, room, most)| coming.has_room(*new, *room, *most));
            if value.is_empty() || value == OTHER || !has_room {
                return if value.is_empty() { value } else { OTHER };
            }
            let new = limits.into_iter().filter(|(_, room, _)| !room.is_known);
            new.for_each(|(new, ..)| {
                coming.hold(new);
                held.push(new);
            });
            value
        });
        let mut admitted = self.settings.keys.collect(|_| admitted.next().unwrap_or(""));
        if let Some(set) = &admitted {
            let new = (
                self.hasher.hash_one((2, stage, viewer)),
                self.hasher.hash_one(set.labels().values()),
            );
            let room = hub.label_set_room(stage, viewer, &set.labels());
            if !coming.has_room(new, room, VIEWER_LABEL_SETS_MAX) {
                admitted = Some(set.all_other());
            } else if !room.is_known {
                coming.hold(new);
                held.push(new);
            }
        }
        drop(coming);
        let admitted = admitted.unwrap_or_else(|| values.clone());
        let pairs = labels.pairs().zip(admitted.labels().pairs());
        let replaced = pairs.filter(|((_, value), (_, admitted))| value != admitted);
        let replaced = replaced.map(|((key, _), _)| key.to_string()).collect();
        AdmittedLabels { values: admitted, replaced, coming: self.coming.clone(), held }
    }
}
