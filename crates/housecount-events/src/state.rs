//! State of stages and counts as all events so far leave it.
//!
//! It follows from the events alone. So any node that reads them has the same state.

use std::collections::BTreeMap;
use std::sync::Arc;

use housecount_core::time::UnixMs;

use crate::event::{AudienceChange, AudienceEvent};

/// State of stages and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceState {
    /// Number of the next event.
    pub next: u64,
    /// Time up to which samples have been evaluated; zero before the first.
    pub to: UnixMs,
    /// Whether counts are complete.
    pub is_complete: bool,
    /// Time of the last event of an exceeded budget; zero before the first.
    pub budget_at: UnixMs,
    /// Stages with viewers.
    pub open: BTreeMap<Arc<str>, OpenStage>,
}

/// State of a stage with viewers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenStage {
    /// Time of its opening or of its last drop. A drop is compared with peaks from then on.
    pub since: UnixMs,
    /// Viewers at that time. It is a peak too, since the samples of another node may lack it.
    pub viewers: u64,
    /// Thresholds that it has reached, ascending.
    pub above: Vec<u64>,
}

impl Default for AudienceState {
    fn default() -> AudienceState {
        AudienceState {
            next: 1,
            to: UnixMs::ZERO,
            is_complete: true,
            budget_at: UnixMs::ZERO,
            open: BTreeMap::new(),
        }
    }
}

impl AudienceState {
    /// Applies the next event.
    pub fn apply(&mut self, event: &AudienceEvent) {
        self.next = event.seq + 1;
        let viewers = event.count.map_or(0, |count| count.viewers);
        match &event.change {
            AudienceChange::Opened(stage) => {
                let opened = OpenStage { since: event.at, viewers, above: Vec::new() };
                self.open.insert(stage.clone(), opened);
            }
            AudienceChange::Emptied(stage) => {
                self.open.remove(stage);
            }
            AudienceChange::Threshold { stage, threshold, is_up } => {
                if let Some(open) = self.open.get_mut(stage) {
                    match (open.above.binary_search(threshold), is_up) {
                        (Err(place), true) => open.above.insert(place, *threshold),
                        (Ok(place), false) => drop(open.above.remove(place)),
                        _ => {}
                    }
                }
            }
            AudienceChange::Drop { stage, .. } => {
                if let Some(open) = self.open.get_mut(stage) {
                    (open.since, open.viewers) = (event.at, viewers);
                }
            }
            AudienceChange::CountIncomplete { .. } => self.is_complete = false,
            AudienceChange::CountComplete => self.is_complete = true,
            AudienceChange::BudgetExceeded(_) => self.budget_at = event.at,
        }
    }
}
