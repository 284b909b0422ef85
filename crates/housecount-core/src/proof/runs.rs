//! A session's beats, summed up: runs of beats that follow each other within `ttl`.

use smallvec::SmallVec;

use crate::event::Kind;
use crate::span::Span;
use crate::time::UnixMs;

/// Beats each at most `ttl` after the one before, and the leave that ended them.
///
/// A beat between the first and the last proves nothing new: the time around it is proven already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    first: UnixMs,
    last: UnixMs,
    /// The latest leave at most `ttl` after the last beat, or the last beat.
    end: UnixMs,
}

/// One player of a viewer on a stage.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: Box<str>,
    /// Its own leaves, sorted.
    pub(super) leaves: Vec<UnixMs>,
    /// Sorted, more than `ttl` apart.
    runs: SmallVec<[Run; 1]>,
}

impl Session {
    pub(super) fn new(id: &str) -> Session {
        Session { id: id.into(), leaves: Vec::new(), runs: SmallVec::new() }
    }

    /// Takes in a beat. `of_all` are the leaves of all the viewer's sessions.
    pub(super) fn beat(&mut self, at: UnixMs, ttl_ms: u64, of_all: &[UnixMs]) {
        let next = self.runs.partition_point(|run| run.last < at);
        let goes_on = |run: &Run| at.since(run.last) <= ttl_ms;
        let comes_before = |run: &Run| run.first.since(at) <= ttl_ms;
        let before = next.checked_sub(1).filter(|i| goes_on(&self.runs[*i]));
        let after = self.runs.get(next).filter(|run| comes_before(run)).copied();
        let touched = match (before, after) {
            (Some(before), Some(after)) => {
                let run = &mut self.runs[before];
                run.last = after.last;
                run.end = run.end.max(after.end);
                self.runs.remove(next);
                before
            }
            (Some(before), None) => {
                let run = &mut self.runs[before];
                run.last = at;
                run.end = run.end.max(at);
                before
            }
            (None, Some(_)) => {
                let run = &mut self.runs[next];
                run.first = run.first.min(at);
                return;
            }
            (None, None) => {
                self.runs.insert(next, Run { first: at, last: at, end: at });
                next
            }
        };
        let run = &mut self.runs[touched];
        for leaves in [of_all, &self.leaves] {
            let reached = run.last.plus(ttl_ms);
            let latest = leaves.partition_point(|leave| *leave <= reached).checked_sub(1);
            run.end = latest.map_or(run.end, |i| run.end.max(leaves[i]));
        }
    }

    /// Takes in a leave of this session or of all.
    pub(super) fn leave(&mut self, at: UnixMs, ttl_ms: u64) {
        let next = self.runs.partition_point(|run| run.last <= at);
        if let Some(run) = next.checked_sub(1).and_then(|i| self.runs.get_mut(i))
            && at.since(run.last) <= ttl_ms
        {
            run.end = run.end.max(at);
        }
    }

    /// The spans that this session alone proves.
    pub(super) fn runs(&self) -> impl Iterator<Item = Span> {
        self.runs.iter().map(|run| Span::new(run.first, run.end))
    }

    /// Forgets what ended before `before`. False if nothing is left.
    pub(super) fn forget(&mut self, before: UnixMs) -> bool {
        self.leaves.retain(|at| *at >= before);
        self.runs.retain(|run| run.end >= before);
        !(self.runs.is_empty() && self.leaves.is_empty())
    }

    /// Events that prove the same again from `from` on.
    pub(super) fn events(&self, from: UnixMs, ttl_ms: u64) -> impl Iterator<Item = (Kind, UnixMs)> {
        let leaves = self.leaves.iter().filter(move |at| **at >= from).map(|at| (Kind::Leave, *at));
        // A run that ended before may still go on after.
        let runs = self.runs.iter().filter(move |run| run.last.plus(ttl_ms) >= from);
        let beats = runs.flat_map(move |run| {
            let (first, last) = (run.first.max(from.min(run.last)), run.last);
            let steps = (first.0..last.0).step_by(usize::try_from(ttl_ms.max(1)).unwrap_or(usize::MAX));
            // A leave without a session that ended this run is told beside it, once for all.
            steps.map(UnixMs).chain([last]).map(|at| (Kind::Beat, at))
        });
        leaves.chain(beats)
    }
}
