//! Proof: events in, proven watch time out. **The one place that defines what is billed.**
//!
//! # The rule
//! A beat and a later beat or leave of the same session, at most `ttl` apart, prove the time between them; a leave
//! without a session is a leave of all the viewer's sessions on that stage. Nothing else proves anything. A viewer's
//! watch time on a stage is the measure of the union over its sessions.
//!
//! # Why it is a function of the set of events
//! The rule speaks of pairs, so an event more never takes proof away, and neither order nor repetition matter. That
//! is also why a leave between two beats doesn't unprove the time between them: a leave that came late would have to
//! take back what is written for good.
//!
//! # The layout
//! Beats of a session at most `ttl` apart form a *run*: its first and last beat say all that its beats can prove,
//! now or with any event that is still to come. So memory is bounded by sessions, not by beats. What lies so far
//! back that no acceptable event can reach it is forgotten ([`Proof::forget`]).

mod runs;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use self::runs::Session;
use crate::event::{EventRef, Kind};
use crate::span::{Span, normalize};
use crate::time::UnixMs;

type VisitIndex = u32;
type StageIndex = u32;

/// A viewer's sessions on a stage.
#[derive(Debug)]
struct Visit {
    viewer: Box<str>,
    stage: StageIndex,
    /// Whether an event came after what it proves may have been written.
    is_late: bool,
    /// Leaves without a session, sorted.
    leaves: Vec<UnixMs>,
    sessions: SmallVec<[Session; 1]>,
}

#[derive(Debug)]
struct Stage {
    id: Box<str>,
    visits: u32,
}

/// The session that what was carried over belongs to: no player's id has a control character.
const CARRIED: &str = "\u{1}";

/// What has been proven, as far back as events can still matter. See the module's text.
#[derive(Debug)]
pub struct Proof {
    ttl_ms: u64,
    /// Events before this are refused.
    floor: UnixMs,
    /// Events before this may prove what is written otherwise already.
    settled: UnixMs,
    /// Whether anything was ever carried over.
    is_carried: bool,
    visits: Slab<Visit>,
    stages: Slab<Stage>,
    by_name: HashTable<VisitIndex>,
    by_stage: HashTable<StageIndex>,
    hasher: RandomState,
}

/// A viewer on a stage, and the spans proven there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The viewer.
    pub viewer: &'a str,
    /// A set of spans, not empty.
    pub spans: &'a [Span],
}

