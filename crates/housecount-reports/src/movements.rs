//! Views added up: how many begin, how many end, and who stays.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_ledger::totals::StageTotals;

use crate::request::ReportRequest;
use crate::retention::{Attendance, Cohort};

/// Joins, leaves and views of a range.
#[derive(Debug, Default)]
pub struct Movements {
    range: Span,
    step_ms: u64,
    gap_ms: u64,
    /// Views that begin, by step.
    pub joins: Vec<u64>,
    /// Views that end, by step.
    pub leaves: Vec<u64>,
    /// Views that overlap the range.
    pub views: u64,
    /// Cohort of the broadcast, if there is one.
    pub cohort: Option<Cohort>,
}

impl Movements {
    /// Creates the movements of a request. `started_at` is the start of the broadcast.
    pub fn new(request: &ReportRequest, started_at: Option<UnixMs>) -> Movements {
        let steps = StageTotals::steps(request.range, request.step_ms) as usize;
        Movements {
            range: request.range,
            step_ms: request.step_ms.max(1),
            gap_ms: request.gap_ms,
            joins: vec![0; steps],
            leaves: vec![0; steps],
            views: 0,
            cohort: started_at.map(|at| Cohort::new(at, request.cohort_ms)),
        }
    }

    /// Counts a viewer's next view. All spans that end before `known_to` are known, so a view that
    /// ends a gap before it does not go on. An end belongs to the range and step of the watch time
    /// before it, so that a broadcast has the leaves of its last viewers.
    pub fn count(&mut self, view: Span, attendance: &mut Attendance, known_to: UnixMs) {
        let Some(part) = view.clip(self.range) else { return };
        self.views += 1;
        if part.from == view.from {
            let step = self.step(view.from);
            self.joins[step] += 1;
        }
        if view.to <= self.range.to && view.to.plus(self.gap_ms) < known_to {
            let step = self.step(view.to.minus(1));
            self.leaves[step] += 1;
        }
        if let Some(cohort) = &mut self.cohort {
            cohort.add(attendance, view);
        }
    }

    fn step(&self, at: UnixMs) -> usize {
        (at.since(self.range.from.aligned(self.step_ms)) / self.step_ms) as usize
    }
}
