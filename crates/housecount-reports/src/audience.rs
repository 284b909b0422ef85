//! The fold of a range's spans into a report.
//!
//! A viewer's views are added up as soon as they can't grow any more. So memory is bounded by the
//! number of viewers, and not by the length of the range.

use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_engine::internals::scan::RangeFold;
use housecount_ledger::SpanVisitor;
use housecount_ledger::curve::{Curve, Peak, Step};
use smallvec::SmallVec;

use crate::distribution::{Distribution, WatchTimeClass};
use crate::figures::{Report, ReportHead, ReportStep};
use crate::movements::Movements;
use crate::names::Names;
use crate::request::ReportRequest;
use crate::retention::Attendance;
use crate::views::OpenViews;

/// Views of a viewer on a stage.
#[derive(Debug, Default)]
struct StageViews {
    stage: u32,
    views: OpenViews,
    attendance: Attendance,
}

/// A viewer. Its number in `names` is its place.
#[derive(Debug, Default)]
struct Viewer {
    watch_ms: u64,
    came_before: bool,
    by_stage: SmallVec<[StageViews; 1]>,
}

impl Viewer {
    fn on_stage(&mut self, stage: u32) -> &mut StageViews {
        let known = self.by_stage.iter().position(|views| views.stage == stage);
        let place = known.unwrap_or_else(|| {
            self.by_stage.push(StageViews { stage, ..StageViews::default() });
            self.by_stage.len() - 1
        });
        &mut self.by_stage[place]
    }
}

/// Fold of the spans of a range.
#[derive(Debug, Default)]
pub struct Audience {
    request: ReportRequest,
    viewers_max: usize,
    is_full: bool,
    complete_to: UnixMs,
    curve: Curve,
    movements: Movements,
    stages: Names,
    names: Names,
    viewers: Vec<Viewer>,
}

impl Audience {
    /// Creates an audience without viewers. `started_at` is the start of the broadcast, if there is
    /// one. With more than `viewers_max` viewers it is full, and has no figures.
    #[must_use]
    pub fn new(request: ReportRequest, started_at: Option<UnixMs>, viewers_max: usize) -> Audience {
        Audience {
            curve: Curve::new(request.range, request.step_ms, request.stage.clone()),
            movements: Movements::new(&request, started_at),
            viewers_max,
            request,
            ..Audience::default()
        }
    }

    fn skips(&self, stage: &str) -> bool {
        self.is_full || self.request.stage.as_deref().is_some_and(|wanted| wanted != stage)
    }

    /// Returns the numbers of a stage and a viewer; `None` if there are too many viewers.
    fn numbers(&mut self, stage: &str, viewer: &str) -> Option<(u32, usize)> {
        let number = self.names.number(viewer) as usize;
        self.is_full = number >= self.viewers_max;
        if number == self.viewers.len() && !self.is_full {
            self.viewers.push(Viewer::default());
        }
        (!self.is_full).then(|| (self.stages.number(stage), number))
    }

    /// Adds a span to a viewer, and counts the views that became final.
    fn add(&mut self, stage: &str, viewer: &str, span: Span) {
        let Some((stage, number)) = self.numbers(stage, viewer) else { return };
        let ReportRequest { range, before_ms, gap_ms, .. } = self.request;
        let before = Span::new(range.from.minus(before_ms.unwrap_or(0)), range.from);
        let viewer = &mut self.viewers[number];
        viewer.watch_ms += span.clip(range).map_or(0, Span::ms);
        viewer.came_before |= span.clip(before).is_some();
        let StageViews { views, attendance, .. } = viewer.on_stage(stage);
        if let Some(span) = span.clip(self.request.reads()) {
            views.add(span, gap_ms);
        }
        while let Some(view) = views.pop_final(self.complete_to, gap_ms) {
            self.movements.count(view, attendance, self.complete_to);
        }
    }