impl Proof {
    /// Nothing is proven yet.
    #[must_use]
    pub fn new(ttl_ms: u64) -> Proof {
        Proof {
            ttl_ms,
            floor: UnixMs::ZERO,
            settled: UnixMs::ZERO,
            is_carried: false,
            visits: Slab::new(),
            stages: Slab::new(),
            by_name: HashTable::new(),
            by_stage: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// Takes in one event, whose ids must have been checked. False if it is older than what can still be credited.
    pub fn apply(&mut self, event: &EventRef<'_>) -> bool {
        if event.at < self.floor {
            return false;
        }
        let visit = self.find_or_insert(event.stage, event.viewer);
        let visit = &mut self.visits[visit as usize];
        visit.is_late |= event.at < self.settled;
        match event.kind {
            Kind::Beat => {
                let ttl_ms = self.ttl_ms;
                let Visit { sessions, leaves, .. } = visit;
                if self.is_carried {
                    // Whichever session goes on first: they are no longer told apart.
                    let carried = sessions.iter_mut().filter(|session| *session.id == *CARRIED);
                    carried.for_each(|session| session.leave(event.at, ttl_ms));
                }
                session_of(sessions, event.session).beat(event.at, ttl_ms, leaves);
            }
            Kind::Leave if event.session.is_empty() => {
                insert_sorted(&mut visit.leaves, event.at);
                visit.sessions.iter_mut().for_each(|session| session.leave(event.at, self.ttl_ms));
            }
            Kind::Leave => {
                let session = session_of(&mut visit.sessions, event.session);
                insert_sorted(&mut session.leaves, event.at);
                session.leave(event.at, self.ttl_ms);
            }
        }
        true
    }

    /// Takes in what the ledger says was proven beyond its edge, after everything else was lost. Any session of the viewer
    /// that beats within a ttl goes on from there: which one it was is lost too.
    pub fn carry(&mut self, stage: &str, viewer: &str, span: Span) {
        self.is_carried = true;
        let visit = self.find_or_insert(stage, viewer);
        let ttl_ms = self.ttl_ms;
        let carried = session_of(&mut self.visits[visit as usize].sessions, CARRIED);
        carried.beat(span.from, ttl_ms, &[]);
        carried.beat(span.to, span.ms().max(ttl_ms), &[]);
    }

    /// The ledger has it up to `edge`; events before `floor` are refused from now on. Earlier times change nothing.
    pub fn note_committed(&mut self, edge: UnixMs, floor: UnixMs) {
        self.settled = self.settled.max(edge.plus(self.ttl_ms));
        self.floor = self.floor.max(floor);
    }

    /// How many places [`each`](Self::each) and [`forget`](Self::forget) go through, some of them empty.
    #[must_use]
    pub fn places(&self) -> usize {
        self.visits.capacity()
    }

    /// How many viewer-stage pairs are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.visits.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.visits.is_empty()
    }

    /// Calls `with` for everybody at `places` who has proven anything within `within`.
    pub fn each(&self, places: std::ops::Range<usize>, within: Span, with: impl FnMut(Proven<'_>)) {
        self.each_unsettled(places, within, UnixMs::ZERO, with);
    }

    /// The same, but for those whose proof ended before `settled` without an event that came late: who wrote what was proven
    /// until then has written theirs.
    pub fn each_unsettled(
        &self,
        places: std::ops::Range<usize>,
        within: Span,
        settled: UnixMs,
        mut with: impl FnMut(Proven<'_>),
    ) {
        let mut spans = Vec::new();
        let is_unsettled = |visit: &&Visit| {
            visit.is_late
                || visit.sessions.iter().flat_map(|session| session.runs()).any(|run| run.to >= settled)
        };
        for visit in places.filter_map(|place| self.visits.get(place)).filter(is_unsettled) {
            self.proven_by(visit, within, &mut spans);
            if !spans.is_empty() {
                let stage = &self.stages[visit.stage as usize].id;
                with(Proven { stage, viewer: &visit.viewer, spans: &spans });
            }
        }
    }

    /// What a viewer has proven on a stage within `within`.
    #[must_use]
    pub fn of(&self, stage: &str, viewer: &str, within: Span) -> Vec<Span> {
        let mut spans = Vec::new();
        if let Some(visit) = self.find(stage, viewer) {
            self.proven_by(&self.visits[visit as usize], within, &mut spans);
        }
        spans
    }

    fn proven_by(&self, visit: &Visit, within: Span, spans: &mut Vec<Span>) {
        spans.clear();
        let runs = visit.sessions.iter().flat_map(|session| session.runs());
        spans.extend(runs.filter_map(|span| span.clip(within)));
        if spans.len() > 1 {
            normalize(spans);
        }
    }

    /// Forgets, at `places`, what ended before `before`.
    pub fn forget(&mut self, places: std::ops::Range<usize>, before: UnixMs) {
        for place in places {
            let Some(visit) = self.visits.get_mut(place) else { continue };
            visit.leaves.retain(|at| *at >= before);
            visit.sessions.retain(|session| session.forget(before));
            if visit.sessions.is_empty() && visit.leaves.is_empty() {
                self.remove(place);
            }
        }
    }

    /// Events that prove again, on any node, all from `from` on, with whatever else comes after `from`: for a log that
    /// lost everything. Where beats have been summed up, some that prove the same stand in for them.
    pub fn events(&self, from: UnixMs) -> impl Iterator<Item = EventRef<'_>> {
        self.visits.iter().flat_map(move |(_, visit)| {
            let stage = &*self.stages[visit.stage as usize].id;
            let of = move |session, kind, at| EventRef { at, kind, stage, viewer: &visit.viewer, session };
            let of_all = visit.leaves.iter().filter(move |at| **at >= from);
            let of_all = of_all.map(move |at| of("", Kind::Leave, *at));
            // What was carried over is nobody's session, and no log record could hold it.
            let told = visit.sessions.iter().filter(|session| *session.id != *CARRIED);
            let of_each = told.flat_map(move |session| {
                session.events(from, self.ttl_ms).map(move |(kind, at)| of(&session.id, kind, at))
            });
            of_all.chain(of_each)
        })
    }

    fn hash(&self, stage: StageIndex, viewer: &str) -> u64 {
        self.hasher.hash_one((stage, viewer))
    }

    fn find_stage(&self, stage: &str) -> Option<StageIndex> {
        let hash = self.hasher.hash_one(stage);
        self.by_stage.find(hash, |i| *self.stages[*i as usize].id == *stage).copied()
    }

    fn find(&self, stage: &str, viewer: &str) -> Option<VisitIndex> {
        self.find_on(self.find_stage(stage)?, viewer)
    }

    fn find_on(&self, stage: StageIndex, viewer: &str) -> Option<VisitIndex> {
        let is_it = |i: &VisitIndex| {
            let visit = &self.visits[*i as usize];
            visit.stage == stage && *visit.viewer == *viewer
        };
        self.by_name.find(self.hash(stage, viewer), is_it).copied()
    }

    fn find_or_insert(&mut self, stage: &str, viewer: &str) -> VisitIndex {
        let on = self.find_stage(stage).unwrap_or_else(|| self.insert_stage(stage));
        if let Some(visit) = self.find_on(on, viewer) {
            return visit;
        }
        let visit = Visit {
            viewer: viewer.into(),
            stage: on,
            is_late: false,
            leaves: Vec::new(),
            sessions: SmallVec::new(),
        };
        let index = self.visits.insert(visit) as VisitIndex;
        self.stages[on as usize].visits += 1;
        let (visits, hasher) = (&self.visits, &self.hasher);
        self.by_name.insert_unique(hasher.hash_one((on, viewer)), index, |i| {
            let visit = &visits[*i as usize];
            hasher.hash_one((visit.stage, &*visit.viewer))
        });
        index
    }

    fn insert_stage(&mut self, stage: &str) -> StageIndex {
        let index = self.stages.insert(Stage { id: stage.into(), visits: 0 }) as StageIndex;
        let (stages, hasher) = (&self.stages, &self.hasher);
        self.by_stage
            .insert_unique(hasher.hash_one(stage), index, |i| hasher.hash_one(&*stages[*i as usize].id));
        index
    }

    fn remove(&mut self, place: usize) {
        let visit = self.visits.remove(place);
        if let Ok(entry) =
            self.by_name.find_entry(self.hash(visit.stage, &visit.viewer), |i| *i as usize == place)
        {
            entry.remove();
        }
        let stage = &mut self.stages[visit.stage as usize];
        stage.visits -= 1;
        if stage.visits == 0 {
            let hash = self.hasher.hash_one(&*stage.id);
            if let Ok(entry) = self.by_stage.find_entry(hash, |i| *i == visit.stage) {
                entry.remove();
            }
            self.stages.remove(visit.stage as usize);
        }
    }
}

fn session_of<'a>(sessions: &'a mut SmallVec<[Session; 1]>, id: &str) -> &'a mut Session {
    let known = sessions.iter().position(|session| *session.id == *id);
    let at = known.unwrap_or_else(|| {
        sessions.push(Session::new(id));
        sessions.len() - 1
    });
    &mut sessions[at]
}

fn insert_sorted(times: &mut Vec<UnixMs>, at: UnixMs) {
    if let Err(place) = times.binary_search(&at) {
        times.insert(place, at);
    }
}
