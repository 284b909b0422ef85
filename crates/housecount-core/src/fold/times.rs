//! Times of one session: its beats as runs, and its leaves. Both rules read only this.
//!
//! Beats that follow each other within `ttl` form a *run*. Its first and last beat are enough for
//! all that its beats can prove, now or with any later event. The last beat of all decides until
//! when the session is online. So memory is bounded by sessions and breaks, not by beats.
//!
//! Nearly every session has one run and at most one leave after it, which fit 16 bytes
//! ([`CompactTimes`]). All other times are stored in full, in a table beside the seats.

use smallvec::SmallVec;

use crate::event::EventKind;
use crate::span::Span;
use crate::time::UnixMs;

/// First and last of beats that are each at most `ttl` after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BeatRun {
    pub(super) first: UnixMs,
    pub(super) last: UnixMs,
}

/// A session's beats and leaves, in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionTimes {
    /// Runs in order, more than `ttl` apart.
    pub(super) runs: SmallVec<[BeatRun; 1]>,
    /// Times of leaves in order.
    pub(super) leaves: SmallVec<[UnixMs; 2]>,
}

/// At most one run, and at most one leave after its last beat. Durations of up to 49 days fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CompactTimes {
    /// Time of the last beat; zero for none.
    pub(super) beat: UnixMs,
    /// Time from the run's first beat to its last.
    run_ms: u32,
    /// Time from the last beat to the leave; zero for none.
    left_ms: u32,
}

impl CompactTimes {
    /// Extends the run by the usual next beat: after the last one, in the same run, without a leave
    /// between. Returns false for any other beat.
    #[inline]
    pub(super) fn goes_on(&mut self, at: UnixMs, ttl_ms: u64) -> bool {
        let since = at.0.wrapping_sub(self.beat.0);
        let run_ms = u64::from(self.run_ms).saturating_add(since);
        if self.left_ms != 0
            || self.beat == UnixMs::ZERO
            || since > ttl_ms
            || run_ms > u64::from(u32::MAX)
        {
            return false;
        }
        self.beat = at;
        self.run_ms = run_ms as u32;
        true
    }

    /// Returns the last leave; zero for none.
    pub(super) fn left(self) -> UnixMs {
        if self.left_ms == 0 { UnixMs::ZERO } else { self.beat.plus(u64::from(self.left_ms)) }
    }

    pub(super) fn run(self) -> BeatRun {
        BeatRun { first: self.beat.minus(u64::from(self.run_ms)), last: self.beat }
    }

    /// Returns the times in full.
    pub(super) fn times(self) -> SessionTimes {
        let mut times = SessionTimes::default();
        if self.beat > UnixMs::ZERO {
            times.runs.push(self.run());
        }
        if self.left_ms > 0 {
            times.leaves.push(self.left());
        }
        times
    }
}

impl SessionTimes {
    /// Returns the compact form, if the times fit it.
    pub(super) fn brief(&self) -> Option<CompactTimes> {
        let (run, left) = match (&*self.runs, &*self.leaves) {
            ([], []) => return Some(CompactTimes::default()),
            ([run], []) => (run, run.last),
            ([run], [left]) if *left > run.last => (run, *left),
            _ => return None,
        };
        let run_ms = u32::try_from(run.last.since(run.first)).ok()?;
        let left_ms = u32::try_from(left.since(run.last)).ok()?;
        Some(CompactTimes { beat: run.last, run_ms, left_ms })
    }

    /// Returns the last beat; zero for none.
    pub(super) fn beat_last(&self) -> UnixMs {
        self.runs.last().map_or(UnixMs::ZERO, |run| run.last)
    }

    /// Returns the last leave at or before `at`; zero for none.
    pub(super) fn leave_until(&self, at: UnixMs) -> UnixMs {
        let next = self.leaves.partition_point(|leave| *leave <= at);
        next.checked_sub(1).map_or(UnixMs::ZERO, |i| self.leaves[i])
    }

    /// Adds a beat.
    pub(super) fn beat(&mut self, at: UnixMs, ttl_ms: u64) {
        let next = self.runs.partition_point(|run| run.last < at);
        let before = next.checked_sub(1).filter(|i| at.since(self.runs[*i].last) <= ttl_ms);
        let after = self.runs.get(next).filter(|run| run.first.since(at) <= ttl_ms).copied();
        match (before, after) {
            (Some(before), Some(after)) => {
                self.runs[before].last = after.last;
                self.runs.remove(next);
            }
            (Some(before), None) => self.runs[before].last = at,
            (None, Some(after)) => self.runs[next].first = after.first.min(at),
            (None, None) => self.runs.insert(next, BeatRun { first: at, last: at }),
        }
    }

    /// Adds a leave. Returns false if it was known.
    pub(super) fn leave(&mut self, at: UnixMs) -> bool {
        match self.leaves.binary_search(&at) {
            Ok(_) => false,
            Err(place) => {
                self.leaves.insert(place, at);
                true
            }
        }
    }

    /// Returns the spans that the session proves. `others` are the leaves of all the viewer's
    /// sessions, and the session's displacements.
    pub(super) fn proven_spans(
        &self,
        others: [&[UnixMs]; 2],
        ttl_ms: u64,
    ) -> impl Iterator<Item = Span> {
        self.runs.iter().map(move |run| {
            let reached = run.last.plus(ttl_ms);
            let latest = |leaves: &[UnixMs]| {
                let next = leaves.partition_point(|leave| *leave <= reached);
                next.checked_sub(1).map_or(UnixMs::ZERO, |i| leaves[i])
            };
            let ends = others.map(latest).into_iter().max().unwrap_or_default();
            Span::new(run.first, run.last.max(latest(&self.leaves)).max(ends))
        })
    }

    /// Removes runs and leaves that ended before `before`. Returns false if none is left.
    pub(super) fn forget(&mut self, before: UnixMs) -> bool {
        self.runs.retain(|run| run.last >= before);
        self.leaves.retain(|at| *at >= before);
        !(self.runs.is_empty() && self.leaves.is_empty())
    }

    /// Returns events that reproduce these times from `from` on, with any later events. Beats that
    /// a run has summed up are replaced by beats that prove the same, also in a run that contains
    /// `from`.
    pub(super) fn events(
        &self,
        from: UnixMs,
        ttl_ms: u64,
    ) -> impl Iterator<Item = (EventKind, UnixMs)> {
        let leaves =
            self.leaves.iter().filter(move |at| **at >= from).map(|at| (EventKind::Leave, *at));
        let runs = self.runs.iter().filter(move |run| run.last.plus(ttl_ms) >= from);
        let beats = runs.flat_map(move |run| {
            let (first, last) = (run.first.max(from.min(run.last)), run.last);
            let steps =
                (first.0..last.0).step_by(usize::try_from(ttl_ms.max(1)).unwrap_or(usize::MAX));
            steps.map(UnixMs).chain([last]).map(|at| (EventKind::Beat, at))
        });
        leaves.chain(beats)
    }
}