    /// Returns the report, once all spans have been added. `known_to` is the time up to which all
    /// proof is known. Returns `None` if there are too many viewers.
    #[must_use]
    pub fn finish(mut self, known_to: UnixMs) -> Option<Report> {
        if self.is_full {
            return None;
        }
        for on_stage in self.viewers.iter_mut().flat_map(|viewer| &mut viewer.by_stage) {
            while let Some(view) = on_stage.views.pop() {
                self.movements.count(view, &mut on_stage.attendance, known_to);
            }
        }
        let ReportRequest { range, step_ms, .. } = self.request;
        let retention = self.movements.cohort.take().map(|cohort| {
            let all = self.viewers.iter().flat_map(|viewer| &viewer.by_stage);
            cohort.finish(all.map(|of| &of.attendance), range.to.min(known_to))
        });
        self.curve.advance(range.to);
        let peak = self.curve.peak();
        let curve = std::mem::take(&mut self.curve).finish();
        let (head, histogram) = self.head(peak, curve.iter().map(|step| step.integral_ms).sum());
        let Movements { joins, leaves, .. } = &self.movements;
        let steps = curve.iter().zip(joins.iter().zip(leaves));
        let steps = steps.map(|(of, (joins, leaves))| step(of, *joins, *leaves)).collect();
        Some(Report { head, step_ms, steps, histogram, retention })
    }

    /// Returns the main figures, and the histogram of watch times.
    fn head(&self, peak: Peak, integral_ms: u64) -> (ReportHead, Vec<WatchTimeClass>) {
        let in_range = || self.viewers.iter().filter(|viewer| viewer.watch_ms > 0);
        let times = Distribution::of(in_range().map(|viewer| viewer.watch_ms).collect());
        let unique_viewers = in_range().count() as u64;
        let returning = in_range().filter(|viewer| viewer.came_before).count() as u64;
        let has_before = self.request.before_ms.is_some();
        let head = ReportHead {
            unique_viewers,
            watch_ms: in_range().map(|viewer| viewer.watch_ms).sum(),
            average_watch_ms: times.average_ms,
            median_watch_ms: times.median_ms,
            p90_watch_ms: times.p90_ms,
            peak_viewers: peak.viewers,
            peak_at: (peak.viewers > 0).then_some(peak.at.0),
            average_viewers: integral_ms as f64 / self.request.range.ms().max(1) as f64,
            joins: self.movements.joins.iter().sum(),
            leaves: self.movements.leaves.iter().sum(),
            views: self.movements.views,
            returning_viewers: has_before.then_some(returning),
            new_viewers: has_before.then_some(unique_viewers - returning),
        };
        (head, times.histogram)
    }
}

fn step(of: &Step, joins: u64, leaves: u64) -> ReportStep {
    let ms = of.span.ms().max(1) as f64;
    ReportStep {
        at: of.span.from.0,
        avg: of.integral_ms as f64 / ms,
        min: of.min,
        max: of.max,
        joins,
        leaves,
        joins_per_minute: joins as f64 * 60_000.0 / ms,
        leaves_per_minute: leaves as f64 * 60_000.0 / ms,
    }
}

impl SpanVisitor for Audience {
    fn span_opened(&mut self, stage: &str, viewer: &str, at: UnixMs) {
        if self.skips(stage) {
            return;
        }
        self.curve.span_opened(stage, viewer, at);
        if let Some((stage, number)) = self.numbers(stage, viewer) {
            self.viewers[number].on_stage(stage).views.open();
        }
    }

    fn span_closed(&mut self, stage: &str, viewer: &str, span: Span) {
        if self.skips(stage) {
            return;
        }
        self.curve.span_closed(stage, viewer, span);
        if let Some((stage, number)) = self.numbers(stage, viewer) {
            self.viewers[number].on_stage(stage).views.close();
        }
        self.add(stage, viewer, span);
    }

    fn late_span(&mut self, stage: &str, viewer: &str, span: Span) {
        if self.skips(stage) {
            return;
        }
        self.curve.late_span(stage, viewer, span);
        self.add(stage, viewer, span);
    }
}

impl RangeFold for Audience {
    fn add_proven(&mut self, stage: &str, viewer: &str, span: Span) {
        if self.skips(stage) {
            return;
        }
        self.curve.add(stage, span);
        self.add(stage, viewer, span);
    }

    fn viewers_held(&self) -> usize {
        self.viewers.len()
    }

    fn advance(&mut self, to: UnixMs) {
        self.complete_to = to;
        self.curve.advance(to);
    }

    fn is_full(&self) -> bool {
        self.is_full
    }
}

#[cfg(test)]
mod tests;
