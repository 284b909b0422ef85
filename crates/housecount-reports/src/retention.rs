//! Retention: how many of those who came first are still watching.
//!
//! The cohort is the viewers whose first view begins within the first minutes of a broadcast. A
//! member is watching at a moment within one of its views.

use housecount_core::limits::RETENTION_MINUTES_MAX;
use housecount_core::span::Span;
use housecount_core::time::UnixMs;

use crate::figures::{Retention, RetentionMinute, RetentionPoint};

const MINUTE_MS: u64 = 60_000;
/// Times after its arrival at which it is asked whether a member is watching, in minutes.
const POINTS_MIN: [u64; 16] = [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720];

/// Attendance of a viewer, reduced to what the retention needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attendance {
    /// Start of the first view; zero before it is known.
    came_at: UnixMs,
    /// A bit for each point at which the viewer was watching.
    points: u16,
    /// Number of minutes of the broadcast that are counted already.
    minutes_to: u32,
}

/// Fold of the views of a stage's viewers.
#[derive(Debug, Default)]
pub struct Cohort {
    /// Start of the broadcast.
    started_at: UnixMs,
    cohort_ms: u64,
    /// Changes of the number of members that watch, by minute of the broadcast.
    changes: Vec<i64>,
}

impl Cohort {
    /// Creates a cohort of those who come within `cohort_ms` of the start.
    pub fn new(started_at: UnixMs, cohort_ms: u64) -> Cohort {
        Cohort { started_at, cohort_ms, changes: Vec::new() }
    }

    fn has(&self, came_at: UnixMs) -> bool {
        came_at >= self.started_at && came_at < self.started_at.plus(self.cohort_ms)
    }

    /// Adds a viewer's next view. They are in order of time.
    pub fn add(&mut self, of: &mut Attendance, view: Span) {
        if of.came_at == UnixMs::ZERO {
            of.came_at = view.from;
        }
        if !self.has(of.came_at) {
            return;
        }
        for (n, minutes) in POINTS_MIN.into_iter().enumerate() {
            let at = of.came_at.plus(minutes * MINUTE_MS);
            if view.from <= at && at < view.to {
                of.points |= 1 << n;
            }
        }
        let minute = |at: UnixMs| at.since(self.started_at) / MINUTE_MS;
        let first = minute(view.from).max(u64::from(of.minutes_to));
        let after = (minute(view.to.minus(1)) + 1).min(RETENTION_MINUTES_MAX);
        if first < after {
            let (first, after) = (first as usize, after as usize);
            self.changes.resize(self.changes.len().max(after + 1), 0);
            self.changes[first] += 1;
            self.changes[after] -= 1;
            of.minutes_to = after as u32;
        }
    }

    /// Returns the retention, given all viewers and the end of what is known.
    pub fn finish<'a>(
        self,
        all: impl Iterator<Item = &'a Attendance> + Clone,
        end: UnixMs,
    ) -> Retention {
        let members = all.filter(|of| self.has(of.came_at));
        let viewers = members.clone().count() as u64;
        let points = POINTS_MIN.into_iter().enumerate().filter_map(|(n, minutes)| {
            let after_ms = minutes * MINUTE_MS;
            let known = members.clone().filter(|of| of.came_at.plus(after_ms) < end);
            let (mut viewers, mut watching) = (0, 0);
            for of in known {
                viewers += 1;
                watching += u64::from(of.points >> n & 1);
            }
            let share = watching as f64 / viewers as f64;
            (viewers > 0).then_some(RetentionPoint { after_ms, viewers, watching, share })
        });
        let after = points.collect();
        let count = end.since(self.started_at).div_ceil(MINUTE_MS).min(RETENTION_MINUTES_MAX);
        let mut watching = 0;
        let minutes = (0..count).map(|n| {
            watching += self.changes.get(n as usize).copied().unwrap_or(0);
            let watching = u64::try_from(watching).unwrap_or(0);
            let at = self.started_at.plus(n * MINUTE_MS).0;
            RetentionMinute { at, watching, share: watching as f64 / viewers.max(1) as f64 }
        });
        Retention {
            started_at: self.started_at.0,
            cohort_ms: self.cohort_ms,
            viewers,
            after,
            minutes: minutes.collect(),
        }
    }
}
